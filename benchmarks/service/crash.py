# Licensed under the Apache License, Version 2.0; see LICENSE.
"""kill -9 under load: clients that try again get on, and get right graphs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from benchmarks.service import services
from benchmarks.service.load import CALL_SECS
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row
from benchmarks.service.same_graph import hash_of

CLIENTS = 8
CONFIGURATIONS = 20
MOST_SECS = 5.0
_RETRY_SECS = 0.05
_UNDER_LOAD_CALLS = 20


def run(short: bool) -> Row:
    """Kills our service some times, and starts it anew each time as a supervisor would."""
    repeats = 1 if short else 10
    port = services.free_port()
    command = services.ours_command(port)
    with tempfile.TemporaryDirectory(prefix="bml") as folder:
        requests = Requests(Path(folder))
        distinct = [requests.ours(number) for number in range(CONFIGURATIONS)]
        with services.running(command, port) as service, service.channel() as channel:
            expected = [hash_of(services.stub_of(channel).Expand(request)) for request in distinct]
        import_secs = _import_secs()
        recovered = []
        clients = _Clients(f"127.0.0.1:{port}", distinct, expected)
        with clients.calling():
            for _ in range(repeats):
                with services.running(command, port) as service:
                    clients.wait_for_graphs(_UNDER_LOAD_CALLS)
                    service.process.send_signal(signal.SIGKILL)
                    killed = time.monotonic()
                    service.process.wait()
                with services.running(command, port) as service:
                    clients.wait_for_graphs(1)
                    recovered.append(time.monotonic() - killed)
    slowest = max(recovered)
    # A start is an import of Beam; on a machine on which that takes longer, so may this.
    in_time = short or slowest <= max(MOST_SECS, 2 * import_secs)
    return Row(
        f"kill -9 × {repeats} under load of {CLIENTS} clients that try again",
        "–",
        f"recovered after {slowest:.1f} s at most; {clients.wrong} of {clients.graphs} graphs wrong",
        in_time and clients.wrong == 0 and clients.graphs > 0,
    )


class _Clients:
    """Clients that call until they get an answer, and then go on with the next request.

    Attributes:
        graphs: How many they have got.
        wrong: How many of them were not the expected ones, or errors.
    """

    def __init__(self, address: str, requests: list[ExpansionRequest], expected: list[str]):
        self.graphs = self.wrong = 0
        self._address, self._cases = address, list(zip(requests, expected, strict=True))
        self._changed = threading.Condition()
        self._stop = threading.Event()

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Has them call until the end of the block."""
        threads = [threading.Thread(target=self._call, args=[number]) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def wait_for_graphs(self, count: int) -> None:
        """Returns when they have got so many more.

        Raises:
            TimeoutError: They get none.
        """
        with self._changed:
            wanted = self.graphs + count
            if not self._changed.wait_for(lambda: self.graphs >= wanted, CALL_SECS):
                raise TimeoutError(f"no graphs for {CALL_SECS:.0f} s")

    def _call(self, number: int) -> None:
        while not self._stop.is_set():
            request, expected = self._cases[number % len(self._cases)]
            try:
                # A connection for each call: one that waits for its next attempt would say nothing of the service.
                with grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                    response = services.stub_of(channel).Expand(request, timeout=CALL_SECS)
            except grpc.RpcError:
                self._stop.wait(_RETRY_SECS)
                continue
            number += 1
            with self._changed:
                self.graphs += 1
                self.wrong += hash_of(response) != expected
                self._changed.notify_all()


def _import_secs() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import apache_beam"], check=True)
    return time.monotonic() - began
