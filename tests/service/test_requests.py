# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_expansion_api_pb2, schema_pb2

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.service import requests
from expansion.service.limits import DEFAULT_LIMITS

ExpansionRequest = beam_expansion_api_pb2.ExpansionRequest

ROWS = RunInferenceConfig()
TENSOR_BATCHES = RunInferenceConfig(tensor_batch={"columns": [{"name": "x", "datatype": "FP32"}]})
MODEL_URIS = RunInferenceConfig(model_uris={})


def problems_of(request: ExpansionRequest, config: RunInferenceConfig | None = None) -> str:
    found = list(requests.check(request))
    if config is not None:
        found += requests.check_inputs(request, config)
    return "\n".join(map(str, found))


# What real clients send ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "config"), [("bytes", TENSOR_BATCHES), ("rows", ROWS)])
def test_a_request_of_beam_java_is_taken(java_request, name, config):
    assert problems_of(java_request(name), config) == ""


def test_a_request_of_beam_python_is_taken(python_request, row_source):
    assert problems_of(python_request(row_source), ROWS) == ""


def test_a_windowed_request_of_beam_python_is_taken(python_request):
    source = beam.Create([beam.Row(x=1.0)]) | beam.WindowInto(beam.window.Sessions(10))
    assert problems_of(python_request(source), ROWS) == ""


@pytest.mark.parametrize("uris", [["a.onnx"], [beam.Row(uri="a.onnx")]], ids=["texts", "rows"])
def test_a_request_of_beam_python_with_model_uris_is_taken(python_request, row_source, uris):
    uris = beam.Create(uris) | beam.WindowInto(beam.window.FixedWindows(10))
    assert problems_of(python_request({"input": row_source, "model_uris": uris}), MODEL_URIS) == ""


def test_a_request_of_beam_java_with_model_uris_is_taken(java_request):
    config = RunInferenceConfig(model_uris={}, tensor_batch=TENSOR_BATCHES.tensor_batch)
    assert problems_of(java_request("uris"), config) == ""


def test_the_pickles_that_beam_python_asks_for_as_outputs_are_neither_refused_nor_used(python_request, row_source):
    request = python_request(row_source)
    [coder_id] = request.output_coder_requests.values()
    assert request.components.coders[coder_id].spec.urn == "beam:coder:pickled_python:v1"
    assert requests.unused_coders(request) == {coder_id}


def test_artifacts_and_images_that_a_client_names_are_not_in_the_graph(java_request):
    request = java_request("bytes")
    for environment in request.components.environments.values():
        environment.payload = b"\n\x04evil"
    assert problems_of(request, TENSOR_BATCHES) == ""  # they are the client's business, and no step of ours runs there


# What can't work, and the way out ------------------------------------------------------------------------------------


def test_a_coder_that_only_java_knows_is_refused_with_the_way_out(java_request):
    found = problems_of(java_request("own_coder"), ROWS)
    assert "coders['ListCoder']" in found
    assert "got 'beam:coders:javasdk:0.1'" in found
    assert "Java client library" in found
    assert len(found.splitlines()) == 1


def test_python_elements_without_a_schema_are_refused_with_the_way_out(python_request):
    found = problems_of(python_request(beam.Create([object])), ROWS)
    assert "beam.Select" in found


def test_elements_that_are_no_rows_are_refused_with_the_way_out(python_request):
    found = problems_of(python_request(beam.Create(["text"])), ROWS)
    assert "got 'beam:coder:string_utf8:v1'" in found
    assert "beam.Select" in found


def test_rows_are_no_tensor_batches(python_request, row_source):
    assert "got 'beam:coder:row:v1'" in problems_of(python_request(row_source), TENSOR_BATCHES)


def test_tensor_batches_must_be_in_the_global_window(python_request):
    source = beam.Create([b"batch"]) | beam.WindowInto(beam.window.FixedWindows(10))
    assert "opaque column" in problems_of(python_request(source), TENSOR_BATCHES)


def test_a_window_function_that_only_java_knows_is_refused_with_the_way_out(java_request):
    request = java_request("rows")
    next(iter(request.components.windowing_strategies.values())).window_fn.urn = "beam:window_fn:serialized_java:v1"
    found = problems_of(request, ROWS)
    assert "'beam:window_fn:serialized_java:v1'" in found
    assert "after this transform" in found
    assert len(found.splitlines()) == 1


def test_a_column_of_python_objects_is_refused(java_request):
    request = java_request("rows")
    schema = schema_pb2.Schema.FromString(request.components.coders["RowCoder"].spec.payload)
    schema.fields[0].type.CopyFrom(
        schema_pb2.FieldType(logical_type=schema_pb2.LogicalType(urn="beam:logical:pythonsdk_any:v1"))
    )
    request.components.coders["RowCoder"].spec.payload = schema.SerializeToString()
    assert problems_of(request, ROWS).startswith("input.schema.id: a type that this service does not take")


def test_all_problems_are_reported_at_once(python_request, row_source):
    request = python_request(row_source)
    request.transform.spec.urn = "beam:transform:other:v1"
    request.namespace = ""
    request.output_coder_requests["x"] = "missing"
    assert len(problems_of(request).splitlines()) == 3


# Limits --------------------------------------------------------------------------------------------------------------


def nest(request: ExpansionRequest, depth: int) -> None:
    request.components.coders["level1"].spec.urn = requests.BYTES_CODER
    for level in range(2, depth + 1):
        request.components.coders[f"level{level}"].spec.urn = "beam:coder:iterable:v1"
        request.components.coders[f"level{level}"].component_coder_ids.append(f"level{level - 1}")


def test_coders_nested_to_the_limit_are_taken(python_request, row_source):
    request = python_request(row_source)
    nest(request, DEFAULT_LIMITS.max_depth)
    assert problems_of(request) == ""


def test_coders_nested_beyond_the_limit_are_refused(python_request, row_source):
    request = python_request(row_source)
    nest(request, DEFAULT_LIMITS.max_depth + 1)
    assert "nested in a cycle or too deeply" in problems_of(request)


def test_a_cycle_of_coders_is_refused(python_request, row_source):
    request = python_request(row_source)
    for one, other in (("a", "b"), ("b", "a")):
        request.components.coders[one].spec.urn = "beam:coder:iterable:v1"
        request.components.coders[one].component_coder_ids.append(other)
    assert "nested in a cycle or too deeply" in problems_of(request)


def test_a_wide_graph_of_coders_is_checked_in_linear_time(python_request, row_source):
    request = python_request(row_source)
    nest(request, DEFAULT_LIMITS.max_depth)
    for level in range(2, DEFAULT_LIMITS.max_depth + 1):  # 100^15 paths
        request.components.coders[f"level{level}"].component_coder_ids.extend([f"level{level - 1}"] * 99)
    assert problems_of(request) == ""


def test_too_many_components_are_refused(python_request, row_source):
    request = python_request(row_source)
    for index in range(DEFAULT_LIMITS.max_components):
        request.components.coders[f"c{index}"].spec.urn = requests.BYTES_CODER
    assert "expected at most 10000" in problems_of(request)


def test_a_long_name_which_every_step_would_repeat_is_refused(java_request):
    request = java_request("rows")
    request.transform.unique_name = "x" * 1_000
    assert problems_of(request) == ""
    request.transform.unique_name = "x" * 1_001
    assert problems_of(request).startswith("transform.unique_name: got 1001 characters")
    assert len(problems_of(request)) < 500


def test_rows_of_too_many_columns_are_refused(java_request):
    request = java_request("rows")
    text = schema_pb2.FieldType(atomic_type=schema_pb2.STRING)
    schema = schema_pb2.Schema(fields=[schema_pb2.Field(name=f"f{number}", type=text) for number in range(10_001)])
    request.components.coders["RowCoder"].spec.payload = schema.SerializeToString()
    assert problems_of(request, ROWS) == "input.schema: got 10001 fields; expected at most 10000"


def test_a_deeply_nested_column_is_refused(java_request):
    request = java_request("rows")
    field_type = schema_pb2.FieldType(atomic_type=schema_pb2.FLOAT)
    for _ in range(17):
        field_type = schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=field_type))
    schema = schema_pb2.Schema(fields=[schema_pb2.Field(name="deep", type=field_type)])
    request.components.coders["RowCoder"].spec.payload = schema.SerializeToString()
    assert "input.schema.deep: nested too deeply" in problems_of(request, ROWS)


def test_a_row_coder_without_a_schema_is_refused(java_request):
    request = java_request("rows")
    request.components.coders["RowCoder"].spec.payload = b"\xff"
    assert "its payload is not a schema" in problems_of(request, ROWS)


@pytest.mark.parametrize(("count", "got"), [(0, "none"), (2, "'0', '1'"), (4, "'0', '1', '2', …")])
def test_a_request_with_another_number_of_inputs_than_one_is_refused(python_request, row_source, count, got):
    request = python_request(row_source)
    [pcollection_id] = request.transform.inputs.values()
    request.transform.inputs.clear()
    request.transform.inputs.update({str(index): pcollection_id for index in range(count)})
    expected = f"got inputs {got}; expected one; only a configuration with model_uris takes another"
    assert problems_of(request, ROWS) == expected


@pytest.mark.parametrize("tags", [["input"], ["input", "uris"], ["0", "1"]])
def test_model_uris_without_an_input_of_that_name_are_refused_with_the_way_out(python_request, row_source, tags):
    request = python_request(row_source)
    [pcollection_id] = request.transform.inputs.values()
    request.transform.inputs.clear()
    request.transform.inputs.update(dict.fromkeys(tags, pcollection_id))
    got = ", ".join(map(repr, tags))
    assert problems_of(request, MODEL_URIS) == (
        f"model_uris: got inputs {got}; expected 'input' and 'model_uris'; pass the uris as an input of that name"
    )


@pytest.mark.parametrize(
    ("uris", "got"),
    [
        ([b"a.onnx"], "'beam:coder:bytes:v1'"),
        ([beam.Row(uri=1)], "rows of 'uri'"),
        ([beam.Row(uri="a.onnx", day=1)], "rows of 'uri', 'day'"),
    ],
)
def test_model_uris_that_are_no_texts_are_refused_with_the_way_out(python_request, row_source, uris, got):
    found = problems_of(python_request({"input": row_source, "model_uris": beam.Create(uris)}), MODEL_URIS)
    assert found.startswith("model_uris: elements must be texts (beam:coder:string_utf8:v1), or rows of one field")
    assert f"got {got} (Python: with_output_types(str); Java: StringUtf8Coder)" in found


def test_rows_beside_model_uris_are_checked_as_ever(python_request, row_source):
    request = python_request({"input": beam.Create(["text"]), "model_uris": beam.Create(["a.onnx"])})
    assert problems_of(request, MODEL_URIS).startswith("input: elements must be rows")


def test_an_input_that_is_not_there_is_refused(python_request, row_source):
    request = python_request(row_source)
    request.transform.inputs["input"] = "missing"
    assert "'missing' is not in components.pcollections" in problems_of(request)


@pytest.mark.parametrize("namespace", ["", "a b", "x" * 65, "../x"])
def test_a_namespace_that_makes_no_ids_is_refused(python_request, row_source, namespace):
    request = python_request(row_source)
    request.namespace = namespace
    assert problems_of(request).startswith("namespace: got ")


def test_ids_that_could_collide_with_the_expansions_own_are_refused(python_request, row_source):
    request = python_request(row_source)
    request.components.coders[f"{request.namespace}_coder_of_outputs"].spec.urn = requests.BYTES_CODER
    assert "starts with the namespace" in problems_of(request)


def test_messages_quote_at_most_100_characters_on_one_line(python_request, row_source):
    request = python_request(row_source)
    request.transform.spec.urn = "line\n" * 1000
    assert len(problems_of(request)) < 400
    assert len(problems_of(request).splitlines()) == 1
