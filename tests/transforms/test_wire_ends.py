# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A TensorBatch in, TensorBatches out: nothing is lost between the two ends."""

import struct

import apache_beam as beam
import numpy as np
import pytest

from expansion.contract._gen.tensor_pb2 import TensorBatchHeader
from expansion.contract.fields import Field
from expansion.errors import ExpansionError
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.plan import make_plan
from expansion.transforms.wire_ends import DecodeTensorBatch, EncodeTensorBatch


@pytest.fixture
def run(models):
    """Runs a TensorBatch of columns x and element through decode, model and encode; returns outputs by tag."""

    def run(data, **more):
        wire = {
            "columns": [{"name": "x", "datatype": "FP32"}],
            "opaque_columns": ["element"],
            "return_columns": ["x"],
        }
        model = {"onnx": {"uri": str(models / "identity_scalar.onnx")}, "model_id": "identity"}
        config = read_config({"model": model, "tensor_batch": wire, "error_handling": {"output": "errors"}, **more})
        plan = make_plan(config, {"x": Field("x", "FP32")}, ["element", "x"])
        handler = ColumnarModelHandler(plan)
        [batch] = DecodeTensorBatch(plan).process(data)
        [batch] = handler.run_inference(batch, handler.load_model())
        outputs = {"output": [], "errors": []}
        for encoded in EncodeTensorBatch(plan).process(batch):
            tag, value = (
                (encoded.tag, encoded.value) if isinstance(encoded, beam.pvalue.TaggedOutput) else ("output", encoded)
            )
            columns = tensor_batch.decode(value).columns
            outputs[tag].append({name: column.to_rows() for name, column in columns.items()})
        return outputs

    return run


def batch(values):
    elements = [f"e{index}".encode() for index in range(len(values))]
    columns = {"x": Dense(np.asarray(values, np.float32)), "element": Blobs.of("BYTES", elements, len(values))}
    return tensor_batch.encode(Columns(columns, len(values)))


def with_null(data, row, rows):
    """Returns a TensorBatch whose column x is null in one row."""
    _, _, header_len = struct.unpack_from("<4sII", data)
    header = TensorBatchHeader.FromString(data[12 : 12 + header_len])
    # Room for a longer header: the buffers move by a multiple of 64.
    for column in header.columns:
        for name in ("values", "offsets"):
            if column.HasField(name):
                getattr(column, name).offset += 128
    end = len(data) + 128
    header.columns[0].validity.offset = end + -end % 64
    header.columns[0].validity.length = rows
    encoded = header.SerializeToString()
    buffers_at = 12 + header_len + -(12 + header_len) % 64
    head = struct.pack("<4sII", b"BMTB", 1, len(encoded)) + encoded
    body = head.ljust(buffers_at + 128, b"\0") + data[buffers_at:]
    valid = bytes(0 if index == row else 1 for index in range(rows))
    return body.ljust(header.columns[0].validity.offset, b"\0") + valid


def test_opaque_and_returned_columns_come_back_beside_predictions_and_model_id(run):
    expected = {"element": [b"e0", b"e1"], "x": [1.5, -2], "y": [1.5, -2], "model_id": ["identity"] * 2}
    assert run(batch([1.5, -2])) == {"output": [expected], "errors": []}


def test_a_batch_without_rows_gives_nothing(run):
    assert run(batch([])) == {"output": [], "errors": []}


def test_a_null_feature_is_an_error_beside_the_good_rows(run):
    outputs = run(with_null(batch([1, 2, 3]), 1, 3))
    assert outputs["output"][0]["element"] == [b"e0", b"e2"]
    [error] = outputs["errors"]
    assert error["element"] == [b"e1"]
    assert error["stage"] == ["decode"]
    assert error["message"] == ["column 'x' is null; a feature needs a value"]
    assert error["model_id"] == ["identity"]


def test_a_batch_in_which_every_row_fails_has_errors_only(run):
    outputs = run(with_null(batch([1]), 0, 1))
    assert outputs["output"] == []
    assert outputs["errors"][0]["element"] == [b"e0"]


def test_without_error_handling_a_bad_row_fails_the_job(models):
    wire = {"columns": [{"name": "x", "datatype": "FP32"}], "opaque_columns": ["element"]}
    config = read_config({"model": {"onnx": {"uri": str(models / "identity_scalar.onnx")}}, "tensor_batch": wire})
    plan = make_plan(config, {"x": Field("x", "FP32")}, ["element"])
    [decoded] = DecodeTensorBatch(plan).process(with_null(batch([1, 2]), 0, 2))
    with pytest.raises(ExpansionError, match=r"set error_handling\.output"):
        list(EncodeTensorBatch(plan).process(decoded))


def test_bytes_that_are_no_tensor_batch_fail_the_bundle(run):
    with pytest.raises(ValueError, match="not a TensorBatch"):
        run(b"something else that is long enough")
