# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.operation_pb2 import ScaleToGaussian, ScaleToZScore
from expansion.tensors.columns import Columns, Dense


def test_long_tails_become_about_normal(apply):
    random = np.random.default_rng(0)
    x = random.standard_t(2.5, 20_000)
    after = apply(ScaleToGaussian(columns=["x"]), x=x)["x"].values
    shares = [(np.abs(after) < deviations).mean() for deviations in (1, 2, 3)]
    assert shares == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.01)
    assert (np.argsort(after) == np.argsort(x)).all()


def test_without_long_tails_it_is_the_z_score(apply):
    x = np.random.default_rng(0).uniform(size=1000)
    after = apply(ScaleToGaussian(columns=["x"]), x=x)["x"].values
    np.testing.assert_allclose(after, apply(ScaleToZScore(columns=["x"]), x=x)["x"].values, atol=1e-12)


def test_each_position_may_have_a_distribution_of_its_own(apply, learned):
    random = np.random.default_rng(0)
    columns = np.stack([random.lognormal(size=500), -random.lognormal(size=500)], axis=1)
    config = ScaleToGaussian(columns=["x"], elementwise=True)
    after = apply(config, x=columns)["x"].values
    for position in range(2):
        alone = apply(ScaleToGaussian(columns=["x"]), x=columns[:, position])["x"].values
        np.testing.assert_array_equal(after[:, position], alone)
    found = learned(config, x=columns)["x.tukey"]
    assert [len(found[key]) for key in ("location", "scale", "left", "right")] == [2, 2, 2, 2]
    assert found["left"][0] < found["right"][0]
    assert found["left"][1] > found["right"][1]


def test_of_equal_values_only_the_mean_is_taken_and_of_none_nothing(apply):
    for values, expected in (([3.0, 3.0], [0.0, 2.0]), ([np.nan, np.inf], [3.0, 5.0])):
        learned_from = [Columns({"x": Dense(np.array(values))}, 2)]
        assert apply(ScaleToGaussian(columns=["x"]), learned_from, x=np.array([3.0, 5.0]))["x"].to_rows() == expected


def test_nan_stays_and_infinities_too(apply):
    x = np.array([*np.random.default_rng(0).lognormal(size=100), np.nan, np.inf, -np.inf])
    np.testing.assert_equal(apply(ScaleToGaussian(columns=["x"]), x=x)["x"].to_rows()[100:], [np.nan, np.inf, -np.inf])


def test_integers_become_fp32(apply):
    assert apply(ScaleToGaussian(columns=["x"]), x=np.array([1, 2, 2, 3, 100]))["x"].datatype == "FP32"
