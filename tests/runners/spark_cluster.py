# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A Spark cluster on this machine: one master, two workers, and Beam's job server for it.

They are four JVMs of what tools/spark.sh has installed, and two more, the executors, while a job runs.
"""

import json
import os
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from java_processes import SHORT_LIVED, java_processes
from ports import free_ports, is_open

SPARK = Path(__file__).parents[2] / "build/spark"
WORKERS = 2

# What Spark opens to itself on JDK 17 (org.apache.spark.launcher.JavaModuleOptions).
_OPENS = [f"java.{name}" for name in ("lang", "lang.invoke", "lang.reflect", "io", "net", "nio", "util")]
_OPENS += [f"java.util.{name}" for name in ("concurrent", "concurrent.atomic")]
_OPENS += ["jdk.internal.ref", "sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"]
_JAVA = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENS]
_JAVA += ["--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED", "-Djdk.reflect.useDirectMethodHandle=false"]


class SparkCluster:
    """A running cluster.

    Attributes:
        job_endpoint: HOST:PORT of the job service.
        folder: Where the processes write their logs.
    """

    def __init__(self, processes, job_endpoint):
        self.folder, self.job_endpoint, self._processes = processes.folder, job_endpoint, processes

    def events_of_job(self):
        """Waits until the one pipeline that was submitted has ended; returns Spark's events of it.

        They are those of https://spark.apache.org/docs/3.5.6/monitoring.html, each a dict with its name in "Event".
        """
        events = self.folder / "events"
        self._processes.wait_until(lambda: [path for path in events.iterdir() if path.suffix != ".inprogress"])
        [path] = events.iterdir()
        return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def spark_cluster(folder):
    """Runs a cluster; everything has ended afterwards.

    Args:
        folder: For logs, events of jobs and, while it runs, temporary files.
    """
    master, web, job = free_ports(3)
    url, jars = f"spark://127.0.0.1:{master}", f"{SPARK}/jars/*"
    # What Spark's own scripts set.
    environment = {"SPARK_HOME": str(SPARK), "SPARK_SCALA_VERSION": "2.12", "SPARK_LOCAL_IP": "127.0.0.1"}
    with java_processes(folder, _JAVA, {**os.environ, **environment}) as processes:
        (folder / "events").mkdir()
        here = ("--host", "127.0.0.1")
        at = ("--port", str(master), "--webui-port", str(web))
        processes.start("master", jars, 256, "org.apache.spark.deploy.master.Master", *here, *at)
        processes.start(
            "job-server",
            jars,
            512,
            "org.apache.beam.runners.spark.SparkJobServerDriver",
            *(f"--spark-master-url={url}", f"--artifacts-dir={processes.temporary}"),
            *("--job-host=localhost", f"--job-port={job}", "--artifact-port=0", "--expansion-port=0"),
            options=[f"-D{name}={value}" for name, value in _configuration(folder, processes.temporary).items()],
        )
        # A worker that does not find the master waits ten seconds before it looks again.
        processes.wait_until(lambda: is_open("127.0.0.1", master))
        for number in range(WORKERS):
            of_worker = ("--port", "0", "--webui-port", "0", "--cores", "1", "--memory", "1g", "--work-dir")
            worker = ("org.apache.spark.deploy.worker.Worker", *here, *of_worker, f"{folder}/worker-{number}", url)
            processes.start(f"worker-{number}", jars, 256, *worker)
        processes.wait_until(lambda: _alive_workers(web) == WORKERS and is_open("localhost", job))
        yield SparkCluster(processes, f"localhost:{job}")


def _configuration(folder, temporary):
    """Returns Spark's configuration of jobs (https://spark.apache.org/docs/3.5.6/configuration.html)."""
    return {
        # Both executors are there before the first task is given out.
        "spark.cores.max": WORKERS,
        "spark.scheduler.minRegisteredResourcesRatio": 1,
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
        "spark.executor.memory": "512m",
        "spark.executor.extraJavaOptions": " ".join([*SHORT_LIVED, f"-Djava.io.tmpdir={temporary}"]),
        "spark.ui.enabled": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{folder}/events",
    }


def _alive_workers(web_port):
    """Returns how many workers have registered with the master."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{web_port}/json/", timeout=10) as response:
            return json.load(response)["aliveworkers"]
    except OSError:
        return 0
