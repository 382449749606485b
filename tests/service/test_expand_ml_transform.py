# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform as the service expands it: graphs, what clients learn of the result, and what is refused."""

from __future__ import annotations

import pytest
from apache_beam.coders import RowCoder
from apache_beam.portability.api import beam_runner_api_pb2, external_transforms_pb2, schema_pb2
from apache_beam.typehints.schemas import named_tuple_from_schema

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig, MLTransformResult
from expansion.service import environments, requests
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.policy import Policy

SCALE = {"scale_to_01": {"columns": ["a"]}}
HASH = {"hash_strings": {"columns": ["id"], "buckets": 10, "outputs": ["bucket"]}}


@pytest.fixture
def servicer() -> ExpansionServicer:
    return ExpansionServicer(Offer(environments.parse("docker:worker:1")))


@pytest.fixture
def request_for(python_request, row_source):
    """Returns what Python's ExternalTransform sends for a configuration, applied to rows of id, a and b."""

    def request_for(**config):
        payload = MLTransformConfig(**config).SerializeToString()
        return python_request(row_source, payload, urn=urns.ML_TRANSFORM)

    return request_for


@pytest.fixture
def wire_request(java_request):
    """Returns what Java's External sends for a configuration, applied to TensorBatches of a and b."""

    def wire_request(**config):
        columns = [{"name": name, "datatype": "FP64"} for name in ("a", "b")]
        wire = {"columns": columns, "opaque_columns": ["element"], "return_columns": ["b"]}
        request = java_request("bytes", MLTransformConfig(tensor_batch=wire, **config).SerializeToString())
        request.transform.spec.urn = urns.ML_TRANSFORM
        return request

    return wire_request


def output_fields(response, tag="output"):
    components = response.components
    coder = components.coders[components.pcollections[response.transform.outputs[tag]].coder_id]
    return [(field.name, field.type.atomic_type) for field in schema_pb2.Schema.FromString(coder.spec.payload).fields]


def test_rows_come_back_transformed_and_errors_without_a_model(servicer, request_for):
    response = servicer.Expand(request_for(operations=[HASH], error_handling={"output": "errors"}))
    assert response.error == ""
    assert set(response.transform.outputs) == {"output", "errors"}
    assert output_fields(response) == [
        ("id", schema_pb2.STRING),
        ("a", schema_pb2.DOUBLE),
        ("b", schema_pb2.DOUBLE),
        ("bucket", schema_pb2.INT64),
    ]
    assert [name for name, _ in output_fields(response, "errors")] == ["element", "stage", "error_type", "message"]


def test_a_column_is_replaced_in_its_place_and_what_is_dropped_is_gone(servicer, request_for):
    hash_in_place = {"hash_strings": {"columns": ["id"], "buckets": 10}}
    select = {"select": {"columns": ["b", "id"]}}
    response = servicer.Expand(request_for(operations=[hash_in_place], post_hooks=[select]))
    assert output_fields(response) == [("id", schema_pb2.INT64), ("b", schema_pb2.DOUBLE)]


def test_the_answer_says_what_becomes_of_the_columns(servicer, wire_request):
    rename = {"rename": {"columns": {"b": "c"}}}
    response = servicer.Expand(
        wire_request(
            operations=[SCALE], post_hooks=[rename], per_window=False, write_artifact_location="/none/features"
        )
    )
    assert response.error == ""
    result = MLTransformResult.FromString(response.transform.annotations[urns.ML_TRANSFORM_RESULT])
    assert [(field.name, field.datatype) for field in result.columns] == [("a", "FP64"), ("c", "FP64")]
    assert list(result.dropped) == ["b"]
    assert urns.RUN_INFERENCE_RESULT not in response.transform.annotations


@pytest.mark.parametrize("how", ["neither", "write", "read", "per_window"])
def test_the_same_request_gives_the_same_graph_twice(servicer, request_for, tmp_path, write_artifact, how):
    write_artifact(str(tmp_path / "read"))
    rename = {"rename": {"columns": {"a": "age", "id": "city"}}}
    config = {
        "neither": {"operations": [HASH]},
        "write": {"operations": [SCALE, HASH], "write_artifact_location": str(tmp_path / "write")},
        "read": {"read_artifact_location": str(tmp_path / "read"), "pre_hooks": [rename]},
        "per_window": {"operations": [SCALE, HASH], "per_window": True},
    }[how]
    request = request_for(**config)
    first, second = servicer.Expand(request), servicer.Expand(request)
    assert first.error == ""
    assert first == second
    assert not (tmp_path / "write").exists()


def test_the_same_tensor_batch_request_gives_the_same_graph_twice(servicer, wire_request):
    request = wire_request(operations=[SCALE], write_artifact_location="/none/features")
    first = servicer.Expand(request)
    assert first.error == ""
    assert first == servicer.Expand(request)


def test_every_id_in_the_answer_leads_somewhere(servicer, request_for):
    request = request_for(operations=[SCALE, {"scale_to_01": {"columns": ["a"]}}], write_artifact_location="/none")
    response = servicer.Expand(request)
    components = response.components
    for transform in (response.transform, *components.transforms.values()):
        assert set(transform.subtransforms) <= set(components.transforms)
        assert {*transform.inputs.values(), *transform.outputs.values()} <= set(components.pcollections)
        assert transform.environment_id in {"", *components.environments}
    for pcollection in components.pcollections.values():
        assert pcollection.coder_id in components.coders
        assert pcollection.windowing_strategy_id in components.windowing_strategies
    assert {name for name in components.transforms if not name.startswith(request.namespace)} == set()


def test_a_schema_transform_gives_the_same_graph_as_the_message(servicer, request_for):
    schema = _schema(
        operations=_array(_row(hash_strings=_row(columns=_array(STRING), outputs=_array(STRING), buckets=INT64)))
    )
    row = named_tuple_from_schema(schema)
    operation = named_tuple_from_schema(schema.fields[0].type.array_type.element_type.row_type.schema)
    message = named_tuple_from_schema(
        schema.fields[0].type.array_type.element_type.row_type.schema.fields[0].type.row_type.schema
    )
    request = request_for(operations=[HASH])
    by_message = servicer.Expand(request)
    request.transform.spec.urn = requests.SCHEMA_TRANSFORM
    request.transform.spec.payload = external_transforms_pb2.SchemaTransformPayload(
        identifier=urns.ML_TRANSFORM_SCHEMA_TRANSFORM,
        configuration_schema=schema,
        configuration_row=RowCoder(schema).encode(row([operation(message(["id"], ["bucket"], 10))])),
    ).SerializeToString()
    assert servicer.Expand(request) == by_message


STRING = schema_pb2.FieldType(atomic_type=schema_pb2.STRING)
INT64 = schema_pb2.FieldType(atomic_type=schema_pb2.INT64)


def _schema(**fields):
    names = "_".join(fields)
    entries = [schema_pb2.Field(name=name, type=kind) for name, kind in fields.items()]
    return schema_pb2.Schema(id=f"test_{names}", fields=entries)


def _row(**fields):
    return schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=_schema(**fields)))


def _array(element):
    return schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=element))


def test_an_identifier_that_the_service_does_not_have_is_refused_with_those_that_it_has(servicer, request_for):
    request = request_for(operations=[HASH])
    request.transform.spec.urn = requests.SCHEMA_TRANSFORM
    payload = external_transforms_pb2.SchemaTransformPayload(identifier="beam:x:v1")
    request.transform.spec.payload = payload.SerializeToString()
    error = servicer.Expand(request).error
    assert urns.RUN_INFERENCE_SCHEMA_TRANSFORM in error
    assert urns.ML_TRANSFORM_SCHEMA_TRANSFORM in error


def test_an_unbounded_input_is_refused_where_something_is_to_be_written(servicer, request_for):
    request = request_for(operations=[SCALE], write_artifact_location="/none")
    for pcollection in request.components.pcollections.values():
        pcollection.is_bounded = beam_runner_api_pb2.IsBounded.UNBOUNDED
    assert servicer.Expand(request).error.startswith("write_artifact_location: the input is unbounded")


def test_what_the_directory_says_is_said_to_the_client(servicer, request_for, tmp_path, write_artifact):
    request = request_for(read_artifact_location=str(tmp_path))
    assert servicer.Expand(request).error.startswith("read_artifact_location: there is no artifact in")
    write_artifact(str(tmp_path))
    writes = MLTransformConfig(operations=[SCALE], write_artifact_location=str(tmp_path))
    request.transform.spec.payload = writes.SerializeToString()
    assert servicer.Expand(request).error.startswith("write_artifact_location: there is an artifact in")


def test_hooks_need_the_permissions_that_they_need_in_run_inference(servicer, request_for):
    hook = {"custom": {"columns": ["a"], "outputs": [{"name": "a", "datatype": "FP32"}], "function": "mine.halve"}}
    request = request_for(operations=[HASH], pre_hooks=[hook], post_hooks=[hook])
    errors = servicer.Expand(request).error.splitlines()
    assert [error.split(":")[0] for error in errors] == [
        "pre_hooks[0].custom.function",
        "post_hooks[0].custom.function",
    ]
    permissive = ExpansionServicer(Offer(environments.parse("docker:worker:1"), Policy({"--allow-import": ["mine"]})))
    assert permissive.Expand(request).error == ""
