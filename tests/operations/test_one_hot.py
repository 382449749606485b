# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.operation_pb2 import LearnedOneHot
from expansion.contract.fields import Field
from expansion.tensors.columns import Blobs, Columns


def texts(*elements):
    return Blobs.of("STRING", elements, len(elements))


def config(size):
    return LearnedOneHot(columns=["x"], size=size)


def test_each_category_has_its_place_the_most_frequent_the_first(apply):
    after = apply(config(3), x=texts("a", "b", "b"))["x"]
    assert (after.to_rows(), after.datatype) == ([[0, 1, 0], [1, 0, 0], [1, 0, 0]], "FP32")


def test_rare_and_unknown_categories_have_none(apply):
    learned_from = [Columns({"x": texts("a", "b", "b", "c", "c")}, 5)]
    assert apply(config(2), learned_from, x=texts("a", "b", "c", "?"))["x"].to_rows() == [
        [0, 0],
        [0, 1],
        [1, 0],
        [0, 0],
    ]


def test_empty_texts_and_those_with_line_breaks_are_categories(apply):
    assert apply(config(2), x=texts("", "a\nb", ""))["x"].to_rows() == [[1, 0], [0, 1], [1, 0]]


def test_integers_and_booleans_are_categories(apply):
    assert apply(config(2), x=np.array([7, -1, 7], np.int16))["x"].to_rows() == [[1, 0], [0, 1], [1, 0]]
    assert apply(config(2), x=np.array([False, True]))["x"].to_rows() == [[0, 1], [1, 0]]


def test_impossible_messages_are_problems(problems):
    assert problems(config(0)) == ["size: got 0; expected 1 or more"]
    assert problems(config(1), x=Field("x", "FP32", (2,))) == [
        "columns[0]: column 'x' is FP32[2]; expected one value a row",
        "columns[0]: column 'x' is FP32[2]; expected STRING, BYTES, BOOL or an integer datatype",
    ]
