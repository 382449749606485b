# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What models and functions return, as columns."""

import decimal

import numpy as np
import pytest

from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.tensors.columns import Ragged, RaggedBlobs
from expansion.tensors.results import column_of, declared_column


def made(values, datatype, *shape, rows=2):
    column = declared_column(Field("y", datatype, shape), values, rows)
    assert column.datatype == datatype
    assert len(column) == rows
    return column


@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        ([1, 2], "UINT8"),
        ([1, 2], "FP16"),
        ([1.5, 2.5], "FP32"),
        ([True, False], "INT32"),
        (np.array([1, -128], np.int64), "INT8"),
        (np.array([1, 2], np.uint64), "INT64"),
        ((np.float32(1), np.float64(2)), "FP64"),
    ],
)
def test_numbers_are_converted_where_no_value_is_lost_and_any_number_becomes_a_float(values, datatype):
    assert made(values, datatype).to_rows() == list(values)


def test_numbers_of_the_declared_datatype_are_not_copied():
    values = np.zeros((2, 3), np.float32)
    assert made(values, "FP32", 3).values is values


@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        ([1.0, 2.0], "INT64"),
        ([1, 0], "BOOL"),
        ([1j, 2j], "FP64"),
        (["1", "2"], "FP64"),
        (np.array(["2020-01-01", "2020-01-02"], "M8[D]"), "INT64"),
        ([decimal.Decimal(1), decimal.Decimal(2)], "FP64"),
        ([b"a", b"b"], "STRING"),
        (["a", "b"], "BYTES"),
        (["a", 1], "STRING"),
        ([1, 2], "STRING"),
        ([["a"], ["b", "c"]], "STRING"),
    ],
)
def test_what_is_of_another_type_is_systemic(values, datatype):
    with pytest.raises(SystemicError, match=rf"output 'y' (is|holds) .*; it is declared as {datatype}"):
        made(values, datatype)


@pytest.mark.parametrize(
    ("values", "datatype", "lost"),
    [([1, 300], "UINT8", 300), ([-1, 2], "UINT64", -1), (np.array([2**63, 1], np.uint64), "INT64", 2**63)],
)
def test_an_integer_out_of_range_is_the_fault_of_a_row(values, datatype, lost):
    with pytest.raises(ValueError, match=f"output 'y' has {lost}, which is out of the range of {datatype}"):
        made(values, datatype)


@pytest.mark.parametrize(
    ("values", "datatype", "shape"),
    [
        (["a", None], "STRING", ()),
        ([1.0, None], "FP64", ()),
        ([[1.0, 2.0], None], "FP64", (2,)),
        ([[1, None], [2, 3]], "INT64", (2,)),
    ],
)
def test_a_none_is_the_fault_of_a_row(values, datatype, shape):
    with pytest.raises(ValueError, match="output 'y' is None; expected"):
        made(values, datatype, *shape)


@pytest.mark.parametrize("values", [[1.0], 1.0, None, [1.0, 2.0, 3.0], [[1.0], [1.0, 2.0], [3.0]]])
def test_another_number_of_rows_is_systemic(values):
    with pytest.raises(SystemicError, match=r"output 'y' has shape .* for 2 rows; expected rows along its first axis"):
        made(values, "FP64")


def test_rows_of_unequal_shape_may_be_a_sequence():
    column = made([[1, 2], [], [3]], "INT32", -1, rows=3)
    assert isinstance(column, Ragged)
    assert column.to_rows() == [[1, 2], [], [3]]
    rows = [np.ones((2, 1), np.float32), np.ones((2, 3), np.float32)]
    assert made(rows, "FP32", 2, -1).to_rows() == [row.tolist() for row in rows]
    assert made([[], []], "INT64", -1).shape == (0,)


def test_an_array_of_objects_is_taken_for_its_rows():
    values = np.empty(2, object)
    values[:] = [np.array([1.0]), np.array([2.0])]
    assert made(values, "FP64", 1).to_rows() == [[1.0], [2.0]]


@pytest.mark.parametrize("values", [[[1.0], [2.0, 3.0]], [1.0, [2.0]], [[[1.0]], [[2.0]]]])
def test_another_shape_than_declared_is_systemic(values):
    with pytest.raises(SystemicError, match=r"it is declared as FP64\[3\]"):
        made(values, "FP64", 3)


def test_texts_and_bytes_come_out_as_they_are_with_their_nul():
    assert made(["a\0", "ä"], "STRING").to_rows() == ["a\0", "ä"]
    assert made(np.array([["a", "b"], ["c", ""]]), "STRING", 2).to_rows() == [["a", "b"], ["c", ""]]
    assert made([b"a\0", b"\xff"], "BYTES").to_rows() == [b"a\0", b"\xff"]


def test_texts_of_unequal_number_may_be_a_sequence_too():
    column = made([["a", "b"], [], ["ä"]], "STRING", -1, rows=3)
    assert (type(column), column.to_rows()) == (RaggedBlobs, [["a", "b"], [], ["ä"]])
    assert made(np.array([["a", "b"], ["c", ""]]), "STRING", -1).to_rows() == [["a", "b"], ["c", ""]]
    assert made([[b"a"], []], "BYTES", -1).to_rows() == [[b"a"], []]
    with pytest.raises(SystemicError, match=r"rows of shapes .*; it is declared as STRING\[-1\]"):
        made(["a", "b"], "STRING", -1)
    with pytest.raises(SystemicError, match=r"holds float, str; it is declared as STRING\[-1\]"):
        made([["a", 1.0], []], "STRING", -1)
    with pytest.raises(ValueError, match="output 'y' is None"):
        made([["a", None], []], "STRING", -1)


def test_what_is_no_datatype_is_not_served():
    assert column_of("y", np.array([["a"], ["b"]]), 2).to_rows() == [["a"], ["b"]]
    with pytest.raises(SystemicError, match="holds complex128, which is no datatype"):
        column_of("y", np.zeros(2, complex), 2)
    for values in ([None, "x"], ["x", 1], ["x", float("nan")], [b"x", b"y"], [object(), object()], [None, None]):
        with pytest.raises(SystemicError, match="holds object, which is no datatype"):
            column_of("y", np.array(values, object), 2)


@pytest.mark.parametrize("dtype", [object, "U"])
def test_texts_of_any_shape_come_out_as_they_are(dtype):
    texts = np.array([["a", "", "ä"], ["b\0c", "x" * 1000, "d"]], dtype)
    column = column_of("y", texts, 2)
    assert (column.datatype, column.shape, column.to_rows()) == ("STRING", (3,), texts.tolist())
    assert column_of("y", texts.T, 3).to_rows() == texts.T.tolist()
    assert column_of("y", np.empty((2, 0), dtype), 2).to_rows() == [[], []]
