# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import Threshold
from expansion.contract.fields import Field
from expansion.tensors.columns import Ragged


def test_scores_are_compared_with_a_half_unless_told(apply):
    after = apply(Threshold(column="x", output="y"), x=np.array([[0.4, 0.5], [1, np.nan]]))
    assert after["y"].to_rows() == [[False, True], [True, False]]


def test_a_threshold_of_zero_is_not_taken_for_unset(apply):
    assert apply(Threshold(column="x", value=0), x=np.array([-1, 0, 1]))["x"].to_rows() == [False, True, True]


def test_small_datatypes_are_compared_with_large_thresholds(apply):
    assert apply(Threshold(column="x", value=1000), x=np.array([255], np.uint8))["x"].to_rows() == [False]
    assert apply(Threshold(column="x", value=-1e9), x=np.array([-60000], np.float16))["x"].to_rows() == [True]


def test_ragged_rows_keep_their_shapes(apply):
    x = Ragged.of_rows([np.array([1.0]), np.array([0.0, 2.0])], np.float64, 1)
    assert apply(Threshold(column="x"), x=x)["x"].to_rows() == [[True], [False, True]]


def test_impossible_messages_are_problems(problems):
    assert problems(Threshold(value=float("nan"))) == [
        "column: missing; expected the name of a column",
        "value: got nan; expected a finite number",
    ]
    assert problems(Threshold(column="x"), x=Field("x", "STRING")) != []
