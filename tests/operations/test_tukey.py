# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.operations.lmoments import l_moments
from expansion.operations.tukey import l_ratios, tail_parameters, to_normal, tukey_parameters


def quantiles_of(left, right, count=200_001):
    """Quantiles of a Tukey hh distribution at equally likely places: a sample without noise."""
    from statistics import NormalDist

    normal = NormalDist()
    u = np.array([normal.inv_cdf((place + 0.5) / count) for place in range(count)])
    return u, u * np.exp(np.where(u < 0, left, right) * u**2 / 2)


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.0), (0.1, 0.1), (0.0, 0.3), (0.05, 0.25)])
def test_l_moments_of_the_distribution_are_those_of_its_quantiles(left, right):
    moments = l_moments(*np.unique(quantiles_of(left, right)[1], return_counts=True))
    assert (moments.skewness, moments.kurtosis) == pytest.approx(l_ratios(left, right), abs=2e-3)


@pytest.mark.parametrize(("left", "right"), [(0.1, 0.1), (0.05, 0.25), (0.25, 0.05)])
def test_parameters_of_a_sample_are_those_of_its_distribution(left, right):
    values = 7 + 3 * quantiles_of(left, right)[1]
    found = tukey_parameters(l_moments(*np.unique(values, return_counts=True)))
    assert tuple(found) == pytest.approx((7, 3, left, right), abs=0.05)


@pytest.mark.parametrize(("skewness", "kurtosis"), [(0.0, 0.2), (0.1, 0.25), (0.2, 0.4)])
def test_the_two_tails_have_the_skewness_and_kurtosis_that_are_asked_for(skewness, kurtosis):
    assert l_ratios(*tail_parameters(skewness, kurtosis)) == pytest.approx((skewness, kurtosis), abs=3e-3)


def test_more_skewness_than_there_is_leaves_the_shorter_tail_normal():
    short, long = tail_parameters(0.4, 0.2)
    assert short == pytest.approx(0, abs=1e-3)
    assert l_ratios(0, long)[1] == pytest.approx(0.2, abs=1e-2)


def test_tails_that_are_not_long_are_those_of_a_normal_distribution():
    values = np.arange(1000.0)
    moments = l_moments(values, np.ones(1000, np.int64))
    assert tukey_parameters(moments) == (moments.mean, moments.standard_deviation, 0, 0)


def test_skewness_to_the_left_is_that_to_the_right_in_a_mirror():
    values = np.random.default_rng(0).lognormal(size=2000)
    right = tukey_parameters(l_moments(*np.unique(values, return_counts=True)))
    left = tukey_parameters(l_moments(*np.unique(-values, return_counts=True)))
    assert tuple(left) == pytest.approx((-right.location, right.scale, right.right, right.left), rel=1e-9)


@pytest.mark.parametrize("h", [0.0, 1e-12, 1e-3, 0.3, 0.999])
def test_values_become_normal_as_they_came_of_it(h):
    u = np.concatenate([[0.0, 1e-300, 1e-9], np.linspace(0.01, 30, 500)])
    np.testing.assert_allclose(to_normal(u * np.exp(h * u**2 / 2), np.array(h)), u, rtol=1e-7, atol=1e-300)


def test_values_beyond_all_bounds_stay_in_order():
    values = np.array([1e10, 1e100, 1e300, np.inf, np.nan])
    made = to_normal(values, np.array(0.5))
    assert (np.diff(made[:4]) > 0).all()
    assert made[3] == np.inf
    assert np.isnan(made[4])
