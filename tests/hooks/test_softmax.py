# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Softmax
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.columns import Ragged


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


def test_rows_of_unequal_length_are_each_normalised_by_themselves(apply):
    x = Ragged.of_rows([np.zeros(2), np.zeros(4)], np.float64, 1)
    assert apply(Softmax(column="x"), x=x)["x"].to_rows() == [[0.5, 0.5], [0.25, 0.25, 0.25, 0.25]]


def test_a_row_without_scores_is_bad(apply):
    with pytest.raises(BadRows, match="row 1: column 'x' has 0 elements; expected 1 or more"):
        apply(Softmax(column="x"), x=Ragged.of_rows([np.zeros(2), np.zeros(0)], np.float64, 1))
