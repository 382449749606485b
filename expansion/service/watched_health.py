# Licensed under the Apache License, Version 2.0; see LICENSE.
"""gRPC's health service, of which many watches can't keep a server from anything."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from functools import partial

import grpc
from grpc_health.v1 import health, health_pb2

_MOST_WATCHES = 32


class WatchedHealth(health.HealthServicer):
    """Has a thread for each watch, and not more watches than that.

    gRPC's own watches need no threads, but it sends what changes with its lock held, and waits until it is sent. The
    thread that would tell it so may be waiting for that lock, to take note of a watch that has ended: a server with
    many watches of a client that vanished never stopped.
    """

    def __init__(self) -> None:
        super().__init__(experimental_non_blocking=False)
        self._watches = threading.BoundedSemaphore(_MOST_WATCHES)

    def Watch(  # type: ignore[override]  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext, send_response_callback: None = None
    ) -> Iterator[health_pb2.HealthCheckResponse]:
        """Yields the status of a service, and again when it changes, until the client has gone."""
        if not self._watches.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"there are {_MOST_WATCHES} watches; use Check")
        changes: queue.SimpleQueue[health_pb2.HealthCheckResponse | None] = queue.SimpleQueue()
        unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        with self._lock:
            changes.put(health_pb2.HealthCheckResponse(status=self._server_status.get(request.service, unknown)))
            watching = self._send_response_callbacks.setdefault(request.service, set())
            watching.add(changes.put)
        try:
            if context.add_callback(partial(changes.put, None)):  # else it has ended already
                while (response := changes.get()) is not None:
                    yield response
        finally:
            with self._lock:
                watching.discard(changes.put)
                if not watching:  # clients choose names
                    self._send_response_callbacks.pop(request.service, None)
            self._watches.release()
