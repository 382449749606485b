# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A TensorBatch in, TensorBatches out: nothing is lost between the two ends."""

from dataclasses import replace

import apache_beam as beam
import numpy as np
import pytest

from expansion.contract.fields import Field
from expansion.errors import ExpansionError
from expansion.models.file_version import file_version
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.tensors.nulls import is_null
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.isolation import RowError
from expansion.transforms.ml_transform_config import read_config as read_ml_config
from expansion.transforms.ml_transform_plan import make_plan as make_ml_plan
from expansion.transforms.plan import make_plan
from expansion.transforms.steps import ApplyHooks
from expansion.transforms.wire_ends import DecodeTensorBatch, EncodeTensorBatch


@pytest.fixture
def run(models):
    """Runs a TensorBatch of columns x and element through decode, hooks, model and encode; returns outputs by tag."""

    def run(data, refresh_interval_secs=0, **more):
        wire = {
            "columns": [{"name": "x", "datatype": "FP32"}],
            "opaque_columns": ["element"],
            "return_columns": ["x"],
        }
        model = {"onnx": {"uri": str(models / "identity_scalar.onnx")}, "model_id": "identity"}
        model["refresh_interval_secs"] = refresh_interval_secs
        config = read_config({"model": model, "tensor_batch": wire, "error_handling": {"output": "errors"}, **more})
        plan = make_plan(config, {"x": Field("x", "FP32")}, ["element", "x"])
        hooks = ApplyHooks(config.pre_hooks, "preprocess")
        hooks.setup()
        handler = ColumnarModelHandler(plan.steps[0])
        [batch] = DecodeTensorBatch(plan).process(data)
        [batch] = hooks.process(batch)
        [batch] = handler.run_inference(batch, handler.load_model())
        outputs = {"output": [], "errors": []}
        for encoded in EncodeTensorBatch(plan).process(batch):
            tag, value = (
                (encoded.tag, encoded.value) if isinstance(encoded, beam.pvalue.TaggedOutput) else ("output", encoded)
            )
            columns, nulls = tensor_batch.decode(value)
            rows = {name: column.to_rows() for name, column in columns.items()}
            for name, null_rows in nulls.items():
                rows[name] = [None if row in null_rows else value for row, value in enumerate(rows[name])]
            outputs[tag].append(rows)
        return outputs

    return run


def batch(values):
    elements = [f"e{index}".encode() for index in range(len(values))]
    columns = {"x": Dense(np.asarray(values, np.float32)), "element": Blobs.of("BYTES", elements, len(values))}
    return tensor_batch.encode(Columns(columns, len(values)))


def with_null(data, row):
    """Returns a TensorBatch whose column x is null in one row."""
    return tensor_batch.encode(tensor_batch.decode(data).columns, {"x": np.array([row])})


def test_opaque_and_returned_columns_come_back_beside_predictions_and_model_id(run):
    expected = {"element": [b"e0", b"e1"], "x": [1.5, -2], "y": [1.5, -2], "model_id": ["identity"] * 2}
    assert run(batch([1.5, -2])) == {"output": [expected], "errors": []}


def test_a_batch_without_rows_gives_nothing(run):
    assert run(batch([])) == {"output": [], "errors": []}


def test_a_null_feature_is_an_error_beside_the_good_rows(run):
    outputs = run(with_null(batch([1, 2, 3]), 1))
    assert outputs["output"][0]["element"] == [b"e0", b"e2"]
    [error] = outputs["errors"]
    assert error["element"] == [b"e1"]
    assert error["stage"] == ["decode"]
    assert error["message"] == ["column 'x' is null; a feature needs a value"]
    assert error["model_id"] == ["identity"]


def test_a_null_that_impute_fills_in_has_a_prediction_and_comes_back_as_a_null(run):
    hooks = [{"impute": {"columns": ["x"], "value": 7}}]
    expected = {"element": [b"e0", b"e1", b"e2"], "x": [1, None, 3], "y": [1, 7, 3], "model_id": ["identity"] * 3}
    assert run(with_null(batch([1, 2, 3]), 1), pre_hooks=hooks) == {"output": [expected], "errors": []}
    without = {"element": [b"e0"], "x": [1], "y": [1], "model_id": ["identity"]}
    assert run(batch([1]), pre_hooks=hooks) == {"output": [without], "errors": []}


def test_a_null_that_was_filled_in_comes_back_as_a_null_in_an_error(run):
    hooks = [
        {"impute": {"columns": ["x"], "value": 1000}},
        {"cast": {"columns": ["x"], "datatype": "INT8"}},
    ]
    outputs = run(with_null(batch([1, 2, 3]), 1), pre_hooks=hooks)
    assert outputs["output"][0]["x"] == [1, 3]
    assert [(error["stage"], error["x"]) for error in outputs["errors"]] == [(["preprocess"], [None])]


def test_a_null_feature_comes_back_as_a_null_in_its_error(run):
    outputs = run(with_null(batch([1, 2, 3]), 1))
    assert [error["x"] for error in outputs["errors"]] == [[None]]


@pytest.fixture
def ends():
    """Returns both ends of an MLTransform of columns x and y, of which y comes back."""

    def ends(**config):
        wire = {"columns": [{"name": name, "datatype": "FP32"} for name in "xy"], "return_columns": ["y"]}
        errors = {"output": "errors"}
        config = read_ml_config(
            {"tensor_batch": wire, "error_handling": errors, "write_artifact_location": "/a", **config}
        )
        plan = make_ml_plan(config, {name: Field(name, "FP32") for name in "xy"}, [])
        return DecodeTensorBatch(plan), EncodeTensorBatch(plan)

    return ends


def xy(nulls=None):
    x, y = (Dense(np.array(values, np.float32)) for values in ([1, 2], [3, 4]))
    return tensor_batch.encode(Columns({"x": x, "y": y}, 2), nulls)


def test_a_null_in_a_column_that_nothing_reads_comes_back_as_a_null(ends):
    decode, encode = ends(operations=[{"scale_to_01": {"columns": ["x"]}}])
    [decoded] = decode.process(xy({"y": np.array([1])}))
    assert list(decoded.features) == ["x"]
    [encoded] = encode.process(decoded.transformed())
    columns, nulls = tensor_batch.decode(encoded)
    assert set(columns) == {"x", "y"}
    assert {name: rows.tolist() for name, rows in nulls.items()} == {"y": [1]}


def test_a_null_that_an_operation_takes_is_told_beside_the_column_and_is_none_in_its_result(ends):
    decode, encode = ends(operations=[{"impute": {"columns": ["y"], "strategy": "mean"}}])
    [decoded] = decode.process(xy({"y": np.array([1])}))
    assert is_null(decoded.features, "y").tolist() == [False, True]
    result = decoded.features.select(["y"]).with_column("y", Dense(np.array([3, 3], np.float32)))
    [encoded] = encode.process(replace(decoded, features=result).transformed())
    columns, nulls = tensor_batch.decode(encoded)
    assert (columns["y"].to_rows(), nulls) == ([3.0, 3.0], {})
    bad = RowError("ValueError", "bad")
    [failed] = encode.process(decoded.without({0: bad, 1: bad}, "transform"))
    columns, nulls = tensor_batch.decode(failed.value)
    assert {name: rows.tolist() for name, rows in nulls.items()} == {"y": [1]}


def test_a_batch_in_which_every_row_fails_has_errors_only(run):
    outputs = run(with_null(batch([1]), 0))
    assert outputs["output"] == []
    assert outputs["errors"][0]["element"] == [b"e0"]


def test_without_error_handling_a_bad_row_fails_the_job(models):
    wire = {"columns": [{"name": "x", "datatype": "FP32"}], "opaque_columns": ["element"]}
    config = read_config({"model": {"onnx": {"uri": str(models / "identity_scalar.onnx")}}, "tensor_batch": wire})
    plan = make_plan(config, {"x": Field("x", "FP32")}, ["element"])
    [decoded] = DecodeTensorBatch(plan).process(with_null(batch([1, 2]), 0))
    with pytest.raises(ExpansionError, match=r"set error_handling\.output"):
        list(EncodeTensorBatch(plan).process(decoded))


def test_bytes_that_are_no_tensor_batch_fail_the_bundle(run):
    with pytest.raises(ValueError, match="not a TensorBatch"):
        run(b"something else that is long enough")


def test_where_models_are_refreshed_rows_say_which_version_they_went_to(run, models):
    outputs = run(with_null(batch([1, 2]), 1), refresh_interval_secs=60)
    version = str(file_version(str(models / "identity_scalar.onnx")))
    for tag, said in (("output", version), ("errors", "")):  # the row in error never reached a model
        [rows] = outputs[tag]
        assert (rows["model_id"], rows["model_version"]) == (["identity"], [said])
