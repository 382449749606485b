# Licensed under the Apache License, Version 2.0; see LICENSE.
"""vertex_ai: models on endpoints of Google's Vertex AI, called with predict over REST."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from expansion.contract._gen import model_pb2
from expansion.contract.declared import check_fields
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import at, did_you_mean
from expansion.contract.secrets import redacted_start
from expansion.errors import Problem, SystemicError
from expansion.imports import check_arguments
from expansion.models.remote_calls import RemoteCalls, check_calls
from expansion.models.runtime import Runtime
from expansion.models.signature import Signature
from expansion.models.vertex_ai_address import is_endpoint, read_address
from expansion.models.vertex_ai_json import check_numbers, instances, predictions
from expansion.tensors.arrays import joined
from expansion.tensors.columns import Column, Columns

if TYPE_CHECKING:
    from expansion.models.vertex_ai_endpoint import Endpoint

_FORMATS = ("object", "value")


def check(config: model_pb2.VertexAiModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not is_endpoint(config.uri):
        got = f"got {redacted_start(config.uri, 200)!r}" if config.uri else "missing"
        yield Problem("uri", f"{got}; expected projects/PROJECT/locations/LOCATION/endpoints/ENDPOINT")
    yield from check_fields("inputs", config.inputs, "what the model takes")
    yield from check_fields("outputs", config.outputs, "what the model returns")
    yield from at("calls", check_calls(config.calls))
    yield from check_arguments("parameters", config.parameters)
    if config.instance_format not in ("", *_FORMATS):
        got = f"got {config.instance_format[:60]!r}"
        yield Problem("instance_format", f"{got}; {did_you_mean(config.instance_format, _FORMATS)}")
    elif config.instance_format == "value" and len(config.inputs) > 1:
        yield Problem("instance_format", f"got 'value', and there are {len(config.inputs)} inputs; expected 'object'")
    yield from _check_address(config)


def _check_address(config: model_pb2.VertexAiModel) -> Iterator[Problem]:
    address = read_address(config.uri, config.api_endpoint)
    if address is None:
        if config.api_endpoint:
            got = f"got {redacted_start(config.api_endpoint, 200)!r}"
            yield Problem(
                "api_endpoint", f"{got}; expected HOST or HOST:PORT; http:// only for the worker's own machine"
            )
    elif config.token_file and not (address.is_of_google or address.is_loopback):
        reason = f"is set, and a token is not sent to {address.origin}"
        yield Problem("token_file", f"{reason}; expected an address of Google or of the worker's own machine")


def permissions(config: model_pb2.VertexAiModel) -> Iterator[Permission]:
    """Yields nothing: what the endpoint runs is its own, and workers run nothing that it sends."""
    yield from ()


def signature(config: model_pb2.VertexAiModel) -> Signature:
    """Returns the inputs and outputs as they are declared: only workers call the endpoint."""
    inputs = {field.name: Field.from_proto(field) for field in config.inputs}
    return Signature(inputs, {field.name: Field.from_proto(field) for field in config.outputs})


def build(config: model_pb2.VertexAiModel, runtime: Runtime = Runtime()) -> VertexAiEndpoint:
    """Finds credentials. Vertex AI can't say what a model takes, so the endpoint is not called before there are rows.

    Device and threads are the endpoint's own business; ``runtime`` is not used.

    Raises:
        SystemicError: There are no credentials.
    """
    from expansion.models.vertex_ai_endpoint import Endpoint  # and an HTTP client with it

    address = read_address(config.uri, config.api_endpoint)
    if address is None:
        raise SystemicError(f"{config.uri!r} at {config.api_endpoint!r} is no endpoint")
    calls = RemoteCalls(config.calls, f"{address.origin}/v1/{config.uri}")
    return VertexAiEndpoint(config, Endpoint(config.uri, address, calls, config.token_file), calls)


class VertexAiEndpoint:
    """A model on an endpoint. Used by several threads at once."""

    def __init__(self, config: model_pb2.VertexAiModel, endpoint: Endpoint, calls: RemoteCalls):
        self._signature = signature(config)
        self._instance_format = config.instance_format or "object"
        self._parameters = {name: json.loads(value) for name, value in config.parameters.items()}
        self._endpoint = endpoint
        self._calls = calls

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Has the endpoint run the model on a batch, in as few requests as it takes."""
        batch = {name: joined(columns, self._signature.inputs[name]) for name, columns in inputs.items()}
        for name, column in batch.items():
            check_numbers(name, column)
        wanted = [self._signature.outputs[name] for name in outputs]
        further = {"parameters": self._parameters} if self._parameters else {}

        def send(start: int, stop: int) -> Columns:
            part = {name: column.slice(start, stop) for name, column in batch.items()}
            body = json.dumps({"instances": instances(part, self._instance_format), **further}, allow_nan=False)
            response = self._endpoint.predict(body.encode())
            return Columns(predictions(response, wanted, self._signature.outputs, stop - start), stop - start)

        row_count = next(iter(inputs.values())).row_count
        return dict(Columns.concat(self._calls.in_parts(row_count, send)))
