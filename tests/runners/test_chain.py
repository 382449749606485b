# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Chains on real runners: what can't be in one process runs in several, and a bad row names the models that it met."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.external import ExternalTransform

from expansion import RunInference
from expansion.contract import config, urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns, Dense

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]

# In processes of their own, as what imports TensorFlow or PyTorch.
WRITE_MODELS = """
import pathlib, runpy, sys
runpy.run_path(sys.argv[1], run_name="models")["write"](pathlib.Path(sys.argv[2]))
"""
RUN_IN_PROCESS = """
import json, sys
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from expansion import RunInference

with beam.Pipeline(options=PipelineOptions(sys.argv[3:])) as pipeline:
    rows = pipeline | beam.Create([beam.Row(x=[1.0, 2.0], word="one", y=5.0)])
    for index, configuration in enumerate(json.loads(sys.argv[1])):
        lines = (rows | f"{index}" >> RunInference(configuration))["output"] | f"Line {index}" >> beam.Map(str)
        _ = lines | f"Write {index}" >> beam.io.WriteToText(f"{sys.argv[2]}/{index}", shard_name_template="")
"""


class Words(NamedTuple):
    x: Sequence[np.float32]
    word: str
    y: float


class Text(NamedTuple):
    text: str
    b: float


beam.coders.registry.register_coder(Words, beam.coders.RowCoder)
beam.coders.registry.register_coder(Text, beam.coders.RowCoder)

ROWS = [Words([1.0, 2.0], "one", 5.0), Words([3.0, 4.0], "two", 6.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The models of the conformance cases for TensorFlow and for PyTorch."""
    folder = tmp_path_factory.mktemp("stacks")
    for framework in ("tensorflow", "pytorch"):
        script = ROOT / f"tests/conformance/{framework}_models.py"
        subprocess.run([sys.executable, "-c", WRITE_MODELS, str(script), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def tensorflow(folder):
    return {"model": {"tensorflow": {"uri": str(folder / "sum_and_shout")}, "model_id": "tensorflow"}}


@pytest.fixture(scope="module")
def pytorch(folder):
    return {"model": {"pytorch": {"uri": str(folder / "sum_and_double.pt2")}, "model_id": "pytorch"}}


@pytest.fixture(scope="module")
def chain(tensorflow, pytorch):
    """Doubles what TensorFlow has added up, and a column of the input, in PyTorch."""
    then = {**pytorch, "inputs": [{"name": "x", "columns": ["sum", "y"]}], "outputs": [{"source": "double"}]}
    return {**tensorflow, "then": [then]}


@pytest.fixture(params=["embedded", "prism"])
def run(request, local_beam, tmp_path):
    """Runs RunInferences through the service, beside each other, on one of two runners; returns their output rows."""
    addresses = dict(option.removeprefix("--").split("=") for option in local_beam)
    job = addresses["jobEndpoint"] if request.param == "embedded" else request.getfixturevalue("prism")
    options = PipelineOptions(runner="PortableRunner", job_endpoint=job, environment_type="LOOPBACK")

    def run(*configurations):
        with beam.Pipeline(options=options) as pipeline:
            rows = pipeline | beam.Create(ROWS).with_output_types(Words)
            for index, configuration in enumerate(configurations):
                message = config.parse_mapping(RunInferenceConfig, configuration).config.SerializeToString()
                results = rows | f"{index}" >> ExternalTransform(
                    urns.RUN_INFERENCE, message, addresses["expansionService"]
                )
                lines = results | f"Line {index}" >> beam.Map(lambda row: json.dumps(row._asdict(), default=float))
                _ = lines | f"Write {index}" >> beam.io.WriteToText(f"{tmp_path}/{index}", shard_name_template="")
        return [read(tmp_path / str(index)) for index in range(len(configurations))]

    def read(path):
        return sorted(map(json.loads, path.read_text().splitlines()), key=lambda row: row["word"])

    return run


def test_frameworks_that_abort_a_common_process_follow_each_other_in_a_chain(run, chain):
    [rows] = run(chain)
    assert [(row["shouted"], row["sum"], row["double"], row["model_id"]) for row in rows] == [
        ("ONE", 3, [6, 10], "tensorflow, pytorch"),
        ("TWO", 7, [14, 12], "tensorflow, pytorch"),
    ]


def test_frameworks_that_abort_a_common_process_stand_beside_each_other_in_a_pipeline(run, tensorflow, pytorch):
    of_tensorflow, of_pytorch = run(tensorflow, pytorch)
    assert [(row["shouted"], row["model_id"]) for row in of_tensorflow] == [
        ("ONE", "tensorflow"),
        ("TWO", "tensorflow"),
    ]
    assert [(row["double"], row["model_id"]) for row in of_pytorch] == [([2, 4], "pytorch"), ([6, 8], "pytorch")]


def test_frameworks_that_abort_a_common_process_follow_each_other_in_java(folder, run_sample, tmp_path):
    """The Digits sample, which takes any models that read its pixels: here each multiplies them by two."""
    of_two = {"datatype": "FP32", "shape": [-1]}
    declared = {
        "inputs": [{"name": "x", **of_two}],
        "outputs": [{"name": "sum", "datatype": "FP32"}, {"name": "double", **of_two}],
    }
    configuration = {
        "model": {"tensorflow": {"uri": f"{folder}/sum_and_shout", "signature_name": "any_size"}},
        "then": [
            {
                "model": {"pytorch": {"uri": f"{folder}/sum_and_double.pt", **declared}},
                "outputs": [{"source": "double", "name": "fourfold"}],
                "post_hooks": [
                    {"argmax": {"column": "fourfold", "output": "predicted"}},
                    {"labels": {"column": "predicted", "labels": [f"pixel {pixel}" for pixel in range(64)]}},
                    {"rename": {"columns": {"fourfold": "top_scores"}}},
                ],
            }
        ],
    }
    (tmp_path / "chain.json").write_text(json.dumps(configuration))
    lines = [[row_id, "", 2.5, *[1] * row_id, 9, *[0] * (62 - row_id)] for row_id in (3, 7)]
    with (tmp_path / "digits.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    options = [f"--config={tmp_path}/chain.json", f"--input={tmp_path}/digits.csv", f"--output={tmp_path}"]
    run_sample("Digits", *options)
    assert (tmp_path / "errors.csv").read_text().splitlines() == ["id,stage,message"]
    rows = sorted((tmp_path / "predictions.csv").read_text().splitlines()[1:])
    assert rows == ["3,,pixel 4,10.0", "7,,pixel 8,10.0"]


@pytest.mark.parametrize("is_chain", [True, False])
def test_within_one_process_they_are_refused_in_place_of_an_abort(chain, tensorflow, pytorch, is_chain, tmp_path):
    done = run_in_process([chain] if is_chain else [tensorflow, pytorch], tmp_path)
    assert done.returncode == 1
    assert "tensorflow and pytorch in one process abort it; run them in processes of their own" in done.stderr


def test_beams_python_runner_keeps_them_apart_where_it_has_worker_processes(chain, tmp_path):
    done = run_in_process([chain], tmp_path, "--direct_running_mode=multi_processing")
    assert done.returncode == 0, done.stderr[-4000:]
    [row] = (tmp_path / "0").read_text().splitlines()
    assert "sum=3.0, double=[6.0, 10.0], model_id='tensorflow, pytorch'" in row


def run_in_process(configurations, folder, *options):
    command = [sys.executable, "-c", RUN_IN_PROCESS, json.dumps(configurations), str(folder), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


BAD_ROWS = [Text("1.5", 10.0), Text("many", 20.0), Text("3", 1000.0), Text("nan", 5.0), Text("-4", 1.0)]
ERRORS = [
    ("many", "preprocess", "column 'text' is 'many', which is not a number of FP32", "doubler"),
    ("3", "preprocess", "column 'b' is 1000.0, which is out of the range of INT8", "doubler, sign"),
    ("nan", "inference", "Input X contains NaN.", "doubler, sign"),
]


@pytest.fixture
def doubler_and_sign(models):
    """A number of a text, doubled; and the sign of that and another number. Either hook fails on some rows."""
    return {
        "model": {"onnx": {"uri": str(models / "double_scalar.onnx")}, "model_id": "doubler"},
        "pre_hooks": [{"cast": {"columns": ["text"], "datatype": "FP32"}}],
        "inputs": [{"name": "x", "columns": ["text"]}],
        "then": [
            {
                "model": {"sklearn": {"uri": str(models / "sign.skops")}, "model_id": "sign"},
                "pre_hooks": [{"cast": {"columns": ["b"], "datatype": "INT8"}}],
                "inputs": [{"name": "X", "columns": ["y", "b"]}],
            }
        ],
        "error_handling": {"output": "errors"},
    }


@pytest.fixture
def collect(tmp_path):
    """Runs a pipeline on the in-process runner; returns what a function makes of the elements of its outputs."""

    def collect(elements, inference, of_output, of_error):
        with beam.Pipeline() as pipeline:
            results = pipeline | elements | inference
            for tag, function in (("output", of_output), ("errors", of_error)):
                lines = results[tag] | f"{tag} lines" >> beam.FlatMap(lambda x, f=function: map(json.dumps, f(x)))
                _ = lines | f"write {tag}" >> beam.io.WriteToText(str(tmp_path / tag), shard_name_template="")
        return [
            sorted(tuple(json.loads(line)) for line in (tmp_path / tag).read_text().splitlines())
            for tag in ("output", "errors")
        ]

    return collect


def test_a_bad_row_of_a_chain_is_one_error_row_that_names_the_models_it_met(collect, doubler_and_sign):
    output, errors = collect(
        beam.Create(BAD_ROWS, reshuffle=False).with_output_types(Text),
        RunInference(doubler_and_sign),
        lambda row: [(row.text, row.b, row.y, row.predict, row.model_id)],
        lambda row: [(row.element.text, row.stage, row.message, row.model_id)],
    )
    assert output == [("-4", 1, -8, "minus", "doubler, sign"), ("1.5", 10, 3, "plus", "doubler, sign")]
    assert errors == sorted(ERRORS)


def test_a_bad_row_of_a_tensor_batch_says_the_same(collect, doubler_and_sign):
    texts = Blobs.of("STRING", [row.text for row in BAD_ROWS], len(BAD_ROWS))
    numbers = Dense(np.array([row.b for row in BAD_ROWS]))
    data = tensor_batch.encode(Columns({"text": texts, "b": numbers}, len(BAD_ROWS)), {})
    columns = [{"name": "text", "datatype": "STRING"}, {"name": "b", "datatype": "FP64"}]
    wire = {"columns": columns, "return_columns": ["text"]}

    def rows_of(data, *names):
        decoded = tensor_batch.decode(data).columns
        return zip(*(decoded[name].to_rows() for name in names), strict=True)

    output, errors = collect(
        beam.Create([data], reshuffle=False),
        RunInference({**doubler_and_sign, "tensor_batch": wire}),
        lambda data: rows_of(data, "text", "y", "predict", "model_id"),
        lambda data: rows_of(data, "text", "stage", "message", "model_id"),
    )
    assert output == [("-4", -8, "minus", "doubler, sign"), ("1.5", 3, "plus", "doubler, sign")]
    assert errors == sorted(ERRORS)


def test_a_chain_whose_second_model_no_row_reaches_has_error_rows_only(collect, doubler_and_sign):
    output, errors = collect(
        beam.Create([BAD_ROWS[1]], reshuffle=False).with_output_types(Text),
        RunInference(doubler_and_sign),
        lambda row: [tuple(row)],
        lambda row: [(row.element.text, row.stage, row.message, row.model_id)],
    )
    assert (output, errors) == ([], ERRORS[:1])
