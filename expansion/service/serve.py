# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The life of ``beam-ml-expansion serve``: start, say what is served, wait, drain."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import metadata

from expansion.contract import urns
from expansion.errors import ConfigError, ExpansionError
from expansion.service import frameworks, lifeline, logs, wheels

_LOCAL_RUNNER_START_SECS = 60.0
_LOCAL_RUNNER_STOP_SECS = 15.0

# glibc's malloc, told to keep up to 1 GiB of freed memory (https://man7.org/linux/man-pages/man3/mallopt.3.html). The
# runner and its workers take and free megabytes for every batch, and fresh pages cost more than what is done with them.
_KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


@dataclass(frozen=True)
class Settings:
    """What ``serve`` was told; see its options in ``expansion.cli``."""

    host: str
    port: int
    local_runner: bool
    job_port: int
    environment: str | None
    allowed: Mapping[str, Collection[str]]
    exit_with_parent: bool
    worker_packages: Sequence[wheels.Wheel] = ()


def run(settings: Settings) -> int:
    """Serves until SIGTERM, SIGINT or, when asked for, the end of standard input.

    Returns:
        The exit code: 0 after a clean end; 1 if the service could not start, or its local runner ended.
    """
    logs.configure("%(asctime)s")
    stop = _Stop()
    if settings.exit_with_parent:
        lifeline.watch(stop.request)
    try:
        with _local_runner(settings.job_port, stop) if settings.local_runner else nullcontext() as runner:
            return _serve(settings, runner, stop)
    except ExpansionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


class _Stop:
    """Why and when to stop. A second SIGINT or SIGTERM ends the process at once."""

    def __init__(self) -> None:
        self.exit_code = 0
        self._requested = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._requested.is_set():
            os._exit(128 + number)
        self.request()

    def request(self, exit_code: int = 0) -> None:
        if not self._requested.is_set():
            self.exit_code = exit_code
            self._requested.set()

    @property
    def requested(self) -> bool:
        return self._requested.is_set()

    def wait(self) -> None:
        self._requested.wait()


def _serve(settings: Settings, runner: subprocess.Popen[str] | None, stop: _Stop) -> int:
    if runner and settings.environment is None:
        for wheel in settings.worker_packages:
            wheel.require_runs_here()
    frameworks.refuse()
    # Only now: these import Beam, which imports frameworks where it finds them.
    from expansion.service import artifacts, environments
    from expansion.service.policy import Policy
    from expansion.service.server import ExpansionServer

    local = _wait_until_ready(runner, stop) if runner else None
    spec = settings.environment or (f"external:{local.workers}" if local else environments.default_spec())
    packages = artifacts.of_wheels(settings.worker_packages)
    try:
        environment = environments.parse(spec, [package.information for package in packages])
    except ConfigError as error:
        raise ExpansionError(f"--{error}") from None
    policy = Policy(settings.allowed)
    server = ExpansionServer(settings.host, settings.port, environment, policy, packages)
    workers = spec if settings.environment or local else f"{spec}; they need this package, see --environment"
    staged = [wheel.file_name for wheel in settings.worker_packages]
    print(_greeting(server.address, workers, staged, local), flush=True)
    stop.wait()
    server.drain()
    return stop.exit_code


@dataclass(frozen=True)
class _LocalRunner:
    """Where a local runner listens, each as HOST:PORT."""

    job: str
    workers: str


def _greeting(address: str, workers: str, staged: Sequence[str], local: _LocalRunner | None) -> str:
    """Returns what is served, how to call it, and the line that programs wait for."""
    # "All interfaces" is no address to call.
    called = re.sub(r"^(0\.0\.0\.0|\[::\])", socket.gethostname(), address)
    lines = [
        f"beam-ml-expansion {metadata.version('beam-ml-expansion')} for Apache Beam {metadata.version('apache-beam')}",
        f"  serves   {urns.RUN_INFERENCE}",
        f"           {urns.RUN_INFERENCE_SCHEMA_TRANSFORM}",
        f"  workers  {workers}",
        *(f"           with {file_name}" for file_name in staged),
        f'  Java     elements.apply(RunInference.of(Models.onnx("digits.onnx")).withExpansionService("{called}"))',
        f'  Python   rows | ExternalTransform("{urns.RUN_INFERENCE}", config.SerializeToString(), "{called}")',
    ]
    ready = f"LISTENING expansion={address}"
    if local:
        lines.append(f"  jobs     --runner=PortableRunner --jobEndpoint={local.job}  (runs submitted pipelines as you)")
        ready += f" job={local.job}"
    return "\n".join([*lines, ready])


@contextmanager
def _local_runner(job_port: int, stop: _Stop) -> Iterator[subprocess.Popen[str]]:
    """Runs the local runner in a process of its own, which gets ready while the caller goes on."""
    arguments = ["--job-port", str(job_port)]
    process = lifeline.start(
        "expansion.service.local_runner",
        arguments,
        stdout=subprocess.PIPE,
        new_session=True,
        environment={**_KEEP_MEMORY, **os.environ},
    )
    try:
        yield process
    finally:
        stop.request()
        process.terminate()
        try:
            process.wait(_LOCAL_RUNNER_STOP_SECS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(process: subprocess.Popen[str], stop: _Stop) -> _LocalRunner:
    """Reads the READY line of the local runner. If that ends by itself later, the service stops."""
    assert process.stdout is not None  # noqa: S101 - a pipe, as asked for
    killer = threading.Timer(_LOCAL_RUNNER_START_SECS, process.kill)
    killer.start()
    line = process.stdout.readline()
    killer.cancel()
    if not line.startswith("READY "):
        raise ExpansionError("the local runner did not start; see above")
    threading.Thread(target=_watch, args=(process, stop), daemon=True).start()
    return _LocalRunner(**dict(part.split("=", 1) for part in line.split()[1:]))


def _watch(process: subprocess.Popen[str], stop: _Stop) -> None:
    code = process.wait()
    if not stop.requested:
        print(f"error: the local runner ended by itself (exit code {code})", file=sys.stderr)
        stop.request(exit_code=1)
