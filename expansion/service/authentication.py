# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls without a token are refused before anything of them is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health

from expansion.service.tokens import NEEDED, Tokens

# Open to everyone: probes of orchestrators send no token, and it says nothing but that the service runs.
_OPEN = f"/{health.SERVICE_NAME}/"


class TokenInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Lets calls in that have a token.

    Args:
        tokens: Those that count.
    """

    def __init__(self, tokens: Tokens):
        self._tokens = tokens

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the method's handler, or one that refuses the call, whether there is such a method or not."""
        if handler_call_details.method.startswith(_OPEN):
            return continuation(handler_call_details)
        sent = [value for key, value in handler_call_details.invocation_metadata if key == "authorization"]
        if len(sent) == 1 and isinstance(sent[0], str) and self._tokens.accept(sent[0]):
            return continuation(handler_call_details)
        return grpc.stream_stream_rpc_method_handler(_refuse)


def _refuse(requests: Any, context: grpc.ServicerContext) -> NoReturn:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, NEEDED)
