# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Beam's local job service, on 127.0.0.1 and for batch.

Beam's servers in the process that runs a job (control, data, state, logging) bind all interfaces and share ports that
are in use. There is no option against that, so ``grpc.server`` is replaced in this process, before any of them starts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import grpc
from apache_beam.portability import common_urns
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_job_api_pb2,
    beam_runner_api_pb2,
)
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.runners.portability.local_job_service import LocalJobServicer

LOOPBACK = "127.0.0.1"
_NOTICE_SECS = 2.0
_LOG = logging.getLogger(__name__)


def bind_loopback_only() -> None:
    """Makes every gRPC server that this process starts from now on listen on 127.0.0.1, on a port of its own."""
    plain_server: Any = grpc.server

    def server(thread_pool: Any, *, options: Sequence[tuple[str, Any]] = ()) -> Any:
        result = plain_server(thread_pool, options=[*options, ("grpc.so_reuseport", 0)])
        bind = result.add_insecure_port
        result.add_insecure_port = lambda address: bind(f"{LOOPBACK}:{address.rpartition(':')[2]}")
        return result

    vars(grpc)["server"] = server


def send_inputs_in_parts() -> None:
    """Makes the runner in this process send a step's input in parts of some 10 MB, while it takes the output.

    Beam joins the whole input to one message first (``BundleManager._send_input_to_worker``), which takes several
    times its size in fresh memory on either side and fails beyond 2 GiB. Parts wait until the worker has room for
    them, and the worker until the runner takes what it made of the parts before: hence a thread.
    """

    def send(self: Any, bundle_id: str, transform_id: str, byte_streams: Iterable[bytes] | None) -> None:
        stream = self._worker_handler.data_conn.output_stream(bundle_id, transform_id)
        threading.Thread(target=_send_parts, args=(stream, list(byte_streams or ())), daemon=True).start()

    fn_runner.BundleManager._send_input_to_worker = send


def _send_parts(stream: Any, parts: list[bytes]) -> None:
    for part in parts:
        stream.write(part)
        stream.maybe_flush()
    stream.close()


def end_jobs_soon() -> None:
    """Makes the runner in this process end a job when its work is done.

    Beam waits five seconds for workers to close their streams, which Java's never do.
    """
    worker_handlers.GrpcServer._DEFAULT_SHUTDOWN_TIMEOUT_SECS = 0.5


@worker_handlers.WorkerHandler.register_environment("beam:env:external:v1", beam_runner_api_pb2.ExternalPayload)
class LocalWorkerHandler(worker_handlers.ExternalWorkerHandler):  # type: ignore[misc]
    """A worker of a job.

    Has it connect to 127.0.0.1 (Beam names the machine's host name), has it stopped (Beam leaves it), and fails the job
    when it crashes (Beam would wait for ever).
    """

    _running: ClassVar[dict[str, LocalWorkerHandler]] = {}

    @classmethod
    def worker_ended(cls, worker_id: str, code: int) -> None:
        """Fails the job of a worker that has ended before the job has."""
        handler = cls._running.pop(worker_id, None)
        if handler:
            handler._end = f"{worker_id} ended by itself, with exit code {code}"
            handler._ended.set()
            _fail(handler.control_conn, handler._end)

    def start_worker(self) -> None:
        """Starts the worker.

        Raises:
            RuntimeError: The pool does not answer, or can't start one.
        """
        self._end = ""
        self._ended = threading.Event()
        self.data_conn.input_elements = self._saying_why(self.data_conn.input_elements)
        self._running[self.worker_id] = self
        try:
            super().start_worker()
        except grpc.RpcError as error:
            del self._running[self.worker_id]
            url = self._external_payload.endpoint.url
            command = f"beam-ml-expansion worker-pool --port {url.rpartition(':')[2]}"
            raise RuntimeError(
                f"no worker pool answers at {url} ({error.details()}); start one there, with {command}, or correct "
                "the environment, of the service or of the pipeline"
            ) from None

    def _saying_why(self, input_elements: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Has a runner that waits for the data of a worker that has crashed say so, not that a channel is closed."""

        def elements(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from input_elements(*args, **kwargs)
            except RuntimeError as error:
                # The connection is seen to end at about the time that the process is.
                if self._ended.wait(_NOTICE_SECS):
                    raise RuntimeError(self._end) from error
                raise

        return elements

    def host_from_worker(self) -> str:
        """Returns the host that workers connect to."""
        return LOOPBACK

    def stop_worker(self) -> None:
        """Has the worker stopped. Best effort: it also ends by itself, as the connection to it is closed."""
        self._running.pop(self.worker_id, None)
        with grpc.insecure_channel(self._external_payload.endpoint.url) as channel:
            pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
            try:
                pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=self.worker_id), timeout=10)
            except grpc.RpcError as error:
                _LOG.info("worker %s: %s", self.worker_id, error)


def _fail(connection: worker_handlers.ControlConnection, error: str) -> None:
    """Answers with an error what a worker was asked and what it will be asked.

    Beam has ``abort`` for this, which a runner that waits for the worker's data does not see.
    """

    def response(instruction_id: str) -> beam_fn_api_pb2.InstructionResponse:
        return beam_fn_api_pb2.InstructionResponse(instruction_id=instruction_id, error=error)

    def push(request: Any) -> Any:
        if request is worker_handlers.BeamFnControlServicer._DONE_MARKER:
            return plain_push(request)
        request.instruction_id = request.instruction_id or f"unanswered_{id(request)}"
        return worker_handlers.ControlFuture(request.instruction_id, response(request.instruction_id))

    plain_push, connection.push = connection.push, push
    for waiting in list(connection._futures_by_id.values()):
        waiting.set(response(waiting.instruction_id))


class LocalJobs(LocalJobServicer):  # type: ignore[misc]
    """Beam's local job service. It holds everything in memory, so it refuses unbounded collections."""

    def get_service_address(self) -> str:
        """Returns the host that clients connect to."""
        return LOOPBACK

    def Prepare(  # noqa: N802
        self, request: beam_job_api_pb2.PrepareJobRequest, context: grpc.ServicerContext, timeout: float | None = None
    ) -> beam_job_api_pb2.PrepareJobResponse:
        """Takes a pipeline, unless it is unbounded, or has an environment that Beam's local runner can't start."""
        for environment in request.pipeline.components.environments.values():
            if environment.urn == common_urns.environments.PROCESS.urn:
                command = beam_runner_api_pb2.ProcessPayload.FromString(environment.payload).command
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"the local runner starts no process:{command}; leave --environment out, or give the service "
                    "external:HOST:PORT or docker:IMAGE; Prism and Flink start processes",
                )
        for pcollection in request.pipeline.components.pcollections.values():
            if pcollection.is_bounded == beam_runner_api_pb2.IsBounded.UNBOUNDED:
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"the local runner is for batch: {pcollection.unique_name} is unbounded; run this pipeline on "
                    "Prism, Flink or Dataflow",
                )
        return super().Prepare(request, context, timeout)


def start_job_service(port: int) -> tuple[LocalJobs, str]:
    """Starts the job service; returns it and its address."""
    jobs = LocalJobs()
    return jobs, f"{LOOPBACK}:{jobs.start_grpc_server(port)}"
