# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.operation_pb2 import ApplyBuckets


def test_a_number_becomes_how_many_boundaries_are_not_above_it(apply):
    config = ApplyBuckets(columns=["x"], boundaries=[18, 65])
    assert apply(config, x=np.array([[0, 18], [64, 99]]))["x"].to_rows() == [[0, 1], [1, 2]]


def test_nan_is_in_the_last_interval(apply):
    config = ApplyBuckets(columns=["x"], boundaries=[18, 65])
    assert apply(config, x=np.array([np.nan, np.inf, -np.inf], np.float32))["x"].to_rows() == [2, 2, 0]


def test_it_learns_nothing(learned):
    assert learned(ApplyBuckets(columns=["x"], boundaries=[1]), x=np.zeros(1)) == {}


def test_boundaries_that_do_not_ascend_are_problems(problems):
    assert problems(ApplyBuckets(columns=["x"])) == [
        "boundaries: missing; expected ascending numbers, such as [18, 65]"
    ]
    assert problems(ApplyBuckets(columns=["x"], boundaries=[2, 2, float("nan")])) == [
        "boundaries[1]: got 2 after 2; expected ascending numbers",
        "boundaries[2]: got nan; expected a finite number",
    ]
