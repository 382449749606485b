# Licensed under the Apache License, Version 2.0; see LICENSE.
import statistics
from fractions import Fraction

import numpy as np
import pytest

from expansion.operations.moments import Moments, square_root
from expansion.tensors.columns import Dense, Ragged


def moments(values, positions=None):
    statistic = Moments("x", positions)
    return statistic.result(statistic.merge([statistic.observe(Dense(np.asarray(values)))]))


def test_mean_and_deviation_are_those_of_exact_arithmetic():
    values = np.random.default_rng(0).lognormal(0, 3, 1000)
    found = moments(values)
    assert found == {
        "mean": statistics.mean(values.tolist()),
        "standard_deviation": statistics.pstdev(values.tolist()),
    }


def test_large_numbers_that_differ_little_lose_no_digits():
    assert moments([1e16, 1e16 + 2, 1e16 + 4]) == {"mean": 1e16 + 2, "standard_deviation": (8 / 3) ** 0.5}
    assert moments([1e308, -1e308]) == {"mean": 0.0, "standard_deviation": 1e308}
    assert moments([2**63 - 1, 2**63 - 3]) == {"mean": float(2**63 - 2), "standard_deviation": 1.0}


def test_nan_and_infinities_are_left_out():
    assert moments([np.nan, 1, np.inf, 3, -np.inf]) == {"mean": 2.0, "standard_deviation": 1.0}


def test_each_position_may_have_moments_of_its_own():
    values = np.array([[[1.0, 2.0], [np.nan, 5.0]], [[3.0, 2.0], [np.nan, 7.0]]])
    assert moments(values, (2, 2)) == {
        "mean": [[2.0, 2.0], [None, 6.0]],
        "standard_deviation": [[1.0, 0.0], [None, 1.0]],
    }
    assert moments(values)["mean"] == 20 / 6


def test_rows_of_unequal_length_count_by_their_elements():
    statistic = Moments("x")
    column = Ragged.of_rows([np.array([1.0, 2.0]), np.array([]), np.array([6.0])], np.float64, 1)
    assert statistic.result(statistic.observe(column))["mean"] == 3.0


@pytest.mark.parametrize(("positions", "nothing"), [(None, None), ((), None), ((2,), [None, None])])
def test_nothing_is_learned_of_no_rows(positions, nothing):
    assert Moments("x", positions).result(None) == {"mean": nothing, "standard_deviation": nothing}


def test_nothing_is_learned_of_nan():
    assert moments([np.nan, np.nan]) == {"mean": None, "standard_deviation": None}


@pytest.mark.parametrize("number", [Fraction(4), Fraction(2), Fraction(1, 3), Fraction(10**600), Fraction(1, 10**600)])
def test_square_roots_are_correctly_rounded(number):
    assert square_root(0, 7) == 0
    root = Fraction(square_root(*number.as_integer_ratio()))
    below, above = (Fraction(np.nextafter(float(root), to).item()) for to in (-np.inf, np.inf))
    assert ((below + root) / 2) ** 2 <= number <= ((root + above) / 2) ** 2
