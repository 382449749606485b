# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several models in one RunInference, by key and as an A/B test, on Beam's embedded runner."""

import gc
import json
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from expansion import RunInference

pytestmark = pytest.mark.runner

ROWS, KEYS, ROOM = 10_000, 500, 20


class Number(NamedTuple):
    key: str
    x: float


beam.coders.registry.register_coder(Number, beam.coders.RowCoder)


def save(path, constant, name="y", weights=4):
    """Writes a model of some size: x FP32 → y FP32, x + constant."""
    scalar = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch"])
    result = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"])
    values = np.full(weights, constant / weights, np.float32)
    nodes = [helper.make_node("ReduceSum", ["c"], ["sum"], keepdims=0), helper.make_node("Add", ["x", "sum"], [name])]
    graph = helper.make_graph(nodes, "add", [scalar], [result], [numpy_helper.from_array(values, "c")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The models of 500 keys, 128 KiB each, of which k7 is broken and k8 returns something else."""
    folder = tmp_path_factory.mktemp("models")
    for key in range(KEYS):
        save(folder / f"k{key}.onnx", key, "z" if key == 8 else "y", weights=2**15)
    broken = folder / "k7.onnx"
    broken.write_bytes(broken.read_bytes()[:1000])
    return folder


@pytest.fixture
def run(tmp_path):
    """Runs a pipeline; returns its output and error rows as mappings, and its counters by name."""

    def run(rows, configuration):
        pipeline = beam.Pipeline()
        config = {"error_handling": {"output": "errors"}, **configuration}
        results = pipeline | beam.Create(rows, reshuffle=False).with_output_types(Number) | RunInference(config)
        for name, output in results.items():
            lines = output | f"{name} lines" >> beam.Map(lambda row: json.dumps(as_mapping(row)))
            _ = lines | f"write {name}" >> beam.io.WriteToText(str(tmp_path / name), shard_name_template="")
        result = pipeline.run()
        result.wait_until_finish()
        counters = {metric.key.metric.name: metric.committed for metric in result.metrics().query()["counters"]}
        output, errors = (
            [json.loads(line) for line in (tmp_path / name).read_text().splitlines()] for name in ("output", "errors")
        )
        return output, errors, counters

    def as_mapping(row):
        return {name: value.key if name == "element" else value for name, value in row.as_dict().items()}

    return run


def resident_bytes():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def per_key(**more):
    return {"column": "key", "max_models_per_worker": ROOM, **more}


def test_each_row_meets_the_model_of_its_key_and_few_are_in_memory(run, folder):
    uris = {f"k{key}": str(folder / f"k{key}.onnx") for key in range(KEYS)}
    config = {"model": {"onnx": {}}, "per_key": per_key(uris=uris)}
    rows = [Number(f"k{number % KEYS}", float(number)) for number in range(ROWS)] + [Number("nobody", 1.0)]
    run([row for row in rows if row.key < "k2"], config)  # so that what is loaded once and for all is there
    before = resident_bytes()
    output, errors, counters = run(rows, config)
    grown = resident_bytes() - before
    bad = {"k7", "k8", "nobody"}
    assert Counter(row["key"] for row in output) == {row.key: ROWS // KEYS for row in rows if row.key not in bad}
    assert all(row["y"] == row["x"] + int(row["key"][1:]) and row["model_id"] == uris[row["key"]] for row in output)
    assert Counter((row["element"], row["stage"], row["error_type"], row["model_id"]) for row in errors) == {
        ("k7", "inference", "ModelUnavailable", uris["k7"]): ROWS // KEYS,
        ("k8", "inference", "ModelUnavailable", uris["k8"]): ROWS // KEYS,
        ("nobody", "inference", "ModelUnavailable", ""): 1,
    }
    messages = {row["element"]: row["message"] for row in errors}
    assert "k7.onnx' is no ONNX model, or only a part of one" in messages["k7"]
    assert "takes and returns (x: FP32) -> (z: FP32); expected (x: FP32) -> (y: FP32), as of key 'k0'" in messages["k8"]
    assert messages["nobody"] == "column 'key' is 'nobody'; per_key.uris has no such key"
    # Rows wait for others of their key, so that each model is loaded once a bundle; here there is one.
    assert counters["num_model_loads"] == KEYS - 2
    assert counters["num_model_evictions"] == KEYS - 2 - ROOM
    assert counters["num_models_unavailable"] == 2
    assert not [name for name in counters if "k7" in name]
    assert grown < 60 << 20  # it is 23 MiB; 126 MiB where all stay in memory


def test_keys_that_go_into_a_template_lead_nowhere_else(run, folder):
    save(folder.parent / "outside.onnx", 1)
    config = {
        "model": {"onnx": {"uri": f"{folder}/{{key}}.onnx"}},
        "per_key": {"column": "key", "signature_key": "k1"},
    }
    bad = [f"../{folder.name}/k2", "../outside", "..", ".", "", "a/b", "k2\n", "k2%2e", "{key}"]
    rows = [Number(key, 1.0) for key in ["k2", "k3", "nobody", *bad]]
    output, errors, _ = run(rows, config)
    assert {row["key"]: (row["y"], row["model_id"]) for row in output} == {
        "k2": (3.0, f"{folder}/k2.onnx"),
        "k3": (4.0, f"{folder}/k3.onnx"),
    }
    assert Counter(row["element"] for row in errors) == Counter(["nobody", *bad])
    messages = {row["element"]: row["message"] for row in errors}
    assert messages.pop("nobody") == f"can't read '{folder}/nobody.onnx': there is no such file"
    assert all("can't be a part of a uri; expected letters, digits" in message for message in messages.values())


def test_an_ab_test_splits_values_by_weight_and_always_alike(run, folder):
    arms = [
        {"name": "champion", "weight": 0.9, "model": {"onnx": {"uri": str(folder / "k1.onnx")}, "model_id": "v1"}},
        {"name": "challenger", "weight": 0.1, "model": {"onnx": {"uri": str(folder / "k2.onnx")}}},
    ]
    config = {"split": {"column": "key", "arms": arms, "output": "who"}}
    rows = [Number(f"user {number}", float(number)) for number in range(ROWS)]
    output, errors, counters = run(rows, config)
    assert errors == []
    assert list(output[0]) == ["key", "x", "y", "who", "model_id"]
    expected = {"champion": (1.0, "v1"), "challenger": (2.0, str(folder / "k2.onnx"))}
    assert all((row["y"] - row["x"], row["model_id"]) == expected[row["who"]] for row in output)
    shares = Counter(row["who"] for row in output)
    assert shares["challenger"] == pytest.approx(0.1 * ROWS, rel=0.1)
    assert shares.total() == ROWS
    assert counters["num_model_loads"] == 2
    again, _, _ = run(rows[::-1], config)
    assert {row["key"]: row["who"] for row in again} == {row["key"]: row["who"] for row in output}


def test_rows_of_a_key_meet_across_bundles(run, folder):
    config = {
        "model": {"onnx": {"uri": f"{folder}/{{key}}.onnx"}},
        "per_key": {"column": "key", "signature_key": "k1"},
        "batching": {"max_batch_duration_secs": 0.5, "max_batch_size": 4},
    }
    rows = [Number(f"k{number % 3 + 1}", float(number)) for number in range(30)]
    output, errors, _ = run(rows, config)
    assert errors == []
    assert sorted((row["x"], row["y"]) for row in output) == [(row.x, row.x + int(row.key[1:])) for row in rows]
