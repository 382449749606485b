# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Hook, Standardize
from expansion.contract._gen.operation_pb2 import ScaleToZScore
from expansion.hooks import build
from expansion.tensors.columns import Columns, Dense


@pytest.mark.parametrize("dtype", ["i2", "f2", "f4", "f8"])
def test_the_mean_becomes_0_and_the_deviation_1(apply, dtype):
    after = apply(ScaleToZScore(columns=["x"]), x=np.array([2, 4, 4, 4, 5, 5, 7, 9], dtype))["x"]
    assert after.to_rows() == [-1.5, -0.5, -0.5, -0.5, 0, 0, 1, 2]
    assert after.datatype == ("FP64" if dtype == "f8" else "FP32")


def test_it_is_what_the_standardize_hook_does_with_what_was_learned(apply, learned):
    x = np.random.default_rng(0).lognormal(size=100)
    moments = learned(ScaleToZScore(columns=["x"]), x=x)["x.moments"]
    hook = Hook(
        standardize=Standardize(
            columns=["x"], mean=[moments["mean"]], standard_deviation=[moments["standard_deviation"]]
        )
    )
    hooked = build(hook)(Columns({"x": Dense(x)}, 100))["x"]
    assert apply(ScaleToZScore(columns=["x"]), x=x)["x"].to_rows() == hooked.to_rows()


def test_of_equal_values_only_the_mean_is_taken(apply):
    learned_from = [Columns({"x": Dense(np.array([3.0, 3.0]))}, 2)]
    assert apply(ScaleToZScore(columns=["x"]), learned_from, x=np.array([3.0, 5.0]))["x"].to_rows() == [0.0, 2.0]


def test_where_nothing_was_learned_values_stay(apply):
    learned_from = [Columns({"x": Dense(np.array([np.nan]))}, 1)]
    after = apply(ScaleToZScore(columns=["x"]), learned_from, x=np.array([3.0, np.nan]))["x"].to_rows()
    np.testing.assert_equal(after, [3.0, np.nan])


def test_each_position_may_have_moments_of_its_own(apply):
    config = ScaleToZScore(columns=["x"], elementwise=True)
    x = np.array([[[1.0], [10.0]], [[3.0], [10.0]]])
    assert apply(config, x=x)["x"].to_rows() == [[[-1.0], [0.0]], [[1.0], [0.0]]]
