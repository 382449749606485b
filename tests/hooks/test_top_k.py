# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import TopK
from expansion.contract.fields import Field


def test_the_largest_come_first_and_of_equals_the_lower_index(apply):
    after = apply(
        TopK(column="p", k=3, values_output="v", indices_output="i"), p=np.array([[1, 3, 2, 3], [0, 0, 0, 0]])
    )
    assert after["v"].to_rows() == [[3, 3, 2], [0, 0, 0]]
    assert after["i"].to_rows() == [[1, 3, 2], [0, 1, 2]]


def test_the_values_replace_the_column_unless_named(apply):
    after = apply(TopK(column="p", k=1, indices_output="i"), p=np.array([[0.1, 0.9]], np.float32))
    assert list(after) == ["p", "i"]
    assert after["p"].shape == (1,)


def test_the_extremes_of_integers_are_ordered_rightly(apply):
    limits = np.iinfo(np.int64)
    after = apply(TopK(column="p", k=3, indices_output="i"), p=np.array([[limits.min, limits.max, 0]]))
    assert after["i"].to_rows() == [[1, 2, 0]]
    assert apply(TopK(column="p", k=2, indices_output="i"), p=np.array([[0, 255]], np.uint8))["i"].to_rows() == [[1, 0]]


def test_it_agrees_with_sorting_every_row_by_hand(apply):
    scores = np.random.default_rng(0).integers(0, 5, (50, 2, 9)).astype(np.float32)
    after = apply(TopK(column="p", k=4, values_output="v", indices_output="i"), p=scores)
    for row, indices in zip(scores.reshape(-1, 9), after["i"].values.reshape(-1, 4), strict=True):
        assert sorted(range(9), key=lambda index: (-row[index], index))[:4] == indices.tolist()


def test_nan_counts_as_the_largest(apply):
    after = apply(TopK(column="p", k=2, indices_output="i"), p=np.array([[1, np.nan, 3]]))
    assert after["i"].to_rows() == [[1, 2]]


def test_no_rows_have_no_best(apply):
    assert apply(TopK(column="p", k=2, indices_output="i"), p=np.zeros((0, 3)))["i"].values.shape == (0, 2)


def test_impossible_messages_are_problems(problems):
    assert problems(TopK(column="p")) == [
        "indices_output: missing; expected the name of a column",
        "k: got 0; expected 1 or more",
    ]
    assert problems(TopK(column="p", k=1, indices_output="p")) == [
        "indices_output: 'p' is where the values go; choose another name"
    ]
    assert problems(TopK(column="p", k=11, indices_output="i"), p=Field("p", "FP32", (10,))) == [
        "k: got 11; expected at most 10, the size of the last axis of 'p'"
    ]
