# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The expansion service: a request in, a graph or a plain message out."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import grpc
from apache_beam.portability.api import (
    beam_expansion_api_pb2,
    beam_expansion_api_pb2_grpc,
    external_transforms_pb2,
)
from apache_beam.transforms.environments import Environment
from google.protobuf.message import DecodeError

from expansion import files, models
from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Limits, PresetConfig
from expansion.contract.config import parse
from expansion.contract.docs import doc_of
from expansion.contract.places import Places
from expansion.contract.secrets import redacted, redacted_start
from expansion.errors import ConfigError, Problem
from expansion.service import calls, discover, graph, options, requests, rows
from expansion.service.limits import DEFAULT_LIMITS
from expansion.service.policy import Policy
from expansion.service.presets import Presets, preset_in
from expansion.transforms import config as run_inference_config
from expansion.transforms import ml_transform_config
from expansion.transforms.composite import AnyConfig, Composite
from expansion.transforms.ml_transform import MLTransform
from expansion.transforms.placement import NOWHERE, Placement
from expansion.transforms.run_inference import RunInference

_LOG = logging.getLogger(__name__)
_MAX_LINE = 4_000  # characters


@dataclass(frozen=True)
class _Served:
    """One transform.

    Attributes:
        name: Its name, the same in presets, metrics and logs.
        urn: With this URN its payload is the serialized configuration.
        identifier: With this identifier the configuration is a row.
        kind: The message of its configuration.
        check: Yields what is wrong with one.
        composite: Makes the transform.
    """

    name: str
    urn: str
    identifier: str
    kind: type[Any]
    check: Callable[[Any], Iterable[Problem]]
    composite: Callable[..., Composite[Any]]


_RUN_INFERENCE = _Served(
    "run_inference",
    urns.RUN_INFERENCE,
    urns.RUN_INFERENCE_SCHEMA_TRANSFORM,
    RunInferenceConfig,
    run_inference_config.check,
    RunInference,
)
_ML_TRANSFORM = _Served(
    "ml_transform",
    urns.ML_TRANSFORM,
    urns.ML_TRANSFORM_SCHEMA_TRANSFORM,
    MLTransformConfig,
    ml_transform_config.check,
    MLTransform,
)
_SERVED = (_RUN_INFERENCE, _ML_TRANSFORM)
_BY_NAME = {served.name: served for served in _SERVED}


@dataclass(frozen=True)
class Offer:
    """What a service offers, and where it runs.

    Attributes:
        environment: Where expanded steps run, unless the placement has another for them.
        policy: What the operator lets clients ask for. Default: nothing that may run code from a model's file.
        presets: Published transforms. Default: none.
        placement: Which environments clients may name, and which ones frameworks have.
        environments: All that the placement and presets name, by the name or SPEC.
        limits: How much clients may ask for.
    """

    environment: Environment
    policy: Policy = field(default_factory=Policy)
    presets: Presets = field(default_factory=Presets)
    placement: Placement = NOWHERE
    environments: Mapping[str, Environment] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: DEFAULT_LIMITS)


@dataclass(frozen=True)
class _Asked:
    """What a request asks for: a transform, its checked configuration, and the preset that it came from, or ""."""

    served: _Served
    config: AnyConfig
    preset: str


class ExpansionServicer(beam_expansion_api_pb2_grpc.ExpansionServiceServicer):  # type: ignore[misc]
    """Answers expansion requests.

    Args:
        offer: What is there to be asked for.
    """

    def __init__(self, offer: Offer):
        self._offer = offer

    def Expand(  # noqa: N802
        self, request: beam_expansion_api_pb2.ExpansionRequest, context: grpc.ServicerContext | None = None
    ) -> beam_expansion_api_pb2.ExpansionResponse:
        """Expands one transform.

        Returns:
            The graph; or ``error``: every problem of the request, one a line, or an id that leads to the service's log.
        """
        call = calls.current()
        try:
            response = expand(request, self._offer)
        except ConfigError as error:
            call.outcome = calls.REFUSED
            _LOG.info("refused %r: %s", request.namespace[:64], str(error).replace("\n", " | "))
            return beam_expansion_api_pb2.ExpansionResponse(error=_answer_of(error))
        except Exception:
            call.outcome = calls.INTERNAL_ERROR
            _LOG.exception("internal error %s", call.request_id)
            answer = f"internal error {call.request_id}; see the service log"
            return beam_expansion_api_pb2.ExpansionResponse(error=answer)
        call.outcome = calls.EXPANDED
        _LOG.info("expanded %r in %.0f ms", request.namespace, 1e3 * call.seconds)
        return response

    def DiscoverSchemaTransform(  # noqa: N802
        self,
        request: beam_expansion_api_pb2.DiscoverSchemaTransformRequest,
        context: grpc.ServicerContext | None = None,
    ) -> beam_expansion_api_pb2.DiscoverSchemaTransformResponse:
        """Describes the transforms that take a configuration row, with the schema of the row."""
        ours = ((served.identifier, served.kind, doc_of(served.kind.DESCRIPTOR)) for served in _SERVED)
        presets = ((urns.preset_identifier(each.name), PresetConfig, each.description) for each in self._offer.presets)
        return discover.answer(itertools.chain(ours, presets))


def expand(request: beam_expansion_api_pb2.ExpansionRequest, offer: Offer) -> beam_expansion_api_pb2.ExpansionResponse:
    """Expands one transform. The current call takes note of what is asked for, and of what is wrong with it.

    Raises:
        ConfigError: With everything that is wrong with the request and its configuration.
    """
    call = calls.current()
    problems = call.refuse("request", requests.check(request, offer.limits))
    asked: _Asked | None = None
    client_options: dict[str, Any] = {}
    try:
        asked = _asked_for(request, offer)
    except ConfigError as error:
        problems += call.refuse("config", error.problems)
    try:
        client_options = options.allowed(request.pipeline_options)
    except ConfigError as error:
        problems += call.refuse("options", error.problems)
    if asked is not None:
        if not asked.preset:  # what a preset does is the operator's own word
            problems += call.refuse("policy", offer.policy.check(asked.config))
        problems += call.refuse("policy", offer.placement.check(asked.config))
        problems += call.refuse("input", requests.check_inputs(request, asked.config, offer.limits))
    if problems or asked is None:
        raise ConfigError(problems)
    sources = requests.sources_of(request)
    environment, placement = _place_of(asked, offer)
    rows_schema = requests.rows_of(sources).schema
    reading = nullcontext() if asked.preset else files.reading_only(offer.policy.places.refusal)
    try:
        composite = asked.served.composite(asked.config, input_schema=rows_schema, placement=placement)
        with reading:
            return graph.expand(composite, request, sources, client_options, environment, offer.environments)
    except ConfigError as error:  # what only the input's schema and the model's file tell
        raise ConfigError(call.refuse("model", error.problems)) from error


def _answer_of(error: ConfigError) -> str:
    """Returns what a client is told: a line a problem, none of which is as long as what the client may have sent."""
    lines = str(error).split("\n")
    return redacted("\n".join(redacted_start(line, _MAX_LINE) for line in lines))


def _place_of(asked: _Asked, offer: Offer) -> tuple[Environment, Placement]:
    """Returns where a transform runs; what a preset says of all its steps is said of every framework."""
    preset, placement = offer.presets.get(asked.preset), replace(offer.placement, of_data=_places_of_data(asked, offer))
    if preset is None or not preset.environment:
        return offer.environment, placement
    return offer.environments[preset.environment], replace(placement, of_frameworks={})


def _places_of_data(asked: _Asked, offer: Offer) -> Places:
    """Returns where models may be that data names: where clients may name them, or beside a preset's own template."""
    places, config = offer.policy.places, asked.config
    if asked.preset and isinstance(config, RunInferenceConfig) and config.HasField("per_key"):
        return places.beside(models.framework(config.model)[1].uri)
    return places


def _asked_for(request: beam_expansion_api_pb2.ExpansionRequest, offer: Offer) -> _Asked | None:
    """Returns what is asked for; None where it is none of ours, which ``requests.check`` reports."""
    spec, presets = request.transform.spec, offer.presets
    for served in _SERVED:
        if spec.urn == served.urn:
            return _read(served, lambda: spec.payload, presets)
    if spec.urn != requests.SCHEMA_TRANSFORM:
        return None
    try:
        payload = external_transforms_pb2.SchemaTransformPayload.FromString(spec.payload)
    except DecodeError:
        raise ConfigError([Problem("transform.spec.payload", "not a SchemaTransformPayload")]) from None
    row = partial(rows.decode, payload.configuration_schema, payload.configuration_row, offer.limits.max_depth)
    for served in _SERVED:
        if payload.identifier == served.identifier:
            return _read(served, row, presets)
    preset = presets.get(preset_in(payload.identifier) or "")
    if preset is not None:
        served = _BY_NAME[str(preset.WhichOneof("transform"))]
        return _read(served, lambda: presets.call(preset, row()), presets)
    got = redacted_start(payload.identifier, 100)
    expected = " or ".join(repr(identifier) for identifier in [*(s.identifier for s in _SERVED), *presets.identifiers])
    problem = Problem("transform.spec.payload.identifier", f"this service has no {got!r}; expected {expected}")
    raise ConfigError([problem])


def _read(served: _Served, source: Callable[[], bytes | Mapping[str, Any] | AnyConfig], presets: Presets) -> _Asked:
    """Reads and checks a configuration, with what a preset that it names says.

    Raises:
        ConfigError: With everything that is wrong with it.
    """
    call = calls.current()
    call.transform = served.name
    parsed = parse(served.kind, source())
    name = parsed.config.preset
    call.preset = name if presets.get(name) else ""
    return _Asked(served, run_inference_config.checked(presets.fill(parsed), served.check), name)
