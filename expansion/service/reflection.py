# Licensed under the Apache License, Version 2.0; see LICENSE.
"""gRPC reflection: tools such as grpcurl ask a server for its services and their messages."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

# A stream holds a thread for as long as its client likes, so it must be none of those that expand.
_THREADS = 2
_STREAM_SECS = 10.0


class _Servicer(reflection_pb2_grpc.ServerReflectionServicer):  # type: ignore[misc]
    def __init__(self, services: Collection[str]):
        self._answers: Any = reflection.ReflectionServicer(services)

    def ServerReflectionInfo(self, request_iterator: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        """Answers a stream of questions."""
        # A client that stays away would keep others waiting.
        timer = threading.Timer(_STREAM_SECS, context.cancel)
        timer.daemon = True
        timer.start()
        try:
            yield from self._answers.ServerReflectionInfo(request_iterator, context)
        finally:
            timer.cancel()


def add_to(server: grpc.Server, services: Collection[str]) -> None:
    """Has a server answer what it serves, on threads of its own.

    Args:
        server: Not started yet.
        services: Full names of its services, without this one.
    """
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="reflection")
    vars(_Servicer)["ServerReflectionInfo"].experimental_thread_pool = pool  # where gRPC looks for it
    servicer = _Servicer([*services, reflection.SERVICE_NAME])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
