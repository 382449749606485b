# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Gives each gRPC call an id, and notes what it is answered with."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from expansion.service import calls
from expansion.service.calls import Call

REQUEST_ID = "x-request-id"
_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_OUTCOME_OF = {
    "RESOURCE_EXHAUSTED": calls.EXHAUSTED,
    "DEADLINE_EXCEEDED": calls.DEADLINE,
    "CANCELLED": calls.CANCELLED,
    "UNAUTHENTICATED": calls.UNAUTHENTICATED,
    "PERMISSION_DENIED": calls.UNAUTHENTICATED,
}
_LOG = logging.getLogger(__name__)


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Gives each call of some services an id, and says when it is answered. To be the first of a server's interceptors.

    The id goes back to the client as trailing metadata ``x-request-id``.

    Args:
        services: Full names of the services. Others go through as they are: health checks and reflection, whose streams
            gRPC treats specially, by attributes of their behaviours.
        on_answered: Is told of each call of these services that was answered, whatever with.
    """

    def __init__(self, services: Collection[str], on_answered: Callable[[Call], None]):
        self._prefixes = tuple(f"/{service}/" for service in services)
        self._on_answered = on_answered

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Wraps what answers a call."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(self._prefixes):
            return handler
        arrived_at = time.monotonic()
        request_id = _id_in(handler_call_details.invocation_metadata)

        def begin(context: grpc.ServicerContext) -> Call:
            context.set_trailing_metadata(((REQUEST_ID, request_id),))
            return Call(method, request_id, context.peer(), arrived_at)

        behaviour, wrap = _behaviour_of(handler)

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            with self._answering(begin(context), context):
                return behaviour(request, context)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._answering(begin(context), context):
                yield from behaviour(request, context)

        watched = stream if handler.response_streaming else answer
        return wrap(watched, handler.request_deserializer, handler.response_serializer)

    @contextmanager
    def _answering(self, call: Call, context: grpc.ServicerContext) -> Iterator[None]:
        calls.set_current(call)
        try:
            yield
            call.code = _name(context) or _delivery(context)
        except Exception:
            call.code = _name(context)
            if not call.code:  # not aborted on purpose; gRPC would tell the client what the exception says
                call.code = "INTERNAL"
                _LOG.exception("internal error %s", call.request_id)
                context.abort(grpc.StatusCode.INTERNAL, f"internal error {call.request_id}; see the service log")
            raise
        finally:
            call.code = call.code or "CANCELLED"  # a stream that its client did not read to the end
            if call.code != "OK":
                call.outcome = _OUTCOME_OF.get(call.code, calls.INTERNAL_ERROR)
                _LOG.info("%s ended with %s after %.0f ms", call.method, call.code, 1e3 * call.seconds)
            self._on_answered(call)
            calls.set_current(None)


def _behaviour_of(handler: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns what answers a call, and what makes a handler of such a thing."""
    if handler.request_streaming:
        if handler.response_streaming:
            return handler.stream_stream, grpc.stream_stream_rpc_method_handler
        return handler.stream_unary, grpc.stream_unary_rpc_method_handler
    if handler.response_streaming:
        return handler.unary_stream, grpc.unary_stream_rpc_method_handler
    return handler.unary_unary, grpc.unary_unary_rpc_method_handler


def _id_in(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    for key, value in metadata or ():
        if key == REQUEST_ID and isinstance(value, str) and _WELL_FORMED_ID.fullmatch(value):
            return value
    return calls.new_id()


def _name(context: Any) -> str:
    """Returns the status that a call was given, if any."""
    code = context.code()
    return code.name if code else ""


def _delivery(context: grpc.ServicerContext) -> str:
    """Returns the status of an answer: whether there is still a client to send it to."""
    return "OK" if context.is_active() else "CANCELLED"
