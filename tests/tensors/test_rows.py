# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Values of rows become columns, and a value that can't costs only its own row."""

import numpy as np
import pytest

from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.tensors.columns import Blobs, Dense, Ragged, RaggedBlobs
from expansion.tensors.rows import to_column


@pytest.mark.parametrize("datatype", sorted(NUMPY_DTYPES))
def test_scalars_become_a_dense_column_of_their_datatype(datatype):
    column, bad = to_column([0, 1, 1] if datatype != "BOOL" else [False, True, True], Field("x", datatype))
    assert isinstance(column, Dense)
    assert (column.datatype, column.shape, bad) == (datatype, (), {})
    assert column.to_rows() == [0, 1, 1]


def test_arrays_of_equal_length_become_a_dense_column():
    column, bad = to_column([[1.0, 2.0], [3.0, 4.0]], Field("x", "FP32", (-1,)))
    assert isinstance(column, Dense)
    assert column.values.dtype == np.float32
    assert column.to_rows() == [[1, 2], [3, 4]]
    assert not bad


def test_arrays_of_unequal_length_become_a_ragged_column():
    column, bad = to_column([[1.0], [], [2.0, 3.0]], Field("x", "FP64", (-1,)))
    assert isinstance(column, Ragged)
    assert column.to_rows() == [[1.0], [], [2.0, 3.0]]
    assert not bad


def test_arrays_of_two_dimensions_keep_their_shapes():
    column, _ = to_column([np.zeros((2, 3)), np.ones((1, 3))], Field("x", "FP64", (-1, -1)))
    assert column.shapes.tolist() == [[2, 3], [1, 3]]


def test_strings_and_bytes_become_blobs_and_empty_ones_are_data():
    text, _ = to_column(["", "zażółć"], Field("x", "STRING"))
    binary, _ = to_column([b"", b"\xff"], Field("x", "BYTES"))
    assert isinstance(text, Blobs)
    assert text.to_rows() == ["", "zażółć"]
    assert binary.to_rows() == [b"", b"\xff"]


def test_arrays_of_texts_become_a_column_of_their_shapes():
    column, bad = to_column([["a"], [], ["b", "ä"]], Field("x", "STRING", (-1,)))
    assert isinstance(column, RaggedBlobs)
    assert (column.to_rows(), bad) == ([["a"], [], ["b", "ä"]], {})
    column, _ = to_column([["a", "b"], ("c", "")], Field("x", "STRING", (-1,)))
    assert isinstance(column, Blobs)
    assert column.to_rows() == [["a", "b"], ["c", ""]]
    nested, _ = to_column([[[b"a"]], [], [[b"b"], [b"\xff"]]], Field("x", "BYTES", (-1, -1)))
    assert nested.to_rows() == [[[b"a"]], [], [[b"b"], [b"\xff"]]]


def test_nan_is_data():
    column, bad = to_column([1.0, float("nan")], Field("x", "FP64"))
    assert np.isnan(column.values[1])
    assert not bad


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        (Field("x", "FP64"), [1.0, None, 2.0], "column 'x' is null; a feature needs a value"),
        (Field("x", "FP64"), [1.0, "two", 2.0], "column 'x' has 'two', which is not FP64"),
        (Field("x", "INT64"), [1, 2.5, 3], "column 'x' has 2.5, which is not INT64"),
        (Field("x", "FP32", (-1,)), [[1.0], 2.0, [3.0]], "column 'x' has 2.0, which is not FP32[-1]"),
        (Field("x", "FP32", (-1,)), [[1.0], [[2.0]], [3.0]], "column 'x' has [[2.0]], which is not FP32[-1]"),
        (Field("x", "STRING"), ["a", b"b", "c"], "column 'x' has b'b', which is not STRING"),
        (Field("x", "STRING", (-1,)), [["a"], "b", ["c"]], "column 'x' has 'b', which is not STRING[-1]"),
        (Field("x", "STRING", (-1,)), [["a"], None, ["c", "d"]], "column 'x' is null; a feature needs a value"),
        (
            Field("x", "STRING", (-1,)),
            [["a"], ["b", None], ["c"]],
            "column 'x' has ['b', None], which is not STRING[-1]",
        ),
        (Field("x", "STRING", (-1,)), [["a"], [["b"]], ["c"]], "column 'x' has [['b']], which is not STRING[-1]"),
    ],
)
def test_a_value_that_is_not_of_its_field_is_named_and_the_others_are_kept(field, values, message):
    column, bad = to_column(values, field)
    assert bad == {1: message}
    rows = column.to_rows()
    assert [rows[0], rows[2]] == [values[0], values[2]]
    assert len(column) == 3


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("INT64", 2**70), ("INT64", 2**63), ("INT32", 2**40), ("INT8", 300), ("UINT8", -1), ("BOOL", 5)],
)
def test_a_value_that_its_datatype_does_not_hold_is_named_and_never_wraps(datatype, value):
    good = True if datatype == "BOOL" else 1
    column, bad = to_column([good, value], Field("x", datatype))
    assert list(bad) == [1]
    assert column.to_rows()[0] == good


def test_nulls_are_filled_in_where_there_is_something_to_fill_in():
    column, bad = to_column([None, 2, "x", None], Field("x", "INT64"), 7)
    assert (column.to_rows(), list(bad)) == ([7, 2, 0, 7], [2])
    column, bad = to_column([None, "a", ""], Field("x", "STRING"), "")
    assert (column.to_rows(), bad) == (["", "a", ""], {})
    column, bad = to_column([None, True], Field("x", "BOOL"), False)
    assert (column.to_rows(), bad) == ([False, True], {})
