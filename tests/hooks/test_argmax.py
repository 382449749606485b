# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import Argmax
from expansion.contract.fields import Field


def test_the_index_of_the_largest_is_found_and_the_first_of_equals(apply):
    after = apply(Argmax(column="x", output="class"), x=np.array([[1, 3, 3], [5, 0, 0]], np.float32))
    assert after["class"].datatype == "INT64"
    assert after["class"].to_rows() == [1, 0]


def test_the_last_axis_is_searched(apply):
    assert apply(Argmax(column="x"), x=np.arange(12).reshape(2, 2, 3))["x"].to_rows() == [[2, 2], [2, 2]]


def test_nan_counts_as_the_largest(apply):
    assert apply(Argmax(column="x"), x=np.array([[1, np.nan, 3]]))["x"].to_rows() == [1]


def test_no_rows_have_no_indices(apply):
    assert apply(Argmax(column="x"), x=np.zeros((0, 3)))["x"].to_rows() == []


def test_a_scalar_is_a_problem(problems):
    assert problems(Argmax(column="x"), x=Field("x", "FP32")) == [
        "column: column 'x' is FP32; expected a last axis with at least one element"
    ]
