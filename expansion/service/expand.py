# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The expansion service: a request in, a graph or a plain message out."""

from __future__ import annotations

import logging
import time
import uuid

import grpc
from apache_beam.portability.api import (
    beam_expansion_api_pb2,
    beam_expansion_api_pb2_grpc,
    external_transforms_pb2,
)
from apache_beam.transforms.environments import Environment
from google.protobuf.message import DecodeError

from expansion.contract import urns
from expansion.contract._gen import run_inference_pb2
from expansion.errors import ConfigError, Problem
from expansion.service import graph, options, requests, rows
from expansion.service.policy import Policy
from expansion.transforms.config import read_config
from expansion.transforms.run_inference import RunInference

_LOG = logging.getLogger(__name__)


class ExpansionServicer(beam_expansion_api_pb2_grpc.ExpansionServiceServicer):  # type: ignore[misc]
    """Answers expansion requests.

    Args:
        environment: Where expanded steps run.
        policy: What the operator lets clients ask for. Default: nothing that may run code from a model's file.
    """

    def __init__(self, environment: Environment, policy: Policy | None = None):
        self._environment = environment
        self._policy = policy or Policy()

    def Expand(  # noqa: N802
        self, request: beam_expansion_api_pb2.ExpansionRequest, context: grpc.ServicerContext | None = None
    ) -> beam_expansion_api_pb2.ExpansionResponse:
        """Expands one transform.

        Returns:
            The graph; or ``error``: every problem of the request, one a line, or an id that leads to the service's log.
        """
        start = time.monotonic()
        try:
            response = expand(request, self._environment, self._policy)
        except ConfigError as error:
            _LOG.info("refused %r: %s", request.namespace[:64], str(error).replace("\n", " | "))
            return beam_expansion_api_pb2.ExpansionResponse(error=str(error))
        except Exception:
            incident = uuid.uuid4().hex[:12]
            _LOG.exception("internal error %s", incident)
            return beam_expansion_api_pb2.ExpansionResponse(error=f"internal error {incident}; see the service log")
        _LOG.info("expanded %r in %.0f ms", request.namespace, 1e3 * (time.monotonic() - start))
        return response


def expand(
    request: beam_expansion_api_pb2.ExpansionRequest, environment: Environment, policy: Policy
) -> beam_expansion_api_pb2.ExpansionResponse:
    """Expands one transform.

    Raises:
        ConfigError: With everything that is wrong with the request and its configuration.
    """
    problems = list(requests.check(request))
    source = requests.source_of(request)
    config, client_options = None, {}
    try:
        config = _config(request)
    except ConfigError as error:
        problems.extend(error.problems)
    try:
        client_options = options.allowed(request.pipeline_options)
    except ConfigError as error:
        problems.extend(error.problems)
    if config is not None:
        problems.extend(policy.check(config))
        problems.extend(requests.check_input(source, config) if source else ())
    if problems or config is None or source is None:
        raise ConfigError(problems)
    composite = RunInference(config, input_schema=source.schema)
    return graph.expand(composite, request, source, client_options, environment)


def _config(request: beam_expansion_api_pb2.ExpansionRequest) -> run_inference_pb2.RunInferenceConfig | None:
    """Reads a request's configuration; None where the transform is none of ours, which ``requests.check`` reports."""
    spec = request.transform.spec
    if spec.urn == urns.RUN_INFERENCE:
        return read_config(spec.payload)
    if spec.urn != requests.SCHEMA_TRANSFORM:
        return None
    try:
        payload = external_transforms_pb2.SchemaTransformPayload.FromString(spec.payload)
    except DecodeError:
        raise ConfigError([Problem("transform.spec.payload", "not a SchemaTransformPayload")]) from None
    if payload.identifier != urns.RUN_INFERENCE_SCHEMA_TRANSFORM:
        got, expected = payload.identifier[:100], urns.RUN_INFERENCE_SCHEMA_TRANSFORM
        problem = Problem("transform.spec.payload.identifier", f"this service has no {got!r}; expected {expected!r}")
        raise ConfigError([problem])
    return read_config(rows.decode(payload.configuration_schema, payload.configuration_row))
