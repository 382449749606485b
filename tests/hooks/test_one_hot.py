# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import OneHot
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.columns import Blobs


def test_an_integer_becomes_a_vector_with_one_at_its_index(apply):
    after = apply(OneHot(column="x", depth=3), x=np.array([2, 0], np.uint8))
    assert after["x"].values.dtype == np.float32
    assert after["x"].to_rows() == [[0, 0, 1], [1, 0, 0]]


def test_the_vector_is_a_new_last_axis(apply):
    after = apply(OneHot(column="x", depth=2, output="y", datatype="BOOL"), x=np.array([[0, 1, 1]]))
    assert after["y"].to_rows() == [[[True, False], [False, True], [False, True]]]
    assert list(after) == ["x", "y"]


def test_strings_are_looked_up_among_the_categories(apply):
    config = OneHot(column="country", categories=["de", "fr", ""])
    after = apply(config, country=Blobs.of("STRING", ["fr", "", "de"], 3))
    assert after["country"].to_rows() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_values_that_are_no_category_are_bad_rows(apply):
    with pytest.raises(BadRows) as raised:
        apply(OneHot(column="x", depth=3), x=np.array([[0, 3], [1, 2], [-1, 9]]))
    assert raised.value.messages == {
        0: "column 'x' is 3; categories go from 0 to 2",
        2: "column 'x' is -1; categories go from 0 to 2",
    }
    with pytest.raises(BadRows) as raised:
        apply(OneHot(column="x", categories=["a"]), x=Blobs.of("STRING", ["a", "ä"], 2))
    assert raised.value.messages == {1: "column 'x' is 'ä', which is no category"}


def test_no_rows_become_no_vectors(apply):
    assert apply(OneHot(column="x", depth=3), x=np.zeros((0, 2), np.int64))["x"].values.shape == (0, 2, 3)
    assert apply(OneHot(column="x", categories=["a", "b"]), x=Blobs.of("STRING", [], 0))["x"].values.shape == (0, 2)


def test_impossible_messages_are_problems(problems):
    assert problems(OneHot(column="x")) == ["depth: got 0; expected 1 or more, or categories"]
    assert problems(OneHot(column="x", depth=2, categories=["a", "a"], datatype="STRING"))[1:] == [
        "depth: categories is set too; set depth for integers, categories for strings",
        "categories[1]: 'a' is listed twice; list it once",
    ]


def test_categories_need_strings_and_depth_needs_integers(problems):
    assert problems(OneHot(column="x", depth=2), x=Field("x", "FP32")) == [
        "column: column 'x' is FP32; expected an integer datatype"
    ]
    assert problems(OneHot(column="x", categories=["a"]), x=Field("x", "INT64", (-1,))) == [
        "column: column 'x' is INT64[-1]; expected STRING",
    ]
