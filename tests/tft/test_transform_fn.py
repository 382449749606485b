# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Graphs as Beam's MLTransform leaves them are read as data on the host, checked, and applied to columns by workers."""

import os
import shutil

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, SystemicError
from expansion.files import sha256_of
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged
from expansion.tft.beam_artifact import graph_in, read_on_host
from expansion.tft.graph import Graph
from expansion.tft.transform_fn import load
from expansion.transforms.isolation import isolate
from expansion.transforms.ml_transform_config import read_config

pytestmark = pytest.mark.framework

SPARSE = {
    "number": tf.SparseTensorSpec([None, None], tf.float32),
    "count": tf.SparseTensorSpec([None, None], tf.int64),
    "text": tf.SparseTensorSpec([None, None], tf.string),
}
NUMBER, COUNT, TEXT = Field("number", "FP64"), Field("count", "INT32"), Field("text", "STRING")
SCHEMA = """
feature { name: "CODED_SAMPLE" type: BYTES }
feature { name: "number" type: FLOAT presence { min_count: 1 } }
feature { name: "count" type: INT }
feature { name: "text" type: BYTES }
"""
DOUBLE = {"scale_to_01": {"columns": ["number"]}}
INDEX = {"compute_and_apply_vocabulary": {"columns": ["text"]}}


def doubled(inputs):
    """Numbers are doubled, texts are their number, and counts are handed on."""
    return {
        "number": inputs["number"].with_values(inputs["number"].values * 2),
        "count": inputs["count"],
        "text": inputs["text"].with_values(tf.strings.to_number(inputs["text"].values, tf.int64)),
    }


def reading_files(inputs):
    return {"text": inputs["text"].with_values(tf.map_fn(tf.io.read_file, inputs["text"].values))}


def save(directory, function, specs=SPARSE, schema=SCHEMA):
    """Writes a graph as tensorflow-transform does."""
    module = tf.Module()
    module.transform_fn = tf.function(function, input_signature=[specs]).get_concrete_function()
    tf.saved_model.save(module, str(directory / "transform_fn"), {"serving_default": module.transform_fn})
    if schema is not None:
        (directory / "raw_data_metadata").mkdir(parents=True)
        (directory / "raw_data_metadata/schema.pbtxt").write_text(schema)
    return directory


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """An artifact whose graph is ``doubled``."""
    folder = tmp_path_factory.mktemp("beam")
    (folder / "attributes.json").write_text('{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["exit 1"]}]}')
    save(folder / "0a1b2c", doubled)
    return folder


def operations(*chain):
    return read_config({"engine": "TFT", "operations": list(chain), "write_artifact_location": "a"}).operations


def graph(location, *chain, fields=(NUMBER, COUNT, TEXT)):
    found = read_on_host(str(location))
    return found, graph_in(found, operations(*chain) if chain else [], {field.name: field for field in fields})


def problems(location, *chain, fields=(NUMBER, COUNT, TEXT)):
    with pytest.raises(ConfigError) as raised:
        graph(location, *chain, fields=fields)
    return [str(problem) for problem in raised.value.problems]


def columns_of(texts):
    numbers = np.arange(len(texts), dtype=np.float64) + 0.5
    counts = np.arange(len(texts), dtype=np.int32)
    return Columns(
        {"number": Dense(numbers), "count": Dense(counts), "text": Blobs.of("STRING", texts, len(texts))}, len(texts)
    )


def rows_of(columns):
    return {name: column.to_rows() for name, column in columns.items()}


def test_the_graph_is_found_below_the_directory_or_in_it(artifact):
    found = read_on_host(str(artifact))
    assert found.directory == f"{artifact}/0a1b2c"
    assert read_on_host(f"file://{artifact}/0a1b2c/") == found


def test_without_operations_results_are_arrays_of_all_columns_as_beams_are(artifact):
    found, made = graph(artifact)
    assert made.takes == {
        "number": Field("number", "FP32"),
        "count": Field("count", "INT64"),
        "text": Field("text", "STRING"),
    }
    assert {name: str(field) for name, field in made.makes.items()} == {
        "count": "INT64[-1]",
        "number": "FP32[-1]",
        "text": "INT64[-1]",
    }
    after = load(str(artifact), found.sha256, made)(columns_of(["7", "8"]))
    assert rows_of(after) == {"number": [[1.0], [3.0]], "count": [[0], [1]], "text": [[7], [8]]}


def test_with_operations_scalars_stay_scalars_and_other_columns_as_they_are(artifact):
    found, made = graph(artifact, DOUBLE, INDEX)
    assert list(made.takes) == ["number", "text"]
    after = load(str(artifact), found.sha256, made)(columns_of(["7", "8"]))
    assert {name: str(field) for name, field in after.fields().items()} == {
        "number": "FP32",
        "count": "INT32",
        "text": "INT64",
    }
    assert rows_of(after) == {"number": [1.0, 3.0], "count": [0, 1], "text": [7, 8]}


def test_rows_that_tensorflow_refuses_are_error_rows_and_no_others(artifact):
    found, made = graph(artifact, INDEX)
    transform = load(str(artifact), found.sha256, made)
    isolated = isolate(transform, columns_of(["7", "no number", "9", "", "11"]))
    assert isolated.columns["text"].to_rows() == [7, 9, 11]
    assert {row: error.error_type for row, error in isolated.errors.items()} == {1: "ValueError", 3: "ValueError"}
    assert "no number" in isolated.errors[1].message


def test_arrays_of_unequal_sizes_go_in_and_come_out(tmp_path):
    def sizes(inputs):
        return {"number": tf.sparse.retain(inputs["number"], inputs["number"].values > 1)}

    artifact = save(tmp_path / "a", sizes, {"number": SPARSE["number"]}, 'feature { name: "number" type: FLOAT }')
    found, made = graph(artifact, fields=[Field("number", "FP64", (-1,))])
    column = Ragged(np.array([1.0, 2.0, 3.0, 0.0, 4.0]), np.array([[2], [0], [3]], np.int32))
    after = load(str(artifact), found.sha256, made)(Columns({"number": column}, 3))
    assert after["number"].to_rows() == [[2.0], [], [3.0, 4.0]]
    scalar = Graph(made.takes, {"number": Field("number", "FP32")}, (), made.directory)
    with pytest.raises(BadRows, match="has 0 elements; expected FP32") as raised:
        load(str(artifact), found.sha256, scalar)(Columns({"number": column}, 3))
    assert list(raised.value.messages) == [1, 2]


def test_columns_that_no_operation_reads_need_not_be_there(artifact):
    found, made = graph(artifact, DOUBLE, fields=[NUMBER])
    after = load(str(artifact), found.sha256, made)(Columns({"number": Dense(np.array([2.0]))}, 1))
    assert rows_of(after) == {"number": [4.0]}
    assert problems(artifact, fields=[NUMBER, TEXT]) == [
        "read_artifact_location: the artifact takes column 'count', which there is not; say the operations if none of "
        "them reads it; expected one of 'number', 'text'"
    ]


def test_columns_and_operations_must_be_those_of_the_graph(artifact):
    texts = [Field("number", "STRING"), Field("count", "FP32"), Field("text", "STRING", (2, 2))]
    assert [problem.partition("; ")[0] for problem in problems(artifact, fields=texts)] == [
        "read_artifact_location: column 'number' is STRING",
        "read_artifact_location: column 'count' is FP32",
        "read_artifact_location: column 'text' is STRING[2, 2]",
    ]
    hashed = {"hash_strings": {"columns": ["text"], "outputs": ["bucket"], "buckets": 3}}
    [problem] = problems(artifact, hashed)
    assert problem.startswith("operations: they make column 'bucket', and the artifact does not")
    [problem] = problems(artifact, {"ngrams": {"columns": ["text"]}})
    assert problem == "operations: they make column 'text' as STRING[-1]; the artifact makes it as INT64[-1]"
    other = {"hash_strings": {"columns": ["name"], "buckets": 3}}
    [problem] = problems(artifact, DOUBLE, other, fields=[NUMBER, Field("name", "STRING")])
    assert problem.startswith("read_artifact_location: the artifact takes no column 'name'")


def test_a_graph_that_says_no_columns_needs_the_operations(tmp_path):
    artifact = save(tmp_path / "a", doubled, schema=None)
    [problem] = problems(artifact)
    assert problem.startswith("operations: nothing beside the graph")
    assert list(graph(artifact, DOUBLE)[1].makes) == ["number"]


def test_graphs_that_touch_files_are_neither_planned_nor_loaded(tmp_path):
    artifact = save(tmp_path / "a", reading_files, {"text": SPARSE["text"]}, 'feature { name: "text" type: BYTES }')
    [problem] = problems(artifact)
    assert "has operations that touch files or connections by themselves, or run Python: ReadFile" in problem
    made = Graph({"text": TEXT}, {"text": TEXT}, (), str(artifact))
    sha256 = sha256_of(artifact / "transform_fn/saved_model.pb")
    with pytest.raises(SystemicError, match="touch files"):
        load(str(artifact), sha256, made)


def test_a_graph_that_was_replaced_after_the_expansion_is_not_applied(artifact, tmp_path):
    found, made = graph(shutil.copytree(artifact, tmp_path / "a"))
    with open(tmp_path / "a/0a1b2c/transform_fn/saved_model.pb", "ab") as file:
        file.write(b"\0")
    with pytest.raises(SystemicError, match="is not the one that this pipeline was built for"):
        load(str(tmp_path / "a"), found.sha256, made)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "there is no artifact in"),
        ({"a/transform_fn/saved_model.pb": b"x", "b/transform_fn/saved_model.pb": b"x"}, "there are 2 graphs in"),
        ({"a/transform_fn/saved_model.pb": b"no protobuf"}, "can't read"),
    ],
)
def test_what_is_no_artifact_is_refused_with_the_reason(tmp_path, files, reason):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as raised:
        read_on_host(str(tmp_path))
    assert [problem.path for problem in raised.value.problems] == [""]
