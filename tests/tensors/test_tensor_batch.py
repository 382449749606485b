# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TensorBatch: the same bytes in every language, and bytes that are none are refused."""

import base64
import json
import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expansion.contract._gen.tensor_pb2 import TensorBatchHeader
from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged, RaggedBlobs

FOLDER = Path(__file__).parents[1] / "conformance" / "tensor_batch"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def plain(value):
    """Returns a value as the cases spell it: NaN and infinities as text, bytes as base64."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return value


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_of_a_case_are_read_as_its_columns(name):
    case = CASES[name]
    columns, nulls = tensor_batch.decode(base64.b64decode(case["base64"]))
    assert columns.row_count == case["rows"]
    assert list(columns) == [column["field"]["name"] for column in case["columns"]]
    expected_nulls = {}
    for column in case["columns"]:
        field = column["field"]
        got = columns[field["name"]]
        assert got.datatype == field["datatype"]
        for row, expected in enumerate(column["values"]):
            if expected is None:
                expected_nulls.setdefault(field["name"], []).append(row)
            else:
                assert plain(got.to_rows()[row]) == expected, (field, row)
    assert {name: rows.tolist() for name, rows in nulls.items()} == expected_nulls


@pytest.mark.parametrize("name", CASES)
def test_the_columns_of_a_case_are_written_as_columns_that_read_the_same(name):
    columns, nulls = tensor_batch.decode(base64.b64decode(CASES[name]["base64"]))
    again, again_nulls = tensor_batch.decode(tensor_batch.encode(columns, nulls))
    assert again.fields() == columns.fields()
    assert {name: rows.tolist() for name, rows in again_nulls.items()} == {
        name: rows.tolist() for name, rows in nulls.items()
    }
    assert [plain(column.to_rows()) for column in again.values()] == [
        plain(column.to_rows()) for column in columns.values()
    ]


def test_buffers_begin_at_multiples_of_64_and_the_gaps_are_zeros():
    columns = Columns({"a": Dense(np.ones(3, np.int8)), "b": Dense(np.ones((3, 2)))}, 3)
    data = tensor_batch.encode(columns)
    _, _, header_len = struct.unpack_from("<4sII", data)
    header = TensorBatchHeader.FromString(data[12 : 12 + header_len])
    used = set(range(12 + header_len))
    for column in header.columns:
        assert column.values.offset % 64 == 0
        used |= set(range(column.values.offset, column.values.offset + column.values.length))
    assert {data[place] for place in set(range(len(data))) - used} == {0}


def test_decoding_copies_no_buffer():
    data = tensor_batch.encode(Columns({"a": Dense(np.arange(1000.0))}, 1000))
    column = tensor_batch.decode(data).columns["a"]
    assert not column.values.flags.owndata
    assert not column.values.flags.writeable


def test_parts_of_columns_are_written_as_what_they_show():
    columns = Columns(
        {
            "dense": Dense(np.arange(12).reshape(4, 3)),
            "ragged": Ragged.of_rows([np.arange(n) for n in (1, 0, 3, 2)], np.int64, 1),
            "text": Blobs.of("STRING", ["a", "bb", "", "dddd"], 4),
            "pairs": Blobs.of("BYTES", [b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8"], 4, (2,)),
            "words": RaggedBlobs.of_rows("STRING", [["a"], [], ["x", "yy"], ["ä", ""]], 1),
        },
        4,
    )
    part = columns.take(np.array([3, 1, 0])).slice(1, 3)
    read = tensor_batch.decode(tensor_batch.encode(part)).columns
    assert {name: column.to_rows() for name, column in read.items()} == {
        "dense": [[3, 4, 5], [0, 1, 2]],
        "ragged": [[], [0]],
        "text": ["bb", "a"],
        "pairs": [[b"3", b"4"], [b"1", b"2"]],
        "words": [[], ["a"]],
    }


@pytest.mark.parametrize("datatype", [*NUMPY_DTYPES, "STRING", "BYTES"])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_batch_without_rows_keeps_its_columns(datatype, shape):
    if datatype in NUMPY_DTYPES:
        column = Dense(np.empty((0, *shape), NUMPY_DTYPES[datatype]))
    else:
        column = Blobs.of(datatype, [], 0, shape)
    read = tensor_batch.decode(tensor_batch.encode(Columns({"x": column}, 0))).columns
    assert read.fields() == {"x": Field("x", datatype, shape)}
    assert read.row_count == 0


def test_texts_of_unequal_number_have_offsets_by_element_and_shapes_by_row():
    rows = [["a", "bb"], [], ["ä"]]
    data = tensor_batch.encode(Columns({"x": RaggedBlobs.of_rows("STRING", rows, 1)}, 3))
    header = TensorBatchHeader.FromString(data[12 : 12 + struct.unpack_from("<4sII", data)[2]])
    buffers = header.columns[0]
    assert list(buffers.field.shape) == [-1]
    assert np.frombuffer(data, "<i4", 4, buffers.offsets.offset).tolist() == [0, 1, 3, 5]
    assert np.frombuffer(data, "<i4", 3, buffers.shapes.offset).tolist() == [2, 0, 1]
    column = tensor_batch.decode(data).columns["x"]
    assert isinstance(column, RaggedBlobs)
    assert column.to_rows() == rows


def test_sizes_of_texts_are_counted_before_they_are_trusted():
    column = RaggedBlobs.of_rows("STRING", [["a", "bb"], [], ["ä"]], 1)
    for shapes in ([[3], [0], [1]], [[-1], [0], [1]]):
        data = tensor_batch.encode(Columns({"x": replace(column, shapes=np.array(shapes, np.int32))}, 3))
        with pytest.raises(ValueError, match=r"cut off|negative"):
            tensor_batch.decode(data)


def damaged(change):
    data = tensor_batch.encode(
        Columns({"x": Dense(np.arange(4.0)), "s": Blobs.of("STRING", ["a", "b", "c", "d"], 4)}, 4)
    )
    _, _, header_len = struct.unpack_from("<4sII", data)
    header = TensorBatchHeader.FromString(data[12 : 12 + header_len])
    change(header)
    encoded = header.SerializeToString()
    # The buffers stay where the old header said they are.
    return struct.pack("<4sII", b"BMTB", 1, len(encoded)) + encoded + data[12 + len(encoded) :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too few"),
        (b"PK\x03\x04" + bytes(20), "begins with"),
        (struct.pack("<4sII", b"BMTB", 2, 0), "version 2"),
        (struct.pack("<4sII", b"BMTB", 1, 99), "cut off"),
        (struct.pack("<4sII", b"BMTB", 1, 2) + b"\xff\xff", "unreadable header"),
        (damaged(lambda header: setattr(header, "rows", -1)), "-1 rows"),
        (damaged(lambda header: setattr(header, "rows", 5)), "cut off"),
        (damaged(lambda header: setattr(header, "rows", 2**40)), "cut off"),
        (damaged(lambda header: setattr(header.columns[0].values, "offset", 10**9)), "cut off"),
        (damaged(lambda header: setattr(header.columns[0].values, "offset", -64)), "cut off"),
        (damaged(lambda header: setattr(header.columns[1].field, "name", "x")), "two columns"),
        (damaged(lambda header: setattr(header.columns[0].field, "datatype", "BF16")), "unknown datatype"),
        (damaged(lambda header: header.columns[1].field.shape.append(-1)), "cut off"),
        (damaged(lambda header: setattr(header.columns[1].offsets, "offset", 64)), "out of order"),
    ],
)
def test_bytes_that_are_no_tensor_batch_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        tensor_batch.decode(data)
