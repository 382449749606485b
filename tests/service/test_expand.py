# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import logging
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import grpc
import pytest
from apache_beam.coders import RowCoder
from apache_beam.portability.api import (
    beam_expansion_api_pb2,
    beam_expansion_api_pb2_grpc,
    beam_runner_api_pb2,
    external_transforms_pb2,
    schema_pb2,
)
from apache_beam.transforms.external import ExplicitSchemaTransformPayloadBuilder, ExternalTransform
from apache_beam.typehints.schema_registry import SCHEMA_REGISTRY
from apache_beam.typehints.schemas import named_tuple_from_schema, named_tuple_to_schema

from expansion.contract import urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceResult
from expansion.models import sklearn
from expansion.service import environments, graph, requests
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.limits import DEFAULT_LIMITS
from expansion.service.server import ExpansionServer

UNBOUNDED = beam_runner_api_pb2.IsBounded.UNBOUNDED


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ExpansionServer("127.0.0.1", 0, Offer(environments.parse("docker:worker:1")))
    yield server.address
    server.drain()


@pytest.fixture
def service(address) -> Iterator[beam_expansion_api_pb2_grpc.ExpansionServiceStub]:
    with grpc.insecure_channel(address) as channel:
        yield beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)


@pytest.fixture
def servicer() -> ExpansionServicer:
    return ExpansionServicer(Offer(environments.parse("docker:worker:1")))


def output_schema(response: beam_expansion_api_pb2.ExpansionResponse, tag: str) -> dict[str, int]:
    components = response.components
    coder = components.coders[components.pcollections[response.transform.outputs[tag]].coder_id]
    assert coder.spec.urn == requests.ROW_CODER
    return {field.name: field.type.atomic_type for field in schema_pb2.Schema.FromString(coder.spec.payload).fields}


# What a client gets --------------------------------------------------------------------------------------------------


def test_rows_come_back_with_their_columns_the_predictions_and_the_models_id(
    service, python_request, row_source, row_config
):
    response = service.Expand(python_request(row_source, row_config.SerializeToString()))
    assert response.error == ""
    assert set(response.transform.outputs) == {"output", "errors"}
    assert list(output_schema(response, "output")) == ["id", "a", "b", "predict", "model_id"]
    assert list(output_schema(response, "errors")) == ["element", "stage", "error_type", "message", "model_id"]


def test_there_is_one_output_when_nobody_asks_for_errors(service, python_request, row_source, row_config):
    row_config.ClearField("error_handling")
    response = service.Expand(python_request(row_source, row_config.SerializeToString()))
    assert set(response.transform.outputs) == {"output"}


def test_tensor_batches_go_in_and_come_out_as_bytes(service, java_request, wire_config):
    response = service.Expand(java_request("bytes", wire_config.SerializeToString()))
    assert response.error == ""
    assert set(response.transform.outputs) == {"output", "errors"}
    for pcollection_id in response.transform.outputs.values():
        coder_id = response.components.pcollections[pcollection_id].coder_id
        assert response.components.coders[coder_id].spec.urn == requests.BYTES_CODER


def test_the_answer_says_what_the_predictions_are(service, java_request, wire_config):
    response = service.Expand(java_request("bytes", wire_config.SerializeToString()))
    result = RunInferenceResult.FromString(response.transform.annotations[urns.RUN_INFERENCE_RESULT])
    assert [(field.name, field.datatype) for field in result.predictions] == [("predict", "INT64")]


def test_a_schema_transform_gives_the_same_graph_as_the_message(
    service, python_request, row_source, model_uri, row_config
):
    schema = config_schema()
    config = row_of(schema)(
        model={"sklearn": {"uri": model_uri}},
        inputs=[{"name": "X", "columns": ["a", "b"]}],
        error_handling={"output": "errors"},
    )
    payload = external_transforms_pb2.SchemaTransformPayload(
        identifier=urns.RUN_INFERENCE_SCHEMA_TRANSFORM,
        configuration_schema=schema,
        configuration_row=RowCoder(schema).encode(config),
    )
    request = python_request(row_source, row_config.SerializeToString())
    by_message = service.Expand(request)
    request.transform.spec.urn = requests.SCHEMA_TRANSFORM
    request.transform.spec.payload = payload.SerializeToString()
    by_row = service.Expand(request)
    assert by_row.error == ""
    assert by_row == by_message


STRING = schema_pb2.FieldType(atomic_type=schema_pb2.STRING)


def config_schema() -> schema_pb2.Schema:
    """A configuration's schema as discovery would give it, cut down to what these tests set."""

    def row(schema_id: str, **fields: schema_pb2.FieldType) -> schema_pb2.FieldType:
        entries = [schema_pb2.Field(name=name, type=kind) for name, kind in fields.items()]
        schema = schema_pb2.Schema(id=schema_id, fields=entries)
        return schema_pb2.FieldType(nullable=True, row_type=schema_pb2.RowType(schema=schema))

    def array(element: schema_pb2.FieldType) -> schema_pb2.FieldType:
        element.nullable = False
        return schema_pb2.FieldType(nullable=True, array_type=schema_pb2.ArrayType(element_type=element))

    return row(
        "test_config",
        model=row("test_model", onnx=row("test_onnx", uri=STRING), sklearn=row("test_sklearn", uri=STRING)),
        inputs=array(row("test_input", name=STRING, columns=array(STRING))),
        error_handling=row("test_error_handling", output=STRING),
    ).row_type.schema


def row_of(schema: schema_pb2.Schema):
    """Returns a function that makes a row of nested dicts and lists."""

    def convert(kind: schema_pb2.FieldType, value: object) -> object:
        if value is None:
            return None
        if kind.HasField("row_type"):
            return row_of(kind.row_type.schema)(**value)
        if kind.HasField("array_type"):
            return [convert(kind.array_type.element_type, item) for item in value]
        return value

    def make(**values: object) -> object:
        return named_tuple_from_schema(schema)(*[convert(f.type, values.get(f.name)) for f in schema.fields])

    return make


def test_the_same_request_gives_the_same_graph_twice(service, python_request, row_source, row_config):
    request = python_request(row_source, row_config.SerializeToString())
    assert service.Expand(request) == service.Expand(request)


def test_the_same_tensor_batch_request_gives_the_same_graph_twice(service, java_request, wire_config):
    request = java_request("bytes", wire_config.SerializeToString())
    assert service.Expand(request) == service.Expand(request)


def test_new_ids_have_the_namespace_of_the_request_and_the_requests_components_stay(
    service, python_request, row_source, row_config
):
    request = python_request(row_source, row_config.SerializeToString())
    unused = requests.unused_coders(request)
    components = service.Expand(request).components
    for name in ("pcollections", "coders", "windowing_strategies", "environments"):
        before, after = getattr(request.components, name), getattr(components, name)
        kept = {id_: proto for id_, proto in after.items() if not id_.startswith(f"{request.namespace}_")}
        assert kept == {id_: proto for id_, proto in before.items() if id_ not in unused}
    assert all(transform_id.startswith(f"{request.namespace}_") for transform_id in components.transforms)


def test_every_id_in_the_answer_leads_somewhere(service, java_request, wire_config):
    request = java_request("bytes", wire_config.SerializeToString())
    response = service.Expand(request)
    components = response.components
    for transform in (response.transform, *components.transforms.values()):
        assert set(transform.subtransforms) <= set(components.transforms)
        assert {*transform.inputs.values(), *transform.outputs.values()} <= set(components.pcollections)
        assert transform.environment_id in {"", *components.environments}
    for pcollection in components.pcollections.values():
        assert pcollection.coder_id in components.coders
        assert pcollection.windowing_strategy_id in components.windowing_strategies
    for strategy in components.windowing_strategies.values():
        assert strategy.allowed_lateness == 0  # as in the request: nothing of the placeholders' is left
        assert strategy.window_coder_id in components.coders
        assert strategy.environment_id in components.environments
    assert response.transform.inputs == request.transform.inputs
    assert response.transform.unique_name == request.transform.unique_name


def test_outputs_keep_the_windows_of_the_input_with_ids_and_an_environment_of_ours(service, java_request, row_config):
    row_config.inputs[0].columns[:] = ["x", "x"]
    request = java_request("rows", row_config.SerializeToString())
    [theirs] = request.components.windowing_strategies.values()
    response = service.Expand(request)
    assert response.error == ""
    for pcollection_id in response.transform.outputs.values():
        strategy_id = response.components.pcollections[pcollection_id].windowing_strategy_id
        ours = response.components.windowing_strategies[strategy_id]
        assert strategy_id.startswith("External_1_")
        assert ours.window_coder_id.startswith("External_1_")
        assert ours.environment_id.startswith("External_1_")
        assert ours.window_fn == theirs.window_fn
        assert ours.trigger == theirs.trigger
        assert ours.closing_behavior == theirs.closing_behavior


def test_outputs_of_an_unbounded_input_are_unbounded(service, java_request, wire_config):
    request = java_request("bytes", wire_config.SerializeToString())
    for pcollection in request.components.pcollections.values():
        pcollection.is_bounded = UNBOUNDED
    response = service.Expand(request)
    for pcollection_id in response.transform.outputs.values():
        assert response.components.pcollections[pcollection_id].is_bounded == UNBOUNDED


def test_steps_run_in_the_operators_environment_whatever_the_client_sends(service, java_request, wire_config):
    request = java_request("bytes", wire_config.SerializeToString())
    request.pipeline_options["beam:option:environment_type:v1"] = "PROCESS"
    request.pipeline_options["beam:option:sdk_container_image:v1"] = "evil"
    components = service.Expand(request).components
    ours = {transform.environment_id for transform in components.transforms.values()}
    images = {components.environments[environment_id].payload for environment_id in ours}
    assert images == {beam_runner_api_pb2.DockerPayload(container_image="worker:1").SerializeToString()}


def test_beam_python_builds_a_pipeline_around_an_expansion(address, row_config):
    pipeline = beam.Pipeline()
    rows = pipeline | beam.Create([beam.Row(a=1.0, b=2.0)]) | beam.WindowInto(beam.window.FixedWindows(60))
    outputs = rows | ExternalTransform(urns.RUN_INFERENCE, row_config.SerializeToString(), address)
    assert set(outputs) == {"output", "errors"}
    _ = outputs["output"] | beam.Map(lambda row: row.predict) | beam.combiners.Count.Globally().without_defaults()
    assert isinstance(outputs["output"].windowing.windowfn, beam.window.FixedWindows)
    proto = pipeline.to_runner_api()
    assert any("Inference" in transform.unique_name for transform in proto.components.transforms.values())


# A second input ------------------------------------------------------------------------------------------------------


def windowing_of(response: beam_expansion_api_pb2.ExpansionResponse, pcollection_id: str):
    components = response.components
    return components.windowing_strategies[components.pcollections[pcollection_id].windowing_strategy_id]


def side_input(response: beam_expansion_api_pb2.ExpansionResponse) -> str:
    """Returns the id of the only PCollection that a step has as a side input."""
    [(step, tag)] = [
        (step, tag)
        for step in response.components.transforms.values()
        if step.spec.urn == "beam:transform:pardo:v1"
        for tag in beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload).side_inputs
    ]
    return step.inputs[tag]


def test_uris_of_beam_java_are_an_input_of_the_graph(service, java_request, uris_config):
    request = java_request("uris", uris_config.SerializeToString())
    response = service.Expand(request)
    assert response.error == ""
    assert response.transform.inputs == request.transform.inputs
    read = {id_ for step in response.components.transforms.values() for id_ in step.inputs.values()}
    assert set(request.transform.inputs.values()) <= read <= set(response.components.pcollections)
    assert service.Expand(request) == response


@pytest.mark.parametrize("uris", [["a.skops"], [beam.Row(uri="a.skops")]], ids=["texts", "rows"])
def test_uris_of_beam_python_are_an_input_of_the_graph(address, row_config, row_source, uris):
    row_config.model_uris.SetInParent()
    pipeline = beam.Pipeline()
    rows = pipeline | row_source | beam.WindowInto(beam.window.FixedWindows(60))
    inputs = {"input": rows, "model_uris": pipeline | "Uris" >> beam.Create(uris)}
    outputs = inputs | ExternalTransform(urns.RUN_INFERENCE, row_config.SerializeToString(), address)
    assert isinstance(outputs["output"].windowing.windowfn, beam.window.FixedWindows)
    assert pipeline.to_runner_api()


def test_each_input_has_its_own_windows_and_uris_are_waited_for_in_none(service, python_request, row_config):
    row_config.model_uris.SetInParent()
    trigger = beam.trigger.Repeatedly(beam.trigger.AfterCount(7))
    mode = beam.trigger.AccumulationMode.DISCARDING
    rows = beam.Create([beam.Row(a=1.0, b=2.0)]) | beam.WindowInto(
        beam.window.GlobalWindows(), trigger, accumulation_mode=mode
    )
    uris = beam.Create(["a.skops"]) | beam.WindowInto(beam.window.SlidingWindows(60, 5))
    request = python_request({"input": rows, "model_uris": uris}, row_config.SerializeToString())
    response = service.Expand(request)
    assert response.error == ""
    for pcollection_id in response.transform.outputs.values():
        assert windowing_of(response, pcollection_id).trigger.HasField("repeat")
    newest = windowing_of(response, side_input(response))
    assert newest.window_fn.urn == requests.GLOBAL_WINDOWS
    assert newest.trigger.HasField("default")


def test_uris_that_do_not_end_are_used_as_they_come(service, java_request, uris_config):
    request = java_request("uris", uris_config.SerializeToString())
    request.components.pcollections[request.transform.inputs["model_uris"]].is_bounded = UNBOUNDED
    response = service.Expand(request)
    newest = windowing_of(response, side_input(response))
    assert newest.trigger.repeat.subtrigger.element_count.element_count == 1
    assert newest.accumulation_mode == beam_runner_api_pb2.AccumulationMode.ACCUMULATING
    for pcollection_id in response.transform.outputs.values():
        assert response.components.pcollections[pcollection_id].is_bounded != UNBOUNDED
        assert windowing_of(response, pcollection_id).trigger.HasField("default")


def test_inputs_that_do_not_suit_the_configuration_are_refused(service, java_request, uris_config):
    response = service.Expand(java_request("bytes", uris_config.SerializeToString()))
    assert response.error.startswith("model_uris: got inputs 'org.apache.beam.sdk.values.PCollection")
    uris_config.ClearField("model_uris")
    response = service.Expand(java_request("uris", uris_config.SerializeToString()))
    assert "got inputs 'input', 'model_uris'; expected one" in response.error


# What goes wrong -----------------------------------------------------------------------------------------------------


def test_problems_of_the_request_and_of_the_configuration_come_together(
    service, python_request, row_source, row_config
):
    row_config.model.sklearn.format = "parquet"
    request = python_request(row_source, row_config.SerializeToString())
    request.output_coder_requests["x"] = "missing"
    request.pipeline_options["beam:option:streaming:v1"] = "perhaps"
    lines = service.Expand(request).error.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "output_coder_requests['x']",
        "model.sklearn.format",
        "pipeline_options.streaming",
    ]


def test_a_configuration_that_does_not_suit_the_input_is_refused(service, python_request, row_source, row_config):
    row_config.inputs[0].columns[0] = "aa"
    response = service.Expand(python_request(row_source, row_config.SerializeToString()))
    assert "inputs[0].columns" in response.error
    assert "did you mean 'a'?" in response.error
    assert "Traceback" not in response.error


@pytest.mark.parametrize("payload", [b"\xff", b"not a config"])
def test_a_payload_that_is_no_configuration_is_refused(service, python_request, row_source, payload):
    response = service.Expand(python_request(row_source, payload))
    assert "not a serialized RunInferenceConfig" in response.error


def test_a_schema_transform_payload_that_is_none_is_refused(service, python_request, row_source):
    response = service.Expand(python_request(row_source, b"\xff", urn=requests.SCHEMA_TRANSFORM))
    assert response.error == "transform.spec.payload: not a SchemaTransformPayload"


def test_a_model_file_that_takes_long_to_read_delays_nobody_else(monkeypatch, servicer, java_request, wire_config):
    reading, may_go_on = threading.Event(), threading.Event()
    signature = sklearn.signature

    def slow(message):
        if message.methods:
            reading.set()
            may_go_on.wait(30)
        return signature(message)

    monkeypatch.setattr(sklearn, "signature", slow)
    fast = java_request("bytes", wire_config.SerializeToString())
    wire_config.model.sklearn.methods.append("predict")
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(servicer.Expand, java_request("bytes", wire_config.SerializeToString()))
        assert reading.wait(30)
        early = pool.submit(servicer.Expand, fast)
        try:
            assert early.result(timeout=20).error == ""
            assert not late.done()
        finally:
            may_go_on.set()
        assert late.result().error == ""


def test_a_namespace_is_logged_on_one_line(servicer, python_request, row_source, row_config, caplog):
    request = python_request(row_source, row_config.SerializeToString())
    request.namespace = "x\nINFO expanded everything"
    with caplog.at_level(logging.INFO):
        assert "namespace" in servicer.Expand(request).error
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_an_unexpected_error_is_logged_and_answered_with_an_id_only(
    servicer, python_request, row_source, row_config, monkeypatch, caplog
):
    monkeypatch.setattr(graph, "expand", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR):
        error = servicer.Expand(python_request(row_source, row_config.SerializeToString())).error
    [incident] = re.fullmatch(r"internal error (\w{16}); see the service log", error).groups()
    assert incident in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_request_beyond_4_mib_is_refused_and_the_service_goes_on(service, java_request, wire_config):
    with pytest.raises(grpc.RpcError) as raised:
        service.Expand(java_request("bytes", b"x" * (DEFAULT_LIMITS.max_request_bytes + 1)))
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service.Expand(java_request("bytes", wire_config.SerializeToString())).error == ""


def test_a_transform_that_is_discovered_is_expanded_with_a_row_of_its_schema(
    service, python_request, row_source, model_uri
):
    found = service.DiscoverSchemaTransform(beam_expansion_api_pb2.DiscoverSchemaTransformRequest())
    schema = named_tuple_to_schema(
        named_tuple_from_schema(found.schema_transform_configs["beamml:schematransform:run_inference:v1"].config_schema)
    )
    builder = ExplicitSchemaTransformPayloadBuilder(
        "beamml:schematransform:run_inference:v1",
        schema,
        model={"sklearn": {"uri": model_uri}},
        inputs=[{"name": "X", "columns": ["a", "b"]}],
    )
    response = service.Expand(python_request(row_source, builder, urn=requests.SCHEMA_TRANSFORM))
    assert response.error == ""
    assert list(output_schema(response, "output"))[:3] == ["id", "a", "b"]


# What an expansion leaves behind -------------------------------------------------------------------------------------


def test_parallel_expansions_do_not_mix(service, java_request, wire_config):
    def expand(index: int) -> set[str]:
        request = java_request("bytes", wire_config.SerializeToString())
        request.namespace = f"External_{index}"
        response = service.Expand(request)
        return {"_".join(id_.split("_")[:2]) for id_ in response.components.transforms} or {response.error}

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(expand, range(16))) == [{f"External_{index}"} for index in range(16)]


def test_an_expansion_leaves_no_temporary_directory(
    servicer, python_request, row_source, row_config, tmp_path, monkeypatch
):
    request = python_request(row_source, row_config.SerializeToString())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert servicer.Expand(request).error == ""
    row_config.inputs[0].columns[0] = "missing"
    request.transform.spec.payload = row_config.SerializeToString()
    assert servicer.Expand(request).error != ""
    assert list(tmp_path.iterdir()) == []


def test_distinct_schemas_leave_nothing_in_beams_registry(servicer, java_request, row_config):
    def size() -> int:
        return len(SCHEMA_REGISTRY.by_id) + len(SCHEMA_REGISTRY.by_typing)

    def expand(name: str) -> None:
        kind = schema_pb2.FieldType(atomic_type=schema_pb2.DOUBLE)
        schema = schema_pb2.Schema(fields=[schema_pb2.Field(name=column, type=kind) for column in ("a", "b", name)])
        request = java_request("rows", row_config.SerializeToString())
        request.components.coders["RowCoder"].spec.payload = schema.SerializeToString()
        assert servicer.Expand(request).error == ""

    expand("first")
    before = size()
    for index in range(20):
        expand(f"column{index}")
    assert size() == before


def test_no_framework_is_imported_by_an_expansion(python_request, row_source, row_config, tmp_path):
    request = python_request(row_source, row_config.SerializeToString())
    (tmp_path / "request").write_bytes(request.SerializeToString())
    script = f"""
        import sys
        from pathlib import Path
        from expansion.service import frameworks
        frameworks.refuse()
        from apache_beam.portability.api import beam_expansion_api_pb2
        from expansion.service import environments
        from expansion.service.expand import ExpansionServicer, Offer
        request = beam_expansion_api_pb2.ExpansionRequest.FromString(Path({str(tmp_path / "request")!r}).read_bytes())
        response = ExpansionServicer(Offer(environments.parse("docker:worker:1"))).Expand(request)
        print(repr(response.error), sorted(frameworks.FRAMEWORKS & set(sys.modules)))
        try:
            import sklearn
        except ModuleNotFoundError as error:
            print(error)
    """
    output = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert output.stdout.splitlines() == [
        "'' []",
        "sklearn is not imported in the expansion service; models load on workers",
    ]


def test_an_answer_shows_no_part_of_a_secret_that_is_longer_than_what_it_shows(servicer, python_request, row_source):
    address = f"https://svc-account:{'hunter2' * 20}@models.example.com/v1"
    request = python_request(row_source, b"")
    request.transform.spec.urn = address
    request.output_coder_requests[address] = "x" * 3_990 + address
    error = servicer.Expand(request).error
    assert "https://***" in error
    assert "hunter2" not in error
