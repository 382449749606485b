# Licensed under the Apache License, Version 2.0; see LICENSE.
"""JVMs on this machine: those that make up a cluster, and end together; and those of Java samples."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

# Options of JVMs that live for a minute: the optimizing compiler costs them more than it gains.
SHORT_LIVED = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_START_SECS = 120


class JavaProcesses:
    """Running JVMs.

    Attributes:
        folder: Where they run, and write their logs.
        temporary: For their temporary files.
    """

    def __init__(self, folder, options, environment):
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir()
        self._java = ["java", *SHORT_LIVED, f"-Djava.io.tmpdir={self.temporary}", *options]
        self._environment, self._processes = environment, []

    def start(self, name, class_path, memory_mib, main_class, *arguments, options=()):
        """Starts a JVM, which writes to NAME.log."""
        command = [*self._java, *options, f"-Xmx{memory_mib}m", "-cp", class_path, main_class, *arguments]
        with (self.folder / f"{name}.log").open("w") as log:
            where = {"cwd": self.folder, "env": self._environment, "stdout": log, "stderr": log}
            # A group of its own: what it starts ends with it.
            process = subprocess.Popen(command, **where, start_new_session=True, preexec_fn=_end_with_parent)
        self._processes.append(process)

    def wait_until(self, is_so):
        """Waits until a function of no arguments returns true.

        Raises:
            RuntimeError: One of the processes has ended, or it takes more than two minutes.
        """
        deadline = time.monotonic() + _START_SECS
        while not is_so():
            ended = [process for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"the cluster did not get ready; see {self.folder}")
            time.sleep(0.2)

    def end(self):
        """Kills the processes, and what they have started."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.temporary, ignore_errors=True)  # every job's jars, several times


@contextmanager
def java_processes(folder, options, environment=None):
    """Gives JavaProcesses; all have ended afterwards.

    Args:
        folder: For logs and, while they run, temporary files.
        options: Of every JVM.
        environment: Environment variables of the processes. Default: those of this one.
    """
    processes = JavaProcesses(folder, options, environment)
    try:
        yield processes
    finally:
        processes.end()


def end_of(sample):
    """Waits until a Java sample has ended well."""
    _, alarm = sample.communicate()
    assert sample.returncode == 0, alarm[-4000:]


def _end_with_parent():
    """Has the kernel kill this process when its parent ends, however that may be (prctl's PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
