# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.operations.distribution import Median, MostFrequent, Quantiles
from expansion.tensors.columns import Dense


def learned(statistic, *batches):
    return statistic.result(statistic.merge([statistic.observe(Dense(np.asarray(values))) for values in batches]))


def quantiles(values, buckets):
    return learned(Quantiles("x", buckets=buckets), values)["boundaries"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-5, 5) | st.floats(-1e9, 1e9), min_size=1, max_size=60), st.sampled_from([2, 4, 8, 16]))
def test_boundaries_are_the_upper_quantiles_of_numpy(values, buckets):
    values = np.array(values, np.float64)
    shares = np.arange(1, buckets) / buckets  # exact in FP64
    expected = -np.quantile(-values, 1 - shares, method="inverted_cdf")
    assert quantiles(values, buckets) == expected.tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.integers(2, 20))
def test_a_boundary_is_the_value_whose_rank_is_its_share_of_all(values, buckets):
    ordered = sorted(values)
    assert quantiles(values, buckets) == [ordered[k * len(values) // buckets] for k in range(1, buckets)]


def test_integers_stay_integers():
    assert quantiles([2**63 - 1, 2**63 - 2], 2) == [2**63 - 1]
    assert quantiles(np.array([2**64 - 1, 0], np.uint64), 2) == [2**64 - 1]


def test_of_few_distinct_values_boundaries_are_equal():
    assert quantiles([7.0] * 9, 4) == [7.0, 7.0, 7.0]
    assert quantiles([1, 2], 4) == [1, 2, 2]


def test_there_are_no_boundaries_of_nothing():
    assert quantiles([np.nan, np.inf], 4) == []
    assert Quantiles("x", buckets=4).result(None) == {"boundaries": []}
    assert Quantiles("x", (2,), buckets=4).result(None) == {"boundaries": [[], []]}


def test_each_position_has_boundaries_of_its_own():
    statistic = Quantiles("x", (2, 1), buckets=2)
    assert learned(statistic, [[[1.0], [10.0]]], [[[3.0], [30.0]]]) == {"boundaries": [[[3.0]], [[30.0]]]}


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([3.0, 1.0, 2.0], 2.0),
        ([1.0, 2.0], 1.5),
        ([1e308, 1.5e308], 1.25e308),
        ([1, 2, 3, 4], 2.5),
        ([1, 3], 2),
        ([2**63 - 1, 2**63 - 3], 2**63 - 2),
        ([np.nan, 5.0, np.inf], 5.0),
        ([np.nan], None),
    ],
)
def test_the_median_is_in_the_middle(values, median):
    assert learned(Median("x"), values) == {"median": median}


def test_the_median_is_that_of_numpy():
    values = np.random.default_rng(0).normal(size=1001)
    assert learned(Median("x"), values[:500], values[500:])["median"] == np.median(values)


@pytest.mark.parametrize(
    ("values", "value", "count"),
    [
        ([1, 2, 2, 3], 2, 2),
        ([10, 9, 9, 10], 10, 2),
        ([0.5, np.nan, np.nan], 0.5, 1),
        ([True, False, True], 1, 2),
        ([-0.0, 0.0, 1.0], 0.0, 2),
        ([np.inf], None, 0),
    ],
)
def test_the_most_frequent_number_is_the_greatest_of_equally_frequent_ones(values, value, count):
    assert learned(MostFrequent("x"), values) == {"value": value, "count": count}
