# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the service tells clients of its transforms, and that a row of such a schema can hold every configuration."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.coders import RowCoder
from apache_beam.coders.coder_impl import CoderImpl
from apache_beam.portability.api import beam_expansion_api_pb2, schema_pb2
from apache_beam.transforms.external import ExplicitSchemaTransformPayloadBuilder
from apache_beam.typehints.schema_registry import SCHEMA_REGISTRY
from apache_beam.typehints.schemas import named_tuple_from_schema, named_tuple_to_schema
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import ErrorHandling, RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset
from expansion.contract.config import is_repeated, parse_mapping
from expansion.contract.docs import doc_of
from expansion.service import discover, environments, rows, schemas
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.presets import Presets

CONFORMANCE = Path(__file__).parents[1] / "conformance"
CONFIGS = {RunInferenceConfig: "run_inference", MLTransformConfig: "ml_transform"}
CASES = [(kind, path) for kind, folder in CONFIGS.items() for path in sorted((CONFORMANCE / folder).glob("*.json"))]


@pytest.fixture(scope="module")
def transforms() -> dict[str, Any]:
    servicer = ExpansionServicer(Offer(environments.parse("docker:worker:1")))
    response = servicer.DiscoverSchemaTransform(beam_expansion_api_pb2.DiscoverSchemaTransformRequest())
    return dict(response.schema_transform_configs)


@cache
def coder_of(message: Descriptor) -> CoderImpl:
    return RowCoder(discover.schema_of(message)).get_impl()


def row_of(message: Descriptor, config: dict[str, Any]) -> SimpleNamespace:
    """Returns a row as Beam's coder takes it: with an attribute for each field, None where it is not set."""
    return SimpleNamespace(
        **{
            field.name: None if config.get(field.name) is None else value_of(field, config[field.name])
            for field in message.fields
        }
    )


def value_of(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is None or field.message_type.GetOptions().map_entry:
        return value
    return (
        [row_of(field.message_type, item) for item in value]
        if is_repeated(field)
        else row_of(field.message_type, value)
    )


def received(kind: type[Message], config: dict[str, Any]) -> dict[str, Any]:
    """Returns what the service reads when a client has encoded a configuration with Beam's coder and our schema."""
    schema = discover.schema_of(kind.DESCRIPTOR)
    return rows.decode(schema, coder_of(kind.DESCRIPTOR).encode(row_of(kind.DESCRIPTOR, config)))


def sent_and_read(kind: type[Message], config: dict[str, Any]) -> Message:
    parsed = parse_mapping(kind, received(kind, config))
    assert parsed.problems == []
    return parsed.config


def read(kind: type[Message], config: dict[str, Any]) -> Message:
    parsed = parse_mapping(kind, config)
    assert parsed.problems == []
    return parsed.config


SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: itertools.cycle(["größer", "", "x"]),
    FieldDescriptor.CPPTYPE_BOOL: itertools.cycle([True, False]),
    FieldDescriptor.CPPTYPE_DOUBLE: itertools.cycle([0.1, -0.0, float("inf"), 1e-300]),
    FieldDescriptor.CPPTYPE_INT64: itertools.cycle([2**63 - 1, -(2**63) + 1, 0, 300]),
    FieldDescriptor.CPPTYPE_INT32: itertools.cycle([2**31 - 1, -(2**31) + 1, 0]),
}


def samples(message: Descriptor) -> list[dict[str, Any]]:
    """Returns configurations that together have every field of a message, and of the messages in it."""
    wholes = {field.name: values(field) for field in message.fields if not field.containing_oneof}
    choices = [[(field.name, value) for field in oneof.fields for value in values(field)] for oneof in message.oneofs]
    count = max(map(len, [*wholes.values(), *choices]), default=1)
    return [
        {name: each[number] for name, each in wholes.items() if number < len(each)}
        | dict(choice[number] for choice in choices if number < len(choice))
        for number in range(count)
    ]


def values(field: FieldDescriptor) -> list[Any]:
    """Returns values of a field that together have every field of its message."""
    if field.message_type is None:
        each = [next(SCALARS[field.cpp_type]) for _ in range(3)]
    elif field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return [dict(zip(map(str, range(3)), values(value), strict=True)) if not key.message_type else {}]
    else:
        each = [{}, *samples(field.message_type)]
    return [each, []] if is_repeated(field) else each


def fields_in(message: Message) -> Iterator[str]:
    """Yields the full names of all fields that are set, at any depth."""
    for field, value in message.ListFields():
        yield field.full_name
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for item in value if is_repeated(field) else [value]:
                yield from fields_in(item)


def fields_of(message: Descriptor) -> set[str]:
    found = {field.full_name for field in message.fields}
    inner = [field.message_type for field in message.fields if field.message_type is not None]
    return found.union(*(fields_of(each) for each in inner if not each.GetOptions().map_entry))


def rows_in(schema: schema_pb2.Schema) -> Iterator[schema_pb2.Schema]:
    yield schema
    for field in schema.fields:
        kind = field.type
        while kind.WhichOneof("type_info") == "array_type":
            kind = kind.array_type.element_type
        if kind.WhichOneof("type_info") == "row_type":
            yield from rows_in(kind.row_type.schema)


def test_both_transforms_are_found_under_the_identifiers_that_expansion_takes(transforms):
    assert set(transforms) == {urns.RUN_INFERENCE_SCHEMA_TRANSFORM, urns.ML_TRANSFORM_SCHEMA_TRANSFORM}
    for config in transforms.values():
        assert config.input_pcollection_names == ["input"]
        assert config.output_pcollection_names == ["output", "errors"]


def test_presets_are_found_with_what_the_operator_says_of_them():
    preset = Preset(name="digits", description="Classifies digits.", run_inference={"model": {"onnx": {"uri": "a"}}})
    servicer = ExpansionServicer(Offer(environments.parse("docker:worker:1"), presets=Presets([preset])))
    response = servicer.DiscoverSchemaTransform(beam_expansion_api_pb2.DiscoverSchemaTransformRequest())
    found = response.schema_transform_configs["beamml:schematransform:preset:digits:v1"]
    assert found.description == "Classifies digits."
    assert [field.name for field in found.config_schema.fields] == ["error_handling"]
    assert len(response.schema_transform_configs) == 3


def test_transforms_and_fields_say_what_the_contract_says_of_them(transforms):
    config = transforms[urns.RUN_INFERENCE_SCHEMA_TRANSFORM]
    assert config.description == doc_of(RunInferenceConfig.DESCRIPTOR)
    assert {field.name: field.description for field in config.config_schema.fields} == {
        field.name: doc_of(field) for field in RunInferenceConfig.DESCRIPTOR.fields
    }
    silent = [field for schema in rows_in(config.config_schema) for field in schema.fields if not field.description]
    assert silent == []


def test_every_field_is_nullable_and_what_is_in_arrays_and_maps_is_not(transforms):
    for config in transforms.values():
        for schema in rows_in(config.config_schema):
            for field in schema.fields:
                assert field.type.nullable, field.name
                assert not field.type.array_type.element_type.nullable, field.name
                assert not field.type.map_type.value_type.nullable, field.name


def test_ids_are_uuids_of_the_content(transforms):
    contents: dict[str, bytes] = {}
    for config in transforms.values():
        for schema in rows_in(config.config_schema):
            assert str(uuid.UUID(schema.id)) == schema.id
            content = schema.SerializeToString(deterministic=True)
            assert contents.setdefault(schema.id, content) == content
    assert len(contents) == len(set(contents.values())) > 50


def test_another_process_gives_the_same_ids():
    code = (
        "from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig\n"
        "from expansion.service.discover import schema_of\n"
        "print(schema_of(RunInferenceConfig.DESCRIPTOR).id)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == discover.schema_of(RunInferenceConfig.DESCRIPTOR).id


def test_schemas_are_small_enough_for_every_client_and_for_the_requests_that_bring_them_back(transforms):
    limit = 4 << 20  # what gRPC's clients receive at most by default, and what this service does
    assert sum(config.ByteSize() for config in transforms.values()) < limit / 4
    for config in transforms.values():
        assert list(schemas.check(config.config_schema, logical_types=())) == []


def test_discovery_leaves_nothing_in_beams_registry():
    before = len(SCHEMA_REGISTRY.by_id) + len(SCHEMA_REGISTRY.by_typing)
    servicer = ExpansionServicer(Offer(environments.parse("docker:worker:1")))
    for _ in range(3):
        servicer.DiscoverSchemaTransform(beam_expansion_api_pb2.DiscoverSchemaTransformRequest())
    assert len(SCHEMA_REGISTRY.by_id) + len(SCHEMA_REGISTRY.by_typing) == before


@pytest.mark.parametrize("kind", CONFIGS, ids=CONFIGS.values())
def test_every_field_of_the_contract_reaches_the_message_with_its_value(kind):
    found: set[str] = set()
    for config in samples(kind.DESCRIPTOR):
        message = sent_and_read(kind, config)
        assert message == read(kind, config)
        found.update(fields_in(message))
    assert found == fields_of(kind.DESCRIPTOR)


def test_every_configuration_of_the_conformance_cases_reaches_the_message_as_it_is():
    for kind, path in CASES:
        config = json.loads(path.read_text())["config"]
        assert sent_and_read(kind, config) == read(kind, config), path.name


def test_what_pythons_client_makes_of_a_configuration_is_read():
    schema = named_tuple_to_schema(named_tuple_from_schema(discover.schema_of(RunInferenceConfig.DESCRIPTOR)))
    config = {"model": {"onnx": {"uri": "a"}}, "post_hooks": [{"softmax": {}}], "batching": {"max_batch_size": 300}}
    payload = ExplicitSchemaTransformPayloadBuilder("any", schema, **config).build()
    read_back = parse_mapping(RunInferenceConfig, rows.decode(payload.configuration_schema, payload.configuration_row))
    assert read_back.config == read(RunInferenceConfig, config)


def test_a_hook_without_parameters_is_an_empty_row_and_not_null():
    config = {"post_hooks": [{"softmax": {}}, {"l2_normalize": {"columns": []}}]}
    message = sent_and_read(RunInferenceConfig, config)
    assert [hook.WhichOneof("operation") for hook in message.post_hooks] == ["softmax", "l2_normalize"]


def test_zero_is_told_from_null_where_the_contract_does():
    assert sent_and_read(ErrorHandling, {"max_error_rate": 0.0}).HasField("max_error_rate")
    assert not sent_and_read(ErrorHandling, {"max_error_rate": None}).HasField("max_error_rate")


def test_two_of_a_oneof_are_refused_where_they_are():
    values = received(RunInferenceConfig, {"model": {"onnx": {"uri": "a"}, "sklearn": {"uri": "b"}}})
    problems = parse_mapping(RunInferenceConfig, values).problems
    assert [problem.path for problem in problems] == ["model.sklearn"]
