# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a service answers to requests that may be anything."""

from __future__ import annotations

import time
from dataclasses import dataclass

import grpc
from apache_beam.portability.api import beam_expansion_api_pb2, beam_expansion_api_pb2_grpc

_MOST_SECS = 120.0
# gRPC's ways to say that a call was refused by what it is; any other is a failure of the server.
_REFUSALS = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(frozen=True)
class Answer:
    """An answer to an expansion request.

    Attributes:
        error: What the service says is wrong, or the status that gRPC says; empty where there is a graph.
        fault: What is wrong with the answer itself: a traceback, an internal error, a failed call; empty if clear.
        seconds: From the call to the answer.
        response: The graph, where there is one.
    """

    error: str
    fault: str
    seconds: float
    response: beam_expansion_api_pb2.ExpansionResponse | None = None


def ask(
    stub: beam_expansion_api_pb2_grpc.ExpansionServiceStub, request: beam_expansion_api_pb2.ExpansionRequest
) -> Answer:
    """Sends a request."""
    began = time.monotonic()
    try:
        response = stub.Expand(request, timeout=_MOST_SECS)
    except grpc.RpcError as error:
        status = f"{error.code().name}: {error.details()}"
        return Answer(status, "" if error.code() in _REFUSALS else status, time.monotonic() - began)
    return Answer(response.error, _fault_of(response), time.monotonic() - began, response)


def _fault_of(response: beam_expansion_api_pb2.ExpansionResponse) -> str:
    for sign in ("Traceback", "internal error", '  File "'):
        if sign in response.error:
            return response.error
    if len(response.error) > 20_000:
        return f"an error of {len(response.error)} characters"
    return "" if response.error or response.transform.outputs else "neither a graph nor an error"
