# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import Concat
from expansion.contract.fields import Field


def test_scalars_are_joined_as_vectors_of_one_element(apply):
    after = apply(Concat(columns=["a", "b"], output="x"), a=np.array([1.0, 2.0]), b=np.array([[3.0, 4.0], [5.0, 6.0]]))
    assert after["x"].to_rows() == [[1, 3, 4], [2, 5, 6]]
    assert list(after) == ["a", "b", "x"]


def test_columns_are_joined_along_any_axis_of_a_row(apply):
    a, b = np.zeros((2, 3, 1)), np.ones((2, 3, 2))
    assert apply(Concat(columns=["a", "b"], output="a", axis=1), a=a, b=b)["a"].shape == (3, 3)


def test_the_datatype_is_what_numpy_promotes_to(apply):
    columns = {"a": np.zeros(2, np.int32), "b": np.zeros(2, np.float32), "c": np.zeros(2, np.bool_)}
    assert apply(Concat(columns=["a", "b"], output="x"), **columns)["x"].datatype == "FP64"
    assert apply(Concat(columns=["c", "b"], output="x"), **columns)["x"].datatype == "FP32"
    assert apply(Concat(columns=["c", "c"], output="x"), **columns)["x"].datatype == "BOOL"


def test_no_rows_are_joined_to_no_rows(apply):
    assert apply(Concat(columns=["a", "a"], output="x"), a=np.zeros(0))["x"].values.shape == (0, 2)


def test_every_problem_of_the_message_is_reported(problems):
    assert problems(Concat(axis=-1)) == [
        "columns: missing; expected the names of one or more columns",
        "output: missing; expected the name of a column",
        "axis: got -1; expected 0 or more",
    ]


def test_columns_that_do_not_join_are_problems(problems):
    a, b, c = Field("a", "FP32", (2, 3)), Field("b", "FP32", (2, 4)), Field("c", "FP32")
    assert problems(Concat(columns=["a", "b", "c"], output="x"), a=a, b=b, c=c) == [
        "columns[1]: column 'b' is FP32[2, 4], which does not join 'a', FP32[2, 3], along axis 0; expected the same "
        "sizes along every other axis",
        "columns[2]: column 'c' is FP32, which does not join 'a', FP32[2, 3], along axis 0; expected the same sizes "
        "along every other axis",
    ]
    assert problems(Concat(columns=["c"], output="x", axis=1), c=c) == [
        "axis: got 1; expected less than 1, the number of axes of a row"
    ]
    assert problems(Concat(columns=["a", "s"], output="x"), a=a, s=Field("s", "STRING")) == [
        "columns[1]: column 's' is STRING; expected a number"
    ]
