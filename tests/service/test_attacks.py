# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from apache_beam.portability.api import (
    beam_expansion_api_pb2,
    beam_runner_api_pb2,
    external_transforms_pb2,
    schema_pb2,
)
from apache_beam.transforms.environments import DockerEnvironment
from google.protobuf.internal.encoder import _VarintBytes

from expansion.contract import urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.service import requests
from expansion.service.expand import ExpansionServicer, Offer

ExpansionRequest = beam_expansion_api_pb2.ExpansionRequest
ExternalConfigurationPayload = external_transforms_pb2.ExternalConfigurationPayload
SchemaTransformPayload = external_transforms_pb2.SchemaTransformPayload


class Exploit:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "code-ran"


@pytest.fixture
def exploit(canary: Path) -> bytes:
    return pickle.dumps(Exploit(canary))


def test_the_exploit_of_these_tests_works(canary, exploit):
    pickle.loads(exploit)
    assert canary.exists()


# Routes by which a request runs code on the host of Beam 2.77's own expansion service, even with
# --fully_qualified_name_glob=nothing, and variants of them.


def pickled_transform(request: ExpansionRequest, exploit: bytes) -> None:
    request.transform.spec.urn = "beam:transform:generic_composite:v1"
    request.transform.spec.payload = exploit


def pickled_transform_in_components(request: ExpansionRequest, exploit: bytes) -> None:
    request.components.transforms["evil"].spec.urn = "beam:transform:pickled_python:v1"
    request.components.transforms["evil"].spec.payload = exploit


def pickled_dofn(request: ExpansionRequest, exploit: bytes) -> None:
    request.components.transforms["evil"].spec.urn = "beam:transform:pardo:v1"
    request.components.transforms["evil"].spec.payload = exploit


def subtransform_of_an_impulse(request: ExpansionRequest, exploit: bytes) -> None:
    pickled_transform_in_components(request, exploit)
    next(iter(request.components.transforms.values())).subtransforms.append("evil")


def subtransform_of_the_request(request: ExpansionRequest, exploit: bytes) -> None:
    pickled_transform_in_components(request, exploit)
    request.transform.subtransforms.append("evil")


def pickled_coder(request: ExpansionRequest, exploit: bytes) -> None:
    request.components.coders["evil"].spec.urn = "beam:coder:pickled_python:v1"
    request.components.coders["evil"].spec.payload = exploit


def pickled_coder_of_the_input(request: ExpansionRequest, exploit: bytes) -> None:
    pickled_coder(request, exploit)
    next(iter(request.components.pcollections.values())).coder_id = "evil"


def pickled_coder_of_the_input_and_an_output(request: ExpansionRequest, exploit: bytes) -> None:
    pickled_coder_of_the_input(request, exploit)
    request.output_coder_requests["0"] = "evil"


def pickled_coder_of_windows(request: ExpansionRequest, exploit: bytes) -> None:
    pickled_coder(request, exploit)
    next(iter(request.components.windowing_strategies.values())).window_coder_id = "evil"


def pickled_coder_in_a_coder(request: ExpansionRequest, exploit: bytes) -> None:
    request.components.coders["evil"].spec.urn = "beam:coder:pickled_python:v1"
    request.components.coders["evil"].spec.payload = exploit
    request.components.coders["list"].spec.urn = "beam:coder:iterable:v1"
    request.components.coders["list"].component_coder_ids.append("evil")


def add_model_uris(request: ExpansionRequest, coder_id: str = "text", window_fn: bytes = b"") -> None:
    """Adds the second input that a configuration with model_uris takes."""
    request.transform.spec.payload = RunInferenceConfig(model_uris={}).SerializeToString()
    request.transform.inputs["model_uris"] = "uris"
    request.components.coders["text"].spec.urn = requests.STRING_CODER
    request.components.pcollections["uris"].coder_id = coder_id
    request.components.pcollections["uris"].windowing_strategy_id = "of uris"
    [windowing] = request.components.windowing_strategies.values()
    request.components.windowing_strategies["of uris"].CopyFrom(windowing)
    if window_fn:
        pickled = beam_runner_api_pb2.FunctionSpec(urn="beam:window_fn:pickled_python:v1", payload=window_fn)
        request.components.windowing_strategies["of uris"].window_fn.CopyFrom(pickled)


def pickled_coder_of_the_model_uris(request: ExpansionRequest, exploit: bytes) -> None:
    pickled_coder(request, exploit)
    add_model_uris(request, coder_id="evil")


def pickle_as_coder_id_of_the_model_uris(request: ExpansionRequest, exploit: bytes) -> None:
    add_model_uris(request, coder_id=exploit.decode("latin-1"))


def pickled_window_fn_of_the_model_uris(request: ExpansionRequest, exploit: bytes) -> None:
    add_model_uris(request, window_fn=exploit)


def pickle_as_coder_id(request: ExpansionRequest, exploit: bytes) -> None:
    next(iter(request.components.pcollections.values())).coder_id = exploit.decode("latin-1")


def pickle_as_component_coder_id(request: ExpansionRequest, exploit: bytes) -> None:
    request.components.coders["list"].spec.urn = "beam:coder:iterable:v1"
    request.components.coders["list"].component_coder_ids.append(exploit.decode("latin-1"))


def pickle_as_window_coder_id(request: ExpansionRequest, exploit: bytes) -> None:
    next(iter(request.components.windowing_strategies.values())).window_coder_id = exploit.decode("latin-1")


def pickle_as_output_coder_id(request: ExpansionRequest, exploit: bytes) -> None:
    request.output_coder_requests["output"] = exploit.decode("latin-1")


def pickled_window_fn(request: ExpansionRequest, exploit: bytes) -> None:
    window_fn = next(iter(request.components.windowing_strategies.values())).window_fn
    window_fn.urn = "beam:window_fn:pickled_python:v1"
    window_fn.payload = exploit


def fully_qualified_constructor(request: ExpansionRequest, exploit: bytes) -> None:
    request.transform.spec.urn = "beam:transforms:python:fully_qualified_named"
    request.transform.spec.payload = external_transforms_pb2.ExternalConfigurationPayload(
        payload=exploit
    ).SerializeToString()


def write_to_big_query(request: ExpansionRequest, exploit: bytes) -> None:
    request.transform.spec.urn = "beam:schematransform:org.apache.beam:bigquery_write:v1"
    request.transform.spec.payload = exploit


def other_schema_transform(request: ExpansionRequest, exploit: bytes) -> None:
    request.transform.spec.urn = requests.SCHEMA_TRANSFORM
    request.transform.spec.payload = SchemaTransformPayload(identifier="beam:other:v1").SerializeToString()


def schema_transform_with(logical_type: schema_pb2.LogicalType, row: bytes) -> bytes:
    field = schema_pb2.Field(name="model", type=schema_pb2.FieldType(logical_type=logical_type))
    return SchemaTransformPayload(
        identifier=urns.RUN_INFERENCE_SCHEMA_TRANSFORM,
        configuration_schema=schema_pb2.Schema(fields=[field]),
        configuration_row=row,
    ).SerializeToString()


def python_callable_in_the_configuration(request: ExpansionRequest, exploit: bytes) -> None:
    source = f"__import__('pickle').loads({exploit!r})".encode()
    request.transform.spec.urn = requests.SCHEMA_TRANSFORM
    request.transform.spec.payload = schema_transform_with(
        schema_pb2.LogicalType(
            urn="beam:logical_type:python_callable:v1",
            representation=schema_pb2.FieldType(atomic_type=schema_pb2.STRING),
        ),
        b"\x01\x00" + _VarintBytes(len(source)) + source,
    )


def python_object_in_the_configuration(request: ExpansionRequest, exploit: bytes) -> None:
    request.transform.spec.urn = requests.SCHEMA_TRANSFORM
    request.transform.spec.payload = schema_transform_with(
        schema_pb2.LogicalType(urn="beam:logical:pythonsdk_any:v1"), b"\x01\x00" + exploit
    )


ATTACKS = {
    pickled_transform: "no such transform here",
    pickled_transform_in_components: "only impulses",
    pickled_dofn: "only impulses",
    subtransform_of_an_impulse: "only impulses",
    subtransform_of_the_request: "already expanded",
    pickled_coder_of_the_input: "only one SDK knows this coder",
    pickled_coder_of_the_input_and_an_output: "only one SDK knows this coder",
    pickled_coder_of_windows: "only one SDK knows this coder",
    pickled_coder: "only one SDK knows this coder",
    pickled_coder_in_a_coder: "only one SDK knows this coder",
    pickled_coder_of_the_model_uris: "only one SDK knows this coder",
    pickle_as_coder_id_of_the_model_uris: "is not in components.coders",
    pickled_window_fn_of_the_model_uris: "only the client's SDK knows",
    pickle_as_coder_id: "is not in components.coders",
    pickle_as_component_coder_id: "is not in components.coders",
    pickle_as_window_coder_id: "is not in components.coders",
    pickle_as_output_coder_id: "is not in components.coders",
    pickled_window_fn: "only the client's SDK knows",
    fully_qualified_constructor: "no such transform here",
    write_to_big_query: "no such transform here",
    other_schema_transform: "this service has no 'beam:other:v1'",
    python_callable_in_the_configuration: "a type that this service does not take",
    python_object_in_the_configuration: "a type that this service does not take",
}


@pytest.mark.parametrize(("attack", "reason"), ATTACKS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_attack_is_refused_and_runs_nothing(python_request, attack, reason, row_source, canary, exploit):
    request = python_request(row_source)
    attack(request, exploit)
    response = ExpansionServicer(Offer(DockerEnvironment.from_container_image("worker"))).Expand(request)
    assert reason in response.error
    assert "Traceback" not in response.error
    assert "internal error" not in response.error
    assert not canary.exists()
