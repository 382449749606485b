# Licensed under the Apache License, Version 2.0; see LICENSE.
from itertools import combinations
from statistics import fmean, pstdev

import numpy as np
import pytest

from expansion.operations.lmoments import l_moments


def of(values):
    return l_moments(*np.unique(np.asarray(values), return_counts=True))


def by_definition(values, order):
    """The mean, over all samples of so many values, of Hosking's combination of their order statistics."""
    signs = {2: (-1, 1), 3: (1, -2, 1), 4: (-1, 3, -3, 1)}[order]
    return fmean(
        sum(sign * value for sign, value in zip(signs, sample, strict=True)) / order
        for sample in combinations(sorted(values), order)
    )


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
        [3.0, 3.0, 3.0, 1.0, 7.0, 7.0],
        [0.0, 0.0, 0.0, 1.0],
        np.random.default_rng(0).normal(size=12).tolist(),
        np.random.default_rng(1).lognormal(size=12).tolist(),
    ],
)
def test_they_are_what_the_definition_says(values):
    moments = of(values)
    assert moments.mean == pytest.approx(fmean(values), rel=1e-14)
    assert moments.standard_deviation == pytest.approx(pstdev(values), rel=1e-13)
    assert moments.scale == pytest.approx(by_definition(values, 2), rel=1e-13)
    assert moments.skewness * moments.scale == pytest.approx(by_definition(values, 3), rel=1e-12, abs=1e-14)
    assert moments.kurtosis * moments.scale == pytest.approx(by_definition(values, 4), rel=1e-12, abs=1e-14)


def test_those_of_a_normal_distribution_are_known():
    moments = of(np.random.default_rng(0).normal(size=200_000))
    assert moments.scale == pytest.approx(np.pi**-0.5, abs=2e-3)
    assert moments.skewness == pytest.approx(0, abs=2e-3)
    assert moments.kurtosis == pytest.approx(0.1226, abs=2e-3)


def test_a_shift_changes_the_mean_only():
    values = np.random.default_rng(0).integers(0, 1000, 500)
    near, far = of(values), of(values + 10**15)
    assert (far.scale, far.skewness, far.kurtosis) == pytest.approx(
        (near.scale, near.skewness, near.kurtosis), rel=1e-12
    )


def test_numbers_near_the_limits_do_not_overflow():
    moments = of(np.array([-1.7e308, 0.0, 1.0, 1.7e308]))
    assert np.isfinite(moments).all()
    assert moments.standard_deviation == pytest.approx(1.7e308 * 0.5**0.5)


@pytest.mark.parametrize("values", [[5.0], [5.0, 6.0], [1.0, 2.0, 9.0], [4.0] * 9])
def test_of_too_few_or_equal_values_there_is_no_shape(values):
    assert of(values)[2:4] == (0.0, 0.0)
