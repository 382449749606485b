# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A pool of Beam worker processes: the local runner's, or one by itself (worker_pool_main.py).

Beam's own pool (apache_beam.runners.worker.worker_pool_main) starts whatever is called ``python`` on the PATH, leaves
workers behind when it is killed, and never reads the pipe that it gives them as standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.utils import thread_pool_executor

from expansion import lifeline
from expansion.errors import first_line
from expansion.service.worker_packages import WorkerPackages

_STOP_SECS = 5.0


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]
    """Starts and stops worker processes of this interpreter; their output goes to standard error.

    While no worker runs, a spare one waits with its imports done, which saves every job the seconds that they take.

    Args:
        on_end: Called with a worker's id and exit code when it has ended, for whatever reason.
        on_start: Called with a worker's id and process id before it serves. Default: nothing is.
    """

    def __init__(
        self, on_end: Callable[[str, int], None], on_start: Callable[[str, int], None] = lambda *_: None
    ) -> None:
        self._on_end = on_end
        self._on_start = on_start
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)  # one of the workers has
        self._closed = False
        self._spare: subprocess.Popen[str] | None = None
        # Flink's task managers each number their workers from 1, so that several may have the same id.
        self._workers: dict[subprocess.Popen[str], str] = {}
        self._asked: Counter[str] = Counter()  # by id: how often a worker was started, less how often it was stopped
        self._packages = WorkerPackages()
        self._server = grpc.server(thread_pool_executor.shared_unbounded_instance())

    def start(self, host: str, port: int = 0) -> str:
        """Starts to listen, on a free port if it is 0; returns HOST:PORT."""
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(self, self._server)
        shown_host = f"[{host}]" if ":" in host else host
        port = self._server.add_insecure_port(f"{shown_host}:{port}")
        self._server.start()
        self._spare = _start_process()
        return f"{shown_host}:{port}"

    def StartWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext | None = None
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Starts a worker that serves ``control_endpoint``; it ends when the runner closes that connection.

        It can import the packages that were staged for it.
        """
        try:
            folders = self._packages.folders(request)
        except (grpc.RpcError, OSError, zipfile.BadZipFile) as error:
            reason = error.details() if isinstance(error, grpc.Call) else first_line(error)
            return beam_fn_api_pb2.StartWorkerResponse(error=f"staged packages: {reason}")
        with self._lock:
            if self._closed:
                return beam_fn_api_pb2.StartWorkerResponse(error="the worker pool is shutting down")
            spare, self._spare = self._spare, None
            worker = spare if spare is not None and spare.poll() is None else _start_process()
            self._workers[worker] = request.worker_id
            self._asked[request.worker_id] += 1
        assert worker.stdin is not None  # noqa: S101 - a pipe, as lifeline.start promises
        self._on_start(request.worker_id, worker.pid)
        worker.stdin.write(json.dumps([request.worker_id, request.control_endpoint.url, folders]) + "\n")
        worker.stdin.flush()
        threading.Thread(target=self._reap, args=(request.worker_id, worker), daemon=True).start()
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: grpc.ServicerContext | None = None
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """Sees to it that a worker ends; by itself, if it does so soon, as its runner has closed the connection.

        Of several with one id, which is meant is not known: they are seen to when all of them have been stopped.
        """
        with self._lock:
            self._asked[request.worker_id] -= 1
            stopped = []
            if self._asked[request.worker_id] <= 0:
                del self._asked[request.worker_id]
                stopped = [worker for worker, worker_id in self._workers.items() if worker_id == request.worker_id]
        for worker in stopped:
            threading.Thread(target=_end, args=(worker,), daemon=True).start()
        return beam_fn_api_pb2.StopWorkerResponse()

    def drain(self, timeout_secs: float) -> None:
        """Starts no more workers, and returns when those that run have ended: runners end them after their jobs.

        Args:
            timeout_secs: How long that may take; those that take longer go on until ``close``.
        """
        with self._ended:
            self._closed = True
            self._ended.wait_for(lambda: not self._workers, timeout_secs)

    def close(self) -> None:
        """Stops all workers, starts no more, and removes what was unpacked for them."""
        with self._lock:
            self._closed = True
            workers = [*self._workers, *([self._spare] if self._spare else [])]
        _stop(workers)
        self._packages.close()
        self._server.stop(None)

    def _reap(self, worker_id: str, worker: subprocess.Popen[str]) -> None:
        """Waits for the end of a worker and, when it was the last one, gets a spare one ready."""
        code = worker.wait()
        if worker.stdin:
            worker.stdin.close()
        self._on_end(worker_id, code)
        with self._lock:
            self._workers.pop(worker, None)
            self._ended.notify_all()
            if not (self._workers or self._spare or self._closed):
                self._spare = _start_process()


def _start_process() -> subprocess.Popen[str]:
    return lifeline.start("expansion.service.local_worker", [], stdout=sys.stderr.fileno())


def _end(worker: subprocess.Popen[str]) -> None:
    try:
        worker.wait(_STOP_SECS)
    except subprocess.TimeoutExpired:
        _stop([worker])


def _stop(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + _STOP_SECS
    while time.monotonic() < deadline and any(worker.poll() is None for worker in workers):
        time.sleep(0.05)
    for worker in workers:
        worker.kill()
