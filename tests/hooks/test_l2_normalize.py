# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import L2Normalize
from expansion.contract.fields import Field
from expansion.tensors.columns import Ragged


def test_vectors_along_the_last_axis_get_length_one(apply):
    x = np.array([[[3.0, 4.0], [0.0, -2.0]]])
    np.testing.assert_allclose(apply(L2Normalize(columns=["x"]), x=x)["x"].values, [[[0.6, 0.8], [0, -1]]])
    assert x[0, 0, 0] == 3


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("size", ["smallest_subnormal", "tiny", "max"])
def test_no_vector_is_too_long_or_too_short(apply, dtype, size):
    x = np.full((1, 4), getattr(np.finfo(dtype), size), dtype)
    after = apply(L2Normalize(columns=["x"]), x=x)
    assert after["x"].values.dtype == dtype
    assert after["x"].to_rows() == [[0.5] * 4]


def test_a_vector_of_zeros_stays_as_it_is(apply):
    after = apply(L2Normalize(columns=["x"]), x=np.array([[0, 0], [0, 5]], np.float32))
    assert after["x"].to_rows() == [[0, 0], [0, 1]]


def test_a_nan_makes_its_own_vector_nan_only(apply):
    after = apply(L2Normalize(columns=["x"]), x=np.array([[np.nan, 1], [0, 7]]))
    np.testing.assert_array_equal(after["x"].values, [[np.nan, np.nan], [0, 1]])


def test_rows_of_unequal_length_are_each_normalised_by_themselves(apply):
    x = Ragged.of_rows([np.full(4, 7.0), np.zeros(0), np.array([-3.0])], np.float64, 1)
    assert apply(L2Normalize(columns=["x"]), x=x)["x"].to_rows() == [[0.5] * 4, [], [-1]]


def test_what_is_no_vector_of_floats_is_a_problem(problems):
    assert problems(L2Normalize()) == ["columns: missing; expected the names of one or more columns"]
    assert problems(L2Normalize(columns=["x"]), x=Field("x", "INT64", (2,))) == [
        "columns[0]: column 'x' is INT64[2]; expected a floating datatype"
    ]
    assert problems(L2Normalize(columns=["x"]), x=Field("x", "FP32")) == [
        "columns[0]: column 'x' is FP32; expected a last axis with at least one element"
    ]
