# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Running services, and what the kernel knows of their processes (Linux)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from apache_beam.portability.api import beam_expansion_api_pb2_grpc

START_SECS = 120.0
# A worker environment that nothing is started in, the same on both sides.
_IMAGE = "worker:1"


@dataclass(frozen=True)
class Service:
    """A running expansion service.

    Attributes:
        process: Its process.
        address: HOST:PORT.
        folder: Its temp folder.
        log: What it writes.
        start_secs: From the start of the process until it took calls.
    """

    process: subprocess.Popen[bytes]
    address: str
    folder: Path
    log: Path
    start_secs: float

    def resident_bytes(self) -> int:
        """Returns its memory (RSS)."""
        return self._status("VmRSS") << 10

    def thread_count(self) -> int:
        """Returns its number of threads."""
        return self._status("Threads")

    def descriptor_count(self) -> int:
        """Returns its number of open files and sockets."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def temp_count(self) -> int:
        """Returns how many files and directories are in its temp folder."""
        return sum(1 for _ in self.folder.rglob("*"))

    def channel(self) -> grpc.Channel:
        """Returns a connection of its own; channels of one address share one otherwise."""
        return grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)])

    def _status(self, key: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def ours_command(port: int, python: str = sys.executable) -> list[str]:
    """Returns how our service is started."""
    return [python, "-m", "expansion.cli", "serve", f"--port={port}", f"--environment=docker:{_IMAGE}"]


def stock_command(port: int, python: str = sys.executable) -> list[str]:
    """Returns how Beam's own service is started so that it may do the same work."""
    module = "apache_beam.runners.portability.expansion_service_main"
    options = ["--fully_qualified_name_glob=*", "--environment_type=DOCKER", f"--environment_config={_IMAGE}"]
    return [python, "-m", module, f"--port={port}", *options]


@contextlib.contextmanager
def ours(*options: str, python: str = sys.executable) -> Iterator[Service]:
    """Runs our service, with further options of ``serve``."""
    port = free_port()
    with running([*ours_command(port, python), *options], port) as service:
        yield service


@contextlib.contextmanager
def stock(python: str = sys.executable) -> Iterator[Service]:
    """Runs Beam's own service."""
    port = free_port()
    with running(stock_command(port, python), port) as service:
        yield service


@contextlib.contextmanager
def running(command: Sequence[str], port: int) -> Iterator[Service]:
    """Runs a service in a temp folder of its own until the end of the block, and kills it if it is still there.

    Raises:
        RuntimeError: It does not take calls; with the end of what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="bml") as root:
        folder, log = Path(root, "tmp"), Path(root, "log")
        folder.mkdir()
        with log.open("wb") as file:
            began = time.monotonic()
            process = subprocess.Popen(
                command, stdout=file, stderr=file, env={**os.environ, "TMPDIR": str(folder)}, start_new_session=True
            )
        try:
            address = f"127.0.0.1:{port}"
            _wait(process, address, log)
            yield Service(process, address, folder, log, time.monotonic() - began)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def stub_of(channel: grpc.Channel) -> beam_expansion_api_pb2_grpc.ExpansionServiceStub:
    """Returns what makes the calls of a channel."""
    return beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECS
    options = [("grpc.max_reconnect_backoff_ms", 100), ("grpc.initial_reconnect_backoff_ms", 50)]
    with grpc.insecure_channel(address, options) as channel:
        ready = grpc.channel_ready_future(channel)
        while not ready.done():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{' '.join(process.args)} takes no calls: {log.read_text(errors='replace')[-1000:]}"
                )
            with contextlib.suppress(grpc.FutureTimeoutError):
                ready.result(timeout=0.2)
