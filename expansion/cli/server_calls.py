# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls of a running service, as commands make them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from apache_beam.portability.api import beam_expansion_api_pb2, beam_expansion_api_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expansion.errors import ExpansionError

TIMEOUT_SECS = 10
# A token for services that want one, which command lines would show to other users of the machine.
TOKEN_VARIABLE = "BEAM_ML_EXPANSION_TOKEN"  # noqa: S105 - its name


def discover(server: str, ca_file: Path | None = None) -> list[dict[str, Any]]:
    """Returns the schema transforms that a service serves: identifier, description, inputs, outputs and fields.

    Raises:
        ExpansionError: It does not answer, or does not know the call.
    """
    request = beam_expansion_api_pb2.DiscoverSchemaTransformRequest()
    with _channel(server, ca_file) as channel:
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        answer = _called(server, stub.DiscoverSchemaTransform, request)
    return [
        {
            "identifier": identifier,
            "description": config.description,
            "inputs": list(config.input_pcollection_names),
            "outputs": list(config.output_pcollection_names),
            "fields": {field.name: field.description for field in config.config_schema.fields},
        }
        for identifier, config in sorted(answer.schema_transform_configs.items())
    ]


def health(server: str, ca_file: Path | None = None) -> str:
    """Returns what a service says of its health: "SERVING" or "NOT_SERVING".

    Raises:
        ExpansionError: It does not answer.
    """
    with _channel(server, ca_file) as channel:
        answer = _called(server, health_pb2_grpc.HealthStub(channel).Check, health_pb2.HealthCheckRequest())
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@contextmanager
def _channel(server: str, ca_file: Path | None) -> Iterator[grpc.Channel]:
    options = (("grpc.enable_http_proxy", 0),)
    if ca_file is None:
        channel = grpc.insecure_channel(server, options=options)
    else:
        channel = grpc.secure_channel(server, grpc.ssl_channel_credentials(ca_file.read_bytes()), options=options)
    with channel:
        yield channel


def _called(server: str, method: Any, request: Any) -> Any:
    token = os.environ.get(TOKEN_VARIABLE)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    try:
        return method(request, timeout=TIMEOUT_SECS, metadata=metadata)
    except grpc.RpcError as error:
        raise ExpansionError(_reason(error)) from error


def _reason(error: Any) -> str:
    code = error.code()
    hints = {
        grpc.StatusCode.UNAVAILABLE: "does not answer; is a service running there, in clear or with TLS as expected?",
        grpc.StatusCode.UNIMPLEMENTED: "answers, and does not know this call; is it beam-ml-expansion?",
        grpc.StatusCode.UNAUTHENTICATED: f"wants a token; set {TOKEN_VARIABLE}",
        grpc.StatusCode.DEADLINE_EXCEEDED: f"did not answer within {TIMEOUT_SECS} s",
    }
    return hints.get(code, f"{code.name}: {error.details()}")
