# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import Softmax
from expansion.contract.fields import Field


def test_scores_become_probabilities_along_the_last_axis(apply):
    scores = np.random.default_rng(0).normal(size=(4, 2, 5))
    after = apply(Softmax(column="x", output="p"), x=scores)
    np.testing.assert_allclose(after["p"].values, np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))
    assert after["x"].values is scores


def test_large_scores_do_not_overflow(apply):
    assert apply(Softmax(column="x"), x=np.array([[1e30, 1e30], [-1e30, 0]], np.float32))["x"].to_rows() == [
        [0.5, 0.5],
        [0, 1],
    ]


def test_fp16_stays_fp16_and_adds_up_to_one(apply):
    after = apply(Softmax(column="x"), x=np.zeros((1, 50_000), np.float16))
    assert after["x"].values.dtype == np.float16
    assert abs(float(after["x"].values.sum(dtype=np.float64)) - 1) < 0.01


def test_a_nan_makes_its_own_row_nan_only(apply):
    after = apply(Softmax(column="x"), x=np.array([[np.nan, 1], [0, 0]]))
    np.testing.assert_array_equal(after["x"].values, [[np.nan, np.nan], [0.5, 0.5]])


def test_no_rows_have_no_probabilities(apply):
    assert apply(Softmax(column="x"), x=np.zeros((0, 3)))["x"].values.shape == (0, 3)


def test_what_is_no_vector_of_floats_is_a_problem(problems):
    assert problems(Softmax()) == ["column: missing; expected the name of a column"]
    assert problems(Softmax(column="x"), x=Field("x", "INT64")) == [
        "column: column 'x' is INT64; expected a floating datatype",
        "column: column 'x' is INT64; expected a last axis with at least one element",
    ]
    assert problems(Softmax(column="x"), x=Field("x", "FP32", (0,))) != []
    assert problems(Softmax(column="x"), x=Field("x", "FP32", (-1,))) == [
        "column: rows of column 'x' may differ in shape, FP32[-1]; expected one shape; `pad` or `reshape` it first"
    ]
