# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.operation_pb2 import ScaleByMinMax
from expansion.contract.fields import Field
from expansion.operations.scale_by_min_max import build
from expansion.tensors.columns import Columns, Dense, Ragged


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


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("i8", [2**60, 2**60 + 100, 2**60 + 50]),
        ("i8", [-(2**60), -(2**60) + 100, -(2**60) + 50]),
        ("u8", [2**64 - 101, 2**64 - 1, 2**64 - 51]),
        ("i8", [-(2**63), 2**63 - 1, 0]),
        ("u8", [0, 2**64 - 1, 2**63]),
    ],
)
def test_integers_that_doubles_do_not_tell_apart_are_told_apart(apply, dtype, values):
    x = np.array(values, dtype)
    assert apply(ScaleByMinMax(columns=["x"]), x=x)["x"].to_rows() == [0.0, 1.0, 0.5]
    ragged = Ragged.of_rows([x[:1], x[1:]], dtype, 1)
    assert apply(ScaleByMinMax(columns=["x"]), x=ragged)["x"].to_rows() == [[0.0], [1.0, 0.5]]
    each = ScaleByMinMax(columns=["x"], elementwise=True)
    after = apply(each, x=np.stack([x, np.array([7, 7, 7], dtype)], axis=1))["x"].to_rows()
    assert [row[0] for row in after] == [0.0, 1.0, 0.5]
    assert {row[1] for row in after} == {float(np.float32(1 / (1 + np.exp(-7.0))))}


def test_large_integers_outside_of_the_range_that_was_learned_are_scaled_too(apply):
    learned_from = [Columns({"x": Dense(np.array([2**60, 2**60 + 100]))}, 2)]
    x = np.array([2**60 - 50, 2**60 + 150, -(2**63)])
    after = apply(ScaleByMinMax(columns=["x"]), learned_from, x=x)["x"].to_rows()
    assert after == [-0.5, 1.5, float(np.float32(-(2**63 + 2**60) / 100))]


@pytest.mark.parametrize("wrong", [2**70, 2.0**60 + 1024, None])
def test_limits_that_no_integer_column_has_are_taken_as_doubles(wrong):
    config, inputs = ScaleByMinMax(columns=["x"]), {"x": Field("x", "INT64")}
    operation = build(config, inputs, {"x.range": {"min": 2**60, "max": wrong}})
    [value] = operation(Columns({"x": Dense(np.array([2**60]))}, 1))["x"].to_rows()
    assert value == (1.0 if wrong is None else 0.0)


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
