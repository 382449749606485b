# Licensed under the Apache License, Version 2.0; see LICENSE.
"""When no more calls arrive, so that a server can stop without losing those that it has not looked at yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health

# Kept short, as every stop takes this long; a server under load looks at several calls in each of the looks.
_LOOKS = 10
_LOOK_SECS = 0.05
_HEALTH = f"/{health.SERVICE_NAME}/"


class Arrivals(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Sees calls arrive.

    gRPC takes calls off a connection one by one, each time that its thread gets a turn, and a server that stops refuses
    those that it has not taken yet. Under load there were up to 58 of 64, long after their clients had sent them.

    Attributes:
        count: How many have arrived, health checks aside, which go on for as long as there is a server.
    """

    def __init__(self) -> None:
        self.count = 0

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Counts the call."""
        if not handler_call_details.method.startswith(_HEALTH):
            self.count += 1  # on the one thread that takes calls
        return continuation(handler_call_details)

    def wait_for_quiet(self, timeout_secs: float) -> None:
        """Returns when none has arrived for half a second, or when the time is over.

        It looks several times in that half second: each look needs a turn of the interpreter, as taking a call does.
        """
        deadline = time.monotonic() + timeout_secs
        seen, quiet = self.count, 0
        while quiet < _LOOKS and time.monotonic() < deadline:
            time.sleep(_LOOK_SECS)
            seen, quiet = self.count, quiet + 1 if seen == self.count else 0
