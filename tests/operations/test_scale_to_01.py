# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.operation_pb2 import ScaleTo01
from expansion.contract.fields import Field
from expansion.tensors.columns import Columns, Dense


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "i8", "f2", "f4", "f8"])
def test_the_minimum_becomes_0_and_the_maximum_1(apply, learned, dtype):
    x = np.array([0, 1, 1], dtype)
    assert apply(ScaleTo01(columns=["x"]), x=x)["x"].to_rows() == [0, 1, 1]
    assert apply(ScaleTo01(columns=["x"]), x=x)["x"].datatype == ("FP64" if dtype == "f8" else "FP32")
    assert learned(ScaleTo01(columns=["x"]), x=x) == {"x.range": {"min": 0, "max": 1}}


def test_what_is_learned_is_applied_to_other_rows(apply):
    learned_from = [Columns({"x": Dense(np.array(values))}, 2) for values in ([10.0, 15.0], [30.0, np.nan])]
    after = apply(ScaleTo01(columns=["x"]), learned_from, x=np.array([10.0, 20.0, 40.0, np.nan, np.inf]))
    np.testing.assert_equal(after["x"].to_rows(), [0.0, 0.5, 1.5, np.nan, np.inf])


def test_scalars_stay_scalars_and_arrays_arrays(apply):
    after = apply(ScaleTo01(columns=["x", "y"]), x=np.array([0.0, 4.0]), y=np.array([[0.0, 1.0], [2.0, 4.0]]))
    assert (after["x"].to_rows(), after["y"].to_rows()) == ([0.0, 1.0], [[0.0, 0.25], [0.5, 1.0]])


def test_each_position_may_have_a_range_of_its_own(apply, learned):
    config = ScaleTo01(columns=["x"], elementwise=True)
    x = np.array([[0.0, 7.0], [10.0, 7.0], [5.0, 7.0]])
    after = apply(config, x=x)["x"].values
    assert after[:, 0].tolist() == [0.0, 1.0, 0.5]
    np.testing.assert_allclose(after[:, 1], 1 / (1 + np.exp(-7)))
    assert learned(config, x=x) == {"x.range": {"min": [0.0, 7.0], "max": [10.0, 7.0]}}


def test_of_equal_values_or_none_the_sigmoid_is_taken(apply):
    sigmoid = [0.5, 1 / (1 + np.exp(-2.0)), 1.0, 0.0]
    for learned_from in ([Columns({"x": Dense(np.array([3.0]))}, 1)], []):
        learned_from = learned_from or [Columns({"x": Dense(np.array([np.nan]))}, 1)]
        after = apply(ScaleTo01(columns=["x"]), learned_from, x=np.array([0.0, 2.0, 1000.0, -1000.0]))
        np.testing.assert_allclose(after["x"].values, sigmoid)


def test_positions_of_rows_that_may_differ_in_shape_are_a_problem(problems):
    config = ScaleTo01(columns=["x", "y", "z"], elementwise=True)
    fields = {"x": Field("x", "FP32", (-1,)), "y": Field("y", "FP32", (2,)), "z": Field("z", "STRING")}
    assert problems(config, **fields) == [
        "columns[0]: column 'x' is FP32[-1]; elementwise needs rows of one known shape: reshape or pad it before",
        "columns[2]: column 'z' is STRING; expected a number",
    ]
