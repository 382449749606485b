# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.operation_pb2 import BucketizeByQuantiles
from expansion.errors import SystemicError
from expansion.operations import bucketize
from expansion.tensors.columns import Columns, Dense


def config(buckets, **values):
    return BucketizeByQuantiles(columns=["x"], buckets=buckets, **values)


@pytest.mark.parametrize("dtype", ["i1", "u4", "f4", "f8"])
def test_intervals_have_equally_many_values(apply, learned, dtype):
    x = np.array([5, 1, 2, 0, 3, 4], dtype)
    assert apply(config(3), x=x)["x"].to_rows() == [2, 0, 1, 0, 1, 2]
    assert learned(config(3), x=x) == {"x.quantiles": {"boundaries": [2, 4]}}


def test_a_value_is_in_the_interval_that_begins_with_it_though_fp32_does_not_hold_it(apply):
    x = np.array([0.1, 0.2, 0.3, 0.7])
    assert apply(config(4), x=x)["x"].to_rows() == [0, 1, 2, 3]


def test_large_integers_are_exact(apply):
    x = np.array([2**63 - 4, 2**63 - 3, 2**63 - 2, 2**63 - 1])
    assert apply(config(4), x=x)["x"].to_rows() == [0, 1, 2, 3]


def test_nan_is_in_the_last_interval_and_infinities_in_the_outer_ones(apply, learned):
    x = np.array([np.nan, 1.0, 2.0, np.inf, -np.inf])
    assert learned(config(2), x=x)["x.quantiles"]["boundaries"] == [2.0]
    assert apply(config(2), x=x)["x"].to_rows() == [1, 0, 1, 1, 0]


def test_of_equal_values_all_are_in_the_last_interval(apply):
    assert apply(config(4), x=np.array([7.0, 7.0]))["x"].to_rows() == [3, 3]
    learned_from = [Columns({"x": Dense(np.array([7.0]))}, 1)]
    assert apply(config(4), learned_from, x=np.array([6.9, 7.0]))["x"].to_rows() == [0, 3]


def test_where_nothing_was_learned_there_is_one_interval(apply):
    learned_from = [Columns({"x": Dense(np.array([np.nan]))}, 1)]
    assert apply(config(4), learned_from, x=np.array([-5.0, np.nan]))["x"].to_rows() == [0, 0]


def test_each_position_may_have_intervals_of_its_own(apply, learned):
    x = np.array([[[1, 30]], [[2, 10]], [[3, 20]]])
    assert apply(config(3, elementwise=True), x=x)["x"].to_rows() == [[[0, 2]], [[1, 0]], [[2, 1]]]
    assert learned(config(3, elementwise=True), x=x)["x.quantiles"] == {"boundaries": [[[2, 3], [20, 30]]]}
    assert apply(config(3), x=x)["x"].to_rows() == [[[0, 2]], [[0, 1]], [[1, 2]]]


def test_impossible_numbers_of_buckets_are_problems(problems):
    assert problems(config(1)) == ["buckets: got 1; expected 2 or more"]


@pytest.mark.parametrize("boundaries", ["x", [1.0, "x"], [[1.0]], None])
def test_what_are_no_boundaries_is_refused(boundaries):
    fields = Columns({"x": Dense(np.zeros(1))}, 1).fields()
    with pytest.raises(SystemicError, match="boundaries"):
        bucketize.build(config(2), fields, {"x.quantiles": {"boundaries": boundaries}})


def test_boundaries_of_another_shape_are_refused():
    fields = Columns({"x": Dense(np.zeros((1, 2)))}, 1).fields()
    with pytest.raises(SystemicError, match=r"another shape than \[2\]"):
        bucketize.build(config(2, elementwise=True), fields, {"x.quantiles": {"boundaries": [[1.0]]}})
