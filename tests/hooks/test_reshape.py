# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Reshape
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.columns import Blobs, Ragged, RaggedBlobs


def ragged(*rows):
    return Ragged.of_rows([np.asarray(row) for row in rows], np.int64, 1)


def test_rows_get_another_shape_in_row_major_order_without_a_copy(apply):
    pixels = np.arange(12).reshape(2, 6)
    after = apply(Reshape(column="pixels", shape=[1, 2, 3]), pixels=pixels)
    assert after["pixels"].shape == (1, 2, 3)
    assert np.shares_memory(after["pixels"].values, pixels)
    assert after["pixels"].to_rows()[1] == [[[6, 7, 8], [9, 10, 11]]]


def test_one_dimension_may_take_what_is_left(apply):
    assert apply(Reshape(column="x", shape=[2, -1]), x=np.zeros((3, 8)))["x"].shape == (2, 4)
    assert apply(Reshape(column="x", shape=[-1]), x=np.zeros((0, 2, 3)))["x"].shape == (6,)


def test_an_empty_shape_makes_a_scalar(apply):
    assert apply(Reshape(column="x"), x=np.array([[1], [2]]))["x"].to_rows() == [1, 2]


def test_strings_are_reshaped_too(apply):
    x = Blobs.of("STRING", list("abcdefgh"), 2, (4,))
    assert apply(Reshape(column="x", shape=[2, 2]), x=x)["x"].to_rows() == [
        [["a", "b"], ["c", "d"]],
        [["e", "f"], ["g", "h"]],
    ]


def test_ragged_rows_of_the_right_size_become_dense(apply):
    assert apply(Reshape(column="x", shape=[2, 1]), x=ragged([1, 2], [3, 4]))["x"].to_rows() == [[[1], [2]], [[3], [4]]]


def test_ragged_rows_of_another_size_are_bad(apply):
    with pytest.raises(BadRows) as raised:
        apply(Reshape(column="x", shape=[2]), x=ragged([1, 2], [3], [], [4, 5]))
    assert raised.value.messages == {
        1: "column 'x' has 1 elements, which do not fit shape [2]",
        2: "column 'x' has 0 elements, which do not fit shape [2]",
    }


def test_ragged_rows_may_keep_one_unknown_size(apply):
    assert apply(Reshape(column="x", shape=[-1, 2]), x=ragged([1, 2], [3, 4, 5, 6], []))["x"].to_rows() == [
        [[1, 2]],
        [[3, 4], [5, 6]],
        [],
    ]
    with pytest.raises(BadRows) as raised:
        apply(Reshape(column="x", shape=[-1, 2]), x=ragged([1, 2], [3]))
    assert raised.value.messages.keys() == {1}


def test_no_ragged_rows_become_no_dense_rows(apply):
    assert apply(Reshape(column="x", shape=[2, 3]), x=ragged())["x"].to_rows() == []


def test_rows_of_unknown_size_that_happen_to_be_uniform_and_wrong_are_all_bad():
    from expansion.hooks import reshape
    from expansion.tensors.columns import Columns, Dense

    operation = reshape.build(Reshape(column="x", shape=[4]))
    with pytest.raises(BadRows) as raised:
        operation(Columns({"x": Dense(np.zeros((2, 3)))}, 2))
    assert raised.value.messages.keys() == {0, 1}


def test_a_shape_of_another_size_is_a_problem(problems):
    pixels = Field("pixels", "FP32", (64,))
    assert problems(Reshape(column="pixels", shape=[9, 9]), pixels=pixels) == [
        "shape: [9, 9] does not hold the 64 elements of a row of 'pixels', FP32[64]"
    ]
    assert problems(Reshape(column="pixels", shape=[5, -1]), pixels=pixels) != []
    assert problems(Reshape(column="pixels"), pixels=pixels) != []


def test_an_impossible_shape_is_a_problem(problems):
    assert problems(Reshape(column="", shape=[0, -2, -1, -1])) == [
        "column: missing; expected the name of a column",
        "shape[0]: got 0; expected 1 or more, or -1 for what is left",
        "shape[1]: got -2; expected 1 or more, or -1 for what is left",
        "shape: got [0, -2, -1, -1]; expected -1 at most once",
    ]


def test_texts_of_unequal_shape_are_reshaped_like_numbers(apply):
    x = RaggedBlobs.of_rows("STRING", [[["a", "b"]], [["c"], ["d"]]], 2)
    flat = apply(Reshape(column="x", shape=[2]), x=x)["x"]
    assert (flat.shape, flat.to_rows()) == ((2,), [["a", "b"], ["c", "d"]])
    x = RaggedBlobs.of_rows("STRING", [["a", "b"], ["c", "d", "e", "f"]], 1)
    assert apply(Reshape(column="x", shape=[-1, 2]), x=x)["x"].to_rows() == [[["a", "b"]], [["c", "d"], ["e", "f"]]]
