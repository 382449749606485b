# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.operation_pb2 import ApplyBucketsWithInterpolation


def test_boundaries_become_equally_far_apart_and_what_is_between_them_is_interpolated(apply):
    config = ApplyBucketsWithInterpolation(columns=["x"], boundaries=[0, 10, 100])
    after = apply(config, x=np.array([-5.0, 0.0, 5.0, 10.0, 55.0, 100.0, 1e9]))["x"]
    assert after.to_rows() == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_nan_is_in_the_middle_and_infinities_at_the_ends(apply):
    config = ApplyBucketsWithInterpolation(columns=["x"], boundaries=[0, 10, 100])
    assert apply(config, x=np.array([np.nan, np.inf, -np.inf]))["x"].to_rows() == [0.5, 1.0, 0.0]


def test_with_one_boundary_there_is_nothing_between_0_and_1(apply):
    config = ApplyBucketsWithInterpolation(columns=["x"], boundaries=[3])
    after = apply(config, x=np.array([2, 3, 4], np.int8))["x"]
    assert (after.to_rows(), after.datatype) == ([0.0, 1.0, 1.0], "FP32")


def test_boundaries_are_needed(problems):
    assert problems(ApplyBucketsWithInterpolation(columns=["x"])) == [
        "boundaries: missing; expected ascending numbers, such as [18, 65]"
    ]
