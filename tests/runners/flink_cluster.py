# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A Flink cluster on this machine: one job manager, two task managers, and Beam's job server for it.

They are four JVMs of what tools/flink.sh has installed, and listen on the loopback interface only.
"""

import json
import os
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from java_processes import java_processes
from ports import free_ports, is_open

FLINK = Path(os.environ.get("BEAM_ML_EXPANSION_FLINK", Path(__file__).parents[2] / "build/flink"))
TASK_MANAGERS = 2

# What Flink's own scripts open to it on JDK 17 (env.java.opts.all in its conf/config.yaml), and Beam's coders need.
_OPENS = ("lang", "lang.invoke", "lang.reflect", "net", "nio", "text", "time", "util", "util.concurrent", "io")
_JAVA = ["-Dlog4j2.level=INFO", *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _OPENS)]
_ENTRY_POINTS = "org.apache.flink.runtime"


class FlinkCluster:
    """A running cluster.

    Attributes:
        job_endpoint: HOST:PORT of the job service.
        folder: Where the processes write their logs.
    """

    def __init__(self, folder, job_endpoint, rest):
        self.folder, self.job_endpoint, self._rest = folder, job_endpoint, rest

    def get(self, path):
        """Returns what Flink's REST API answers (https://nightlies.apache.org/flink/flink-docs-release-1.19)."""
        with urllib.request.urlopen(f"http://{self._rest}/{path}", timeout=10) as response:
            return json.load(response)

    def newest_job(self):
        """Returns the newest job, with its vertices."""
        newest = max(self.get("jobs/overview")["jobs"], key=lambda job: job["start-time"])
        return self.get(f"jobs/{newest['jid']}")

    def task_managers_of(self, job):
        """Returns the ids of the task managers that have run tasks of a job."""
        return {subtask["taskmanager-id"] for subtask in self._subtasks(job)}

    def restarted_tasks(self, job):
        """Returns the tasks of a job that were started more than once."""
        return [subtask for subtask in self._subtasks(job) if subtask["attempt"] > 0]

    def _subtasks(self, job):
        for vertex in job["vertices"]:
            yield from self.get(f"jobs/{job['jid']}/vertices/{vertex['id']}")["subtasks"]


@contextmanager
def flink_cluster(folder, environment=None):
    """Runs a cluster; everything has ended afterwards.

    Args:
        folder: For configuration, logs and, while it runs, some hundred megabytes of temporary files.
        environment: Environment variables of its processes. Default: those of this one.
    """
    rpc, rest, job = free_ports(3)
    with java_processes(folder, _JAVA, environment) as processes:
        configuration, flink = folder / "conf", f"{FLINK}/lib/*"
        configuration.mkdir()
        (configuration / "config.yaml").write_text(_configuration(processes.temporary, rpc, rest))
        of_cluster = ("--configDir", str(configuration))
        session = f"{_ENTRY_POINTS}.entrypoint.StandaloneSessionClusterEntrypoint"
        processes.start("job-manager", flink, 512, session, *of_cluster)
        for number in range(TASK_MANAGERS):
            task_manager = f"{_ENTRY_POINTS}.taskexecutor.TaskManagerRunner"
            processes.start(f"task-manager-{number}", flink, 512, task_manager, *of_cluster)
        processes.start(
            "job-server",
            f"{flink}:{FLINK}/job-server/*",
            512,
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            *(f"--flink-master=127.0.0.1:{rest}", f"--flink-conf-dir={configuration}"),
            *(f"--artifacts-dir={processes.temporary}", "--job-host=localhost", f"--job-port={job}"),
            *("--artifact-port=0", "--expansion-port=0"),
        )
        cluster = FlinkCluster(folder, f"localhost:{job}", f"127.0.0.1:{rest}")
        processes.wait_until(lambda: _is_ready(cluster, job))
        yield cluster


def _configuration(temporary, rpc, rest):
    """Returns Flink's configuration (https://nightlies.apache.org/flink/flink-docs-release-1.19/docs/deployment/config)."""
    settings = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": rest,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "io.tmp.dirs": temporary,
        # Those that look for the job manager before it is there look again soon.
        "cluster.registration.error-delay": 500,
        # A slot each, so that a job of two tasks runs on both.
        "taskmanager.numberOfTaskSlots": 1,
        "parallelism.default": TASK_MANAGERS,
        # Flink's scripts compute these from one number.
        "taskmanager.cpu.cores": 1,
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.heap.size": "384m",
        "taskmanager.memory.task.off-heap.size": "64m",
        "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m",
        "taskmanager.memory.managed.size": "128m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "64m",
        "taskmanager.memory.jvm-overhead.max": "64m",
        # Without a strategy, the first failure of a batch job ends it.
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 3,
        "restart-strategy.fixed-delay.delay": "1 s",
    }
    return "".join(f"{name}: {value}\n" for name, value in settings.items())


def _is_ready(cluster, job_port):
    try:
        registered = len(cluster.get("taskmanagers")["taskmanagers"])
    except OSError:
        return False
    return registered == TASK_MANAGERS and is_open("localhost", job_port)
