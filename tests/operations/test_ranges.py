# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.operations.ranges import Range
from expansion.tensors.columns import Dense, Ragged


def range_of(*batches, positions=None):
    statistic = Range("x", positions)
    return statistic.result(statistic.merge([statistic.observe(Dense(np.asarray(values))) for values in batches]))


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([3.5, -1.0, 2.0], -1.0, 3.5),
        ([np.nan, 1.0, np.inf, -np.inf], 1.0, 1.0),
        (np.array([0.5, 2], np.float16), 0.5, 2.0),
        ([2**63 - 1, -(2**63)], -(2**63), 2**63 - 1),
        (np.array([2**64 - 1, 5], np.uint64), 5, 2**64 - 1),
        (np.array([True, False]), 0, 1),
    ],
)
def test_minimum_and_maximum_are_those_of_the_finite_numbers(values, low, high):
    assert range_of(values) == {"min": low, "max": high}


def test_batches_of_nan_only_do_not_count():
    assert range_of([np.nan], [2.0, 1.0], [np.inf]) == {"min": 1.0, "max": 2.0}
    assert range_of([np.nan], [np.inf]) == {"min": None, "max": None}


def test_each_position_may_have_a_range_of_its_own():
    values = np.array([[1, 20], [3, 10]])
    assert range_of(values, positions=(2,)) == {"min": [1, 10], "max": [3, 20]}
    assert range_of(values) == {"min": 1, "max": 20}
    assert range_of(np.array([[np.nan, 1.0]]), positions=(2,)) == {"min": [None, 1.0], "max": [None, 1.0]}


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_empty_rows_have_no_range(dtype):
    statistic = Range("x")
    empty = Ragged.of_rows([np.array([], dtype)], dtype, 1)
    assert statistic.result(statistic.observe(empty)) == {"min": None, "max": None}
    merged = statistic.merge([statistic.observe(empty), statistic.observe(Dense(np.array([3, 1], dtype)))])
    assert statistic.result(merged) == {"min": 1, "max": 3}


def test_nothing_is_learned_of_no_rows():
    assert Range("x").result(None) == {"min": None, "max": None}
    assert Range("x", (2, 1)).result(None) == {"min": [[None], [None]], "max": [[None], [None]]}
