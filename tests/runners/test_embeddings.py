# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Embeddings in MLTransform and RunInference: of an ONNX text model and of a provider, on real runners."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Optional

import apache_beam as beam
import numpy as np
import onnx
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that
from apache_beam.transforms.external import ExternalTransform
from onnx import TensorProto, helper, numpy_helper

from expansion import RunInference
from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract.config import parse_mapping
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns
from expansion.transforms.ml_transform import MLTransform

sys.path[:0] = [str(Path(__file__).parents[1] / "models"), str(Path(__file__).parents[1] / "conformance")]
from embedding_providers import EmbeddingServer, Failure, vector  # noqa: E402
from tokenizer_models import VOCABULARY, write  # noqa: E402

pytestmark = pytest.mark.runner

SIZE = 6
TABLE = np.random.default_rng(0).normal(size=(max(VOCABULARY.values()) + 1, SIZE)).astype(np.float32)
TITLES = ["one two", "ten", "three ü one", "two two ten", "one"]
BODIES = ["ten ten", "one", "two", "ü three", "two one ten ü"]


class Document(NamedTuple):
    number: int
    title: Optional[str]  # noqa: UP045 - Beam does not read the other spelling
    body: str


beam.coders.registry.register_coder(Document, beam.coders.RowCoder)
DOCUMENTS = [Document(number, *texts) for number, texts in enumerate(zip(TITLES, BODIES, strict=True))]


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """An ONNX model of token ids and mask → the mean of the tokens' vectors; and its tokenizer. Returns both paths."""
    folder = tmp_path_factory.mktemp("text_model")
    write(folder)
    tokens = ["batch", "tokens"]
    nodes = [
        ("Gather", ["table", "input_ids"], ["each"]),
        ("Cast", ["attention_mask"], ["mask"], {"to": TensorProto.FLOAT}),
        ("Unsqueeze", ["mask", "two"], ["wide_mask"]),
        ("Mul", ["each", "wide_mask"], ["masked"]),
        ("ReduceSum", ["masked", "one"], ["sum"], {"keepdims": 0}),
        ("ReduceSum", ["mask", "one"], ["count"], {"keepdims": 1}),
        ("Div", ["sum", "count"], ["embedding"]),
    ]
    constants = {"table": TABLE, "one": np.array([1]), "two": np.array([2])}
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **dict(*more)) for kind, inputs, outputs, *more in nodes],
        "mean_of_tokens",
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", SIZE])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), folder / "mean.onnx")
    return str(folder / "mean.onnx"), str(folder / "words.json")


def by_hand(texts):
    """Returns what the model makes of texts, float64 [texts, SIZE]."""
    ids = [["[CLS]", *text.split(), "[SEP]"] for text in texts]
    return np.array([TABLE[[VOCABULARY[word] for word in each]].astype(float).mean(0) for each in ids])


def embed(text_model, columns=("title",), model_id="", **more):
    uri, tokenizer = text_model
    model = {"onnx": {"uri": uri}, "model_id": model_id}
    hook = {"tokenize": {"column": "text", "uri": tokenizer}}
    return {"embed": {"columns": list(columns), "model": model, "pre_hooks": [hook], **more}}


@pytest.fixture
def run(tmp_path):
    """Runs a transform; returns its rows by output, in order, and its metrics: of distributions how many values."""

    def run(transform, rows=DOCUMENTS, options=()):
        pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
        results = pipeline | beam.Create(rows, reshuffle=False).with_output_types(Document) | transform
        for name, output in results.items():
            lines = output | f"{name} lines" >> beam.Map(lambda row: json.dumps(as_mapping(row)))
            _ = lines | f"write {name}" >> beam.io.WriteToText(str(tmp_path / name), shard_name_template="")
        result = pipeline.run()
        result.wait_until_finish()
        queried, metrics = result.metrics().query(), Counter()
        for each in queried["counters"]:
            metrics[each.key.metric.name] += each.result or 0  # None on Prism
        for each in queried["distributions"]:
            metrics[each.key.metric.name] += each.result.count
        found = {
            name: sorted(map(json.loads, (tmp_path / name).read_text().splitlines()), key=number_of) for name in results
        }
        return found, metrics

    def as_mapping(row):
        return {name: plain(value) for name, value in row._asdict().items()}

    def plain(value):
        if isinstance(value, np.ndarray):
            return value.tolist()
        return as_mapping(value) if hasattr(value, "_asdict") else value

    def number_of(row):
        return row.get("element", row)["number"]

    return run


def prism_options(prism):
    return ["--runner=PortableRunner", f"--job_endpoint={prism}", "--environment_type=LOOPBACK"]


def matrix(rows, name):
    return np.array([row[name] for row in rows])


def test_an_onnx_text_model_behind_a_tokenizer_gives_what_is_computed_by_hand(run, text_model):
    config = {"operations": [embed(text_model, ["title", "body"], "of two columns", outputs=["of_title", "of_body"])]}
    found, metrics = run(MLTransform(config))
    rows = found["output"]
    assert [list(row) for row in rows] == [["number", "title", "body", "of_title", "of_body"]] * 5
    assert [row["title"] for row in rows] == TITLES
    np.testing.assert_allclose(matrix(rows, "of_title"), by_hand(TITLES), rtol=1e-5)
    np.testing.assert_allclose(matrix(rows, "of_body"), by_hand(BODIES), rtol=1e-5)
    assert metrics["num_inferences"] == 10
    assert metrics["load_model_latency_milli_secs"] == 1


def test_vectors_take_the_place_of_their_column_and_have_a_declared_type(text_model):
    pipeline = beam.Pipeline()
    rows = pipeline | beam.Create(DOCUMENTS).with_output_types(Document)
    transform = MLTransform({"operations": [embed(text_model)]})
    output = (rows | transform)["output"]
    (field,) = [field for field in transform.schemas["output"].fields if field.name == "title"]
    assert field.type.array_type.element_type.atomic_type == beam.portability.api.schema_pb2.FLOAT
    assert [name for name, _ in output.element_type._fields] == ["number", "title", "body"]


def test_hooks_after_the_model_work_on_its_vectors(run, text_model):
    hooks = [{"l2_normalize": {"columns": ["embedding"]}}]
    found, _ = run(MLTransform({"operations": [embed(text_model, post_hooks=hooks)]}))
    expected = by_hand(TITLES)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(matrix(found["output"], "title"), expected, rtol=1e-5)


def test_two_operations_of_one_model_share_it(run, text_model):
    operations = [
        embed(text_model, ["title"], "of two operations", outputs=["a"]),
        embed(text_model, ["body"], "of two operations", outputs=["b"], max_batch_size=2),
    ]
    found, metrics = run(MLTransform({"operations": operations}))
    np.testing.assert_allclose(matrix(found["output"], "a"), by_hand(TITLES), rtol=1e-5)
    np.testing.assert_allclose(matrix(found["output"], "b"), by_hand(BODIES), rtol=1e-5)
    assert metrics["load_model_latency_milli_secs"] == 1
    assert metrics["num_batches"] == 1 + 3


def test_what_comes_after_the_model_learns_from_its_vectors_and_the_model_runs_once(run, text_model, tmp_path):
    operations = [
        {"compute_and_apply_vocabulary": {"columns": ["body"], "delimiters": " "}},
        embed(text_model),
        {"scale_to_z_score": {"columns": ["title"], "elementwise": True}},
    ]
    location = str(tmp_path / "artifact")
    found, metrics = run(MLTransform({"operations": operations, "write_artifact_location": location}))
    expected = by_hand(TITLES)
    expected = (expected - expected.mean(0)) / expected.std(0)
    np.testing.assert_allclose(matrix(found["output"], "title"), expected, rtol=1e-3, atol=1e-4)
    assert metrics["num_inferences"] == 5
    words = sorted({word for body in BODIES for word in body.split()})
    assert {index for row in found["output"] for index in row["body"]} == set(range(len(words)))
    manifest = json.loads(Path(location, "artifact.json").read_text())
    assert [list(each["operation"]) for each in manifest["operations"]] == list(map(list, operations))
    assert {"name": "title", "datatype": "FP32", "shape": [SIZE]} in manifest["columns_after"]
    again, _ = run(MLTransform({"operations": operations, "read_artifact_location": location}))
    np.testing.assert_allclose(matrix(again["output"], "title"), matrix(found["output"], "title"), rtol=1e-6)
    assert [row["body"] for row in again["output"]] == [row["body"] for row in found["output"]]


def test_each_window_learns_from_its_own_vectors(text_model):
    operations = [embed(text_model), {"scale_to_z_score": {"columns": ["title"], "elementwise": True}}]
    with beam.Pipeline() as pipeline:
        rows = pipeline | beam.Create(DOCUMENTS).with_output_types(Document)
        rows |= beam.Map(lambda row: beam.window.TimestampedValue(row, row.number // 2)).with_output_types(Document)
        windows = rows | beam.WindowInto(beam.window.FixedWindows(1))
        output = (windows | MLTransform({"operations": operations, "per_window": True}))["output"]
        expected = {}
        for window in (range(2), range(2, 4), range(4, 5)):
            of_window = by_hand([TITLES[number] for number in window])
            deviation = of_window.std(0)
            scaled = (of_window - of_window.mean(0)) / np.where(deviation == 0, 1, deviation)
            expected.update(zip(window, scaled, strict=True))

        def check(rows):
            assert sorted(row.number for row in rows) == list(range(5))
            for row in rows:
                np.testing.assert_allclose(row.title, expected[row.number], rtol=1e-3, atol=1e-3)

        assert_that(output, check)


def test_tensor_batches_are_embedded_as_rows_are(text_model):
    elements = [f"element {number}".encode() for number in range(5)]
    batch = Columns({"title": Blobs.of("STRING", TITLES, 5), "element": Blobs.of("BYTES", elements, 5)}, 5)
    wire = {"columns": [{"name": "title", "datatype": "STRING"}], "opaque_columns": ["element"]}
    config = {"operations": [embed(text_model, outputs=["vector"], max_batch_size=2)], "tensor_batch": wire}
    with beam.Pipeline() as pipeline:
        data = pipeline | beam.Create([tensor_batch.encode(batch)]).with_output_types(bytes)
        output = (data | MLTransform(config))["output"]

        def check(batches):
            columns = [tensor_batch.decode(each).columns for each in batches]
            found = {
                element: vector
                for each in columns
                for element, vector in zip(each["element"].to_list(), each["vector"].values, strict=True)
            }
            assert sorted(found) == elements
            np.testing.assert_allclose([found[element] for element in elements], by_hand(TITLES), rtol=1e-5)

        assert_that(output, check)


def test_it_is_the_same_on_prism(run, prism, text_model):
    operations = [embed(text_model, ["title", "body"], outputs=["a", "b"]), embed(text_model)]
    found, _ = run(MLTransform({"operations": operations}), options=prism_options(prism))
    np.testing.assert_allclose(matrix(found["output"], "title"), by_hand(TITLES), rtol=1e-5)
    np.testing.assert_allclose(matrix(found["output"], "b"), by_hand(BODIES), rtol=1e-5)


def test_learning_from_vectors_is_the_same_on_prism(run, prism, text_model, tmp_path):
    operations = [embed(text_model), {"scale_to_z_score": {"columns": ["title"], "elementwise": True}}]
    config = {"operations": operations, "write_artifact_location": str(tmp_path / "artifact")}
    found, _ = run(MLTransform(config), options=prism_options(prism))
    expected = by_hand(TITLES)
    expected = (expected - expected.mean(0)) / expected.std(0)
    np.testing.assert_allclose(matrix(found["output"], "title"), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture
def provider():
    """A provider that takes no text with the word "bad"."""

    def embedded(texts):
        if any("bad" in text for text in texts):
            raise Failure(400, "this text is not taken")
        return [vector(text, SIZE) for text in texts]

    server = EmbeddingServer(embedded)
    yield server
    server.stop()


def service_model(provider, **more):
    endpoint = provider.endpoint("openai")
    settings = {"provider": "openai", "uri": "m", "size": SIZE, "endpoint": endpoint, "calls": {"backoff_secs": 0.05}}
    return {"embedding_service": {**settings, **more}}


def test_a_text_that_cannot_be_embedded_costs_its_row(run, provider):
    bad = {1: "bad", 2: None, 3: ""}
    rows = [row._replace(title=bad.get(row.number, row.title)) for row in DOCUMENTS]
    operation = {"embed": {"columns": ["title"], "model": service_model(provider)}}
    found, metrics = run(MLTransform({"operations": [operation], "error_handling": {"output": "errors"}}), rows)
    assert [row["number"] for row in found["output"]] == [0, 4]
    assert matrix(found["output"], "title").tolist() == [vector(rows[number].title, SIZE) for number in (0, 4)]
    errors = {row["element"]["number"]: (row["stage"], row["message"]) for row in found["errors"]}
    assert errors[1] == ("inference", "HTTP 400: this text is not taken")
    assert errors[2][0] == "decode"
    assert errors[3] == ("inference", "the text is empty, and no provider of embeddings takes such")
    assert metrics["num_remote_requests"] == len(provider.requests)


def test_run_inference_embeds_too(run, provider):
    config = {"model": service_model(provider), "inputs": [{"name": "text", "columns": ["title"]}]}
    found, metrics = run(RunInference(config))
    assert matrix(found["output"], "embedding").tolist() == [vector(title, SIZE) for title in TITLES]
    assert {row["model_id"] for row in found["output"]} == {"m"}
    assert metrics["num_remote_requests"] == 1


def test_through_the_service_the_result_is_the_same(run, text_model, local_beam, tmp_path):
    operations = [embed(text_model), {"scale_to_z_score": {"columns": ["title"], "elementwise": True}}]
    config = {"operations": operations, "write_artifact_location": str(tmp_path / "artifact")}
    payload = parse_mapping(MLTransformConfig, config).config.SerializeToString()
    expansion, job = (option.partition("=")[2] for option in local_beam)

    class ThroughService(beam.PTransform):
        def expand(self, rows):
            return {"output": rows | ExternalTransform(urns.ML_TRANSFORM, payload, expansion)}

    options = ["--runner=PortableRunner", f"--job_endpoint={job}", "--environment_type=LOOPBACK"]
    found, _ = run(ThroughService(), options=options)
    expected = by_hand(TITLES)
    expected = (expected - expected.mean(0)) / expected.std(0)
    np.testing.assert_allclose(matrix(found["output"], "title"), expected, rtol=1e-3, atol=1e-4)
