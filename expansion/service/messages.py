# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls whose message does not come: they have a thread each, which others need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc


class MessageWait(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Bounds how many calls wait for their client's message; when there are more, that which has waited longest ends.

    gRPC gives a call a thread when it begins, and lets it wait for the message there. Whoever may begin calls, and that
    is everyone for health checks, could keep all threads so, and all others out. A client that means it sends both at
    once, so that it is never the one that has waited longest for long. To be the first of a server's interceptors.

    Args:
        most: How many calls may wait.
    """

    def __init__(self, most: int):
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[int, grpc.ServicerContext] = {}  # in the order in which they came
        self._number = 0

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Returns the method's handler, or one that waits for the message of a call here and not in gRPC."""
        handler = continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        if handler.response_streaming:
            behaviour, wrap = self._answered(handler.unary_stream), grpc.stream_stream_rpc_method_handler
        else:
            behaviour, wrap = self._answered(handler.unary_unary), grpc.stream_unary_rpc_method_handler
        return wrap(behaviour, handler.request_deserializer, handler.response_serializer)

    def _answered(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def answer(messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
            return behaviour(self._message(messages, context), context)

        return answer

    def _message(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
        number = self._begin(context)
        try:
            message = next(messages, None)
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if message is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
        return message

    def _begin(self, context: grpc.ServicerContext) -> int:
        with self._lock:
            self._number += 1
            number, longest = self._number, None
            self._waiting[number] = context
            if len(self._waiting) > self._most:
                longest = self._waiting.pop(next(iter(self._waiting)))
        if longest is not None:
            longest.cancel()  # type: ignore[no-untyped-call]
        return number
