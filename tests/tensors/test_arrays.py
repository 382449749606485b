# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.arrays import fits, stack
from expansion.tensors.columns import Blobs, Columns, Dense


def columns(**arrays):
    return Columns({name: Dense(array) for name, array in arrays.items()}, len(next(iter(arrays.values()))))


def test_one_column_of_the_right_datatype_is_not_copied():
    x = np.zeros((3, 2), np.float32)
    assert np.shares_memory(stack(columns(x=x), Field("input", "FP32", (-1,))), x)


def test_a_column_is_converted_to_the_datatype_of_the_input():
    assert stack(columns(x=np.zeros((3, 2))), Field("input", "FP32", (2,))).dtype == np.float32


def test_several_columns_are_joined_and_scalars_count_as_vectors():
    joined = stack(columns(a=np.array([1, 2]), b=np.array([[3.0, 4.0], [5.0, 6.0]])), Field("x", "", (3,)))
    assert joined.tolist() == [[1, 3, 4], [2, 5, 6]]
    assert joined.dtype == np.float64


def test_a_single_scalar_is_a_vector_where_the_input_takes_one():
    assert stack(columns(a=np.array([1, 2])), Field("x", "FP32", (1,))).tolist() == [[1], [2]]
    assert stack(columns(a=np.array([1, 2])), Field("x", "FP32")).tolist() == [1, 2]


def test_columns_of_several_datatypes_are_joined_in_the_datatype_of_the_input():
    joined = stack(columns(a=np.array([1, 2]), b=np.array([True, False])), Field("x", "FP32", (-1,)))
    assert joined.dtype == np.float32
    assert joined.tolist() == [[1, 1], [2, 0]]


def test_strings_and_numbers_are_joined_as_python_values():
    made = Columns({"a": Blobs.of("STRING", ["x"], 1), "b": Dense(np.array([2]))}, 1)
    assert stack(made, Field("x", "", (2,))).tolist() == [["x", 2]]


def test_no_rows_are_joined_to_no_rows():
    assert stack(columns(a=np.zeros(0), b=np.zeros(0)), Field("x", "FP32", (2,))).shape == (0, 2)


def test_rows_of_a_shape_that_the_input_does_not_take_are_all_bad():
    with pytest.raises(BadRows) as raised:
        stack(columns(x=np.zeros((2, 3))), Field("pixels", "FP32", (4,)))
    assert raised.value.messages.keys() == {0, 1}
    assert raised.value.messages[0] == (
        "shape [3] does not fit model input 'pixels', which takes [4]; reshape or pad the column in a pre hook"
    )


def test_strings_become_an_array_of_str():
    column = Blobs.of("STRING", ["a", "b", "c", "d"], 2, (2,))
    assert stack(Columns({"x": column}, 2), Field("x", "STRING", (-1,))).tolist() == [["a", "b"], ["c", "d"]]


def test_strings_become_their_utf_8_where_bytes_are_wanted():
    column = Blobs.of("STRING", ["ż", ""], 2)
    assert stack(Columns({"x": column}, 2), Field("x", "BYTES")).tolist() == ["ż".encode(), b""]


def test_an_unknown_size_fits_any():
    assert fits((3, 4), (-1, 4))
    assert fits((-1,), (4,))
    assert not fits((3,), (3, 1))
    assert not fits((3,), (4,))
