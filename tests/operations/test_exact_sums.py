# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Sums are those of fractions, whatever the numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.operations.exact_sums import SCALE, exact_sums


def sums_are_exact(values):
    values = values.reshape(len(values), -1)
    sums = exact_sums(values)
    for position in range(values.shape[1]):
        numbers = [Fraction(value) for value in values[:, position].tolist() if np.isfinite(value)]
        assert sums.count[position] == len(numbers)
        assert Fraction(sums.total[position], 2**SCALE) == sum(numbers)
        assert Fraction(sums.squares[position], 2 ** (2 * SCALE)) == sum(number**2 for number in numbers)


RANDOM = np.random.default_rng(0)
TINY, HUGE = 5e-324, np.finfo(np.float64).max


@pytest.mark.parametrize(
    "values",
    [
        RANDOM.normal(size=1000),
        RANDOM.normal(size=(300, 3)) * 10.0 ** RANDOM.integers(-300, 300, (300, 3)),
        np.array([TINY, -TINY, HUGE, HUGE, -1.0, 0.0, -0.0, 1e16, 1.0]),
        np.array([[np.nan, 1.0], [np.inf, -np.inf], [2.0, np.nan]]),
        RANDOM.normal(size=100).astype(np.float16),
        RANDOM.normal(size=70_000).astype(np.float32),
        np.array([True, False, True]),
        RANDOM.integers(-128, 127, 500).astype(np.int8),
        RANDOM.integers(-(2**63), 2**63 - 1, 1000),
        RANDOM.integers(0, 2**64 - 1, 1000, dtype=np.uint64),
    ],
    ids=lambda values: f"{values.dtype}{list(values.shape)}",
)
def test_sums_of_every_dtype_are_exact(values):
    sums_are_exact(values)


@pytest.mark.parametrize("value", [1 - 2.0**-53, -(1 - 2.0**-53), 2**63 - 1, -(2**63)])
def test_many_numbers_with_all_bits_set_do_not_overflow(value):
    sums_are_exact(np.full(66_000, value))


def test_no_rows_have_no_sum():
    sums = exact_sums(np.zeros((0, 2)))
    assert (sums.count, sums.total, sums.squares) == ([0, 0], [0, 0], [0, 0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_sums_of_any_floats_are_exact(values):
    sums_are_exact(np.array(values))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=20), st.data())
def test_sums_of_parts_add_up_to_that_of_all(values, data):
    cut = data.draw(st.integers(1, len(values) - 1))
    whole = np.array(values)[:, None]
    assert exact_sums(whole[:cut]) + exact_sums(whole[cut:]) == exact_sums(whole)
