# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.operation_pb2 import ScaleByMinMax
from expansion.tensors.columns import Columns, Dense


def test_the_range_becomes_another(apply):
    config = ScaleByMinMax(columns=["x"], min_value=-1, max_value=3)
    assert apply(config, x=np.array([0.0, 5.0, 10.0]))["x"].to_rows() == [-1.0, 1.0, 3.0]
    assert apply(ScaleByMinMax(columns=["x"]), x=np.array([0, 5, 10]))["x"].to_rows() == [0.0, 0.5, 1.0]


def test_of_equal_values_the_sigmoid_becomes_the_range(apply):
    config = ScaleByMinMax(columns=["x"], min_value=-1, max_value=3)
    after = apply(config, [Columns({"x": Dense(np.array([7.0]))}, 1)], x=np.array([0.0, 1e9]))
    assert after["x"].to_rows() == [1.0, 3.0]


def test_large_numbers_that_differ_little_are_told_apart(apply):
    x = np.array([2.0**53 - 2, 2.0**53 - 1, 2.0**53])
    assert apply(ScaleByMinMax(columns=["x"]), x=x)["x"].to_rows() == [0.0, 0.5, 1.0]


def test_limits_whose_difference_no_double_holds_are_scaled_all_the_same(apply):
    config = ScaleByMinMax(columns=["x"])
    assert apply(config, x=np.array([-1.7e308, 0, 1.7e308]))["x"].to_rows() == [0.0, 0.5, 1.0]
    learned_from = [Columns({"x": Dense(np.array([-1.7e308, 0.0]))}, 2)]
    assert apply(config, learned_from, x=np.array([1.7e308]))["x"].to_rows() == [2.0]
    each = ScaleByMinMax(columns=["x"], elementwise=True)
    x = np.array([[-1.7e308, 0, 1.7e308, 5e-324], [1.7e308, 4, 1.7e308, 1.5e-323], [0, 1, 1.7e308, 1e-323]])
    after = apply(each, x=x)["x"].to_rows()
    assert after == [[0.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.5, 0.25, 1.0, 0.5]]


def test_large_limits_give_to_the_bit_what_the_formula_gives(apply):
    x = np.random.default_rng(0).normal(size=1000) * 1e307
    expected = (x - x.min()) / (x.max() - x.min())
    assert apply(ScaleByMinMax(columns=["x"]), x=x)["x"].to_rows() == expected.tolist()


def test_limits_of_the_result_whose_difference_no_double_holds_are_a_problem(problems):
    assert problems(ScaleByMinMax(columns=["x"], min_value=-1e308, max_value=1.7e308)) == [
        "max_value: got 1.7e+308, and min_value is -1e+308; expected a difference that FP64 holds, at most 1.79e308"
    ]


def test_impossible_ranges_are_problems(problems):
    assert problems(ScaleByMinMax(columns=["x"], min_value=1)) == ["max_value: got 1; expected more than min_value, 1"]
    assert problems(ScaleByMinMax(columns=["x"], min_value=float("-inf"), max_value=0)) == [
        "min_value: got -inf; expected a finite number"
    ]
    assert problems(ScaleByMinMax(columns=["x"], max_value=float("nan"))) == [
        "max_value: got nan; expected a finite number"
    ]
