# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Pad
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.columns import Blobs, Dense, Ragged, RaggedBlobs


def ragged(*rows, dtype=np.int64, rank=1):
    return Ragged.of_rows([np.asarray(row, dtype) for row in rows], dtype, rank)


def test_rows_of_unequal_length_become_dense(apply):
    after = apply(Pad(columns=["x"], length=4), x=ragged([1, 2], [], [3, 4, 5, 6]))
    assert isinstance(after["x"], Dense)
    assert after["x"].to_rows() == [[1, 2, 0, 0], [0, 0, 0, 0], [3, 4, 5, 6]]


def test_the_longest_row_of_the_batch_may_set_the_size(apply):
    after = apply(Pad(columns=["x"], longest=True, value=-1), x=ragged([1], [2, 3]))
    assert after["x"].to_rows() == [[1, -1], [2, 3]]


def test_the_size_may_be_the_next_multiple(apply):
    assert apply(Pad(columns=["x"], multiple=4), x=ragged([1], [1, 2, 3, 4, 5]))["x"].shape == (8,)
    assert apply(Pad(columns=["x"], multiple=4), x=ragged([1], [1, 2, 3, 4]))["x"].shape == (4,)


def test_several_columns_are_padded_each_on_its_own(apply):
    after = apply(Pad(columns=["x", "y"], longest=True), x=ragged([1], [2, 3]), y=ragged([1, 2, 3], []))
    assert (after["x"].shape, after["y"].shape) == ((2,), (3,))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_is_padded_as_numpy_pads_each_row(apply, axis):
    random = np.random.default_rng(0)
    shapes = [[size if other == axis else other + 2 for other in range(3)] for size in (1, 4, 0, 2)]
    rows = [random.integers(1, 9, shape) for shape in shapes]
    after = apply(Pad(columns=["x"], length=5, axis=axis, value=7), x=ragged(*rows, rank=3))
    for row, padded in zip(rows, after["x"].values, strict=True):
        widths = [(0, 5 - row.shape[axis] if other == axis else 0) for other in range(3)]
        np.testing.assert_array_equal(padded, np.pad(row, widths, constant_values=7))


def test_rows_that_differ_along_another_axis_too_stay_ragged_until_that_is_padded(apply):
    x = ragged([[1, 2, 3]], [[4], [5]], rank=2)
    once = apply(Pad(columns=["x"], length=2), x=x)["x"]
    assert once.to_rows() == [[[1, 2, 3], [0, 0, 0]], [[4], [5]]]
    twice = apply(Pad(columns=["x"], longest=True, axis=1), x=once)["x"]
    assert twice.to_rows() == [[[1, 2, 3], [0, 0, 0]], [[4, 0, 0], [5, 0, 0]]]


def test_dense_rows_are_padded_too(apply):
    x = np.ones((2, 2, 2), np.float32)
    after = apply(Pad(columns=["x"], length=3, axis=1, value=float("nan")), x=x)
    np.testing.assert_array_equal(after["x"].values[0], [[1, 1, np.nan]] * 2)
    assert apply(Pad(columns=["x"], multiple=2), x=x)["x"].values is x


def test_strings_are_padded_with_empty_ones(apply):
    x = Blobs.of("STRING", ["a", "b", "c", "d"], 2, (2,))
    assert apply(Pad(columns=["x"], length=3, value=9), x=x)["x"].to_rows() == [["a", "b", ""], ["c", "d", ""]]


def test_rows_longer_than_the_length_are_bad_all_at_once(apply):
    with pytest.raises(BadRows) as raised:
        apply(Pad(columns=["x", "y"], length=2), x=ragged([1], [1, 2, 3], [1]), y=ragged([1], [1], [1, 2, 3, 4]))
    assert raised.value.messages == {
        1: "column 'x' has 3 elements along axis 0, more than 2",
        2: "column 'y' has 4 elements along axis 0, more than 2",
    }


def test_no_rows_are_padded_to_no_rows(apply):
    assert apply(Pad(columns=["x"], length=4), x=ragged())["x"].values.shape == (0, 4)
    assert apply(Pad(columns=["x"], longest=True), x=ragged())["x"].to_rows() == []
    assert apply(Pad(columns=["x"], multiple=8), x=ragged())["x"].to_rows() == []


def test_padding_keeps_the_datatype_and_zero_as_the_filling(apply):
    after = apply(Pad(columns=["x"], length=2), x=ragged([True], dtype=bool))
    assert after["x"].to_rows() == [[True, False]]


def test_every_problem_of_the_message_is_reported(problems):
    assert problems(Pad(axis=-1)) == [
        "columns: missing; expected the names of one or more columns",
        "none of length, multiple and longest is set; set one of them",
        "axis: got -1; expected 0 or more",
    ]
    assert problems(Pad(columns=["x"], length=0)) == ["length: got 0; expected 1 or more"]
    assert problems(Pad(columns=["x"], multiple=-8)) == ["multiple: got -8; expected 1 or more"]
    assert problems(Pad(columns=["x"], longest=False)) == [
        "longest: got false; expected true, or length or multiple instead"
    ]


def test_what_can_never_work_on_these_columns_is_a_problem(problems):
    assert problems(
        Pad(columns=["x", "y", "z"], length=4, value=0.5), x=Field("x", "FP32"), y=Field("y", "INT8", (-1,))
    ) == [
        "columns[0]: column 'x' is FP32, which has no axis 0",
        "value: got 0.5, which column 'y' can't hold, for it is INT8",
        "columns[2]: there is no column 'z'; expected one of 'x', 'y'",
    ]
    assert problems(Pad(columns=["x"], length=4), x=Field("x", "FP32", (5,))) == [
        "columns[0]: column 'x' is FP32[5]: every row is longer than length, 4"
    ]
    assert problems(Pad(columns=["x"], length=4, value=300), x=Field("x", "UINT8", (-1,))) != []


def test_a_mask_tells_a_rows_own_elements_from_padding(apply):
    rows = Ragged.of_rows([np.array([5]), np.array([7, 0, 9])], np.int64, 1)
    after = apply(Pad(columns=["x"], multiple=2, mask_output="mask"), x=rows)
    assert after["mask"].to_rows() == [[1, 0, 0, 0], [1, 1, 1, 0]]
    assert after["mask"].datatype == "INT64"


def test_a_mask_is_along_the_axis_that_is_padded_and_is_there_where_nothing_is(apply):
    rows = Ragged.of_rows([np.ones((2, 1)), np.ones((1, 3))], np.float32, 2)
    assert apply(Pad(columns=["x"], length=3, axis=1, mask_output="m"), x=rows)["m"].to_rows() == [[1, 0, 0], [1, 1, 1]]
    assert apply(Pad(columns=["x"], longest=True, mask_output="m"), x=np.ones((2, 2)))["m"].to_rows() == [[1, 1]] * 2


def test_a_mask_in_place_of_what_is_padded_is_a_problem(problems):
    assert problems(Pad(columns=["x"], longest=True, mask_output="x")) == [
        "mask_output: column 'x' is padded itself; give the mask another name"
    ]


def test_texts_of_unequal_number_are_padded_with_empty_ones(apply):
    x = RaggedBlobs.of_rows("STRING", [["a", "b"], [], ["c"]], 1)
    after = apply(Pad(columns=["x"], longest=True, mask_output="mask"), x=x)
    assert after["x"].to_rows() == [["a", "b"], ["", ""], ["c", ""]]
    assert after["mask"].to_rows() == [[1, 1], [0, 0], [1, 0]]
    assert isinstance(after["x"], Blobs)
    nested = RaggedBlobs.of_rows("BYTES", [[[b"a", b"b"]], [[b"c"], [b"d"]]], 2)
    assert apply(Pad(columns=["x"], length=2), x=nested)["x"].to_rows() == [
        [[b"a", b"b"], [b"", b""]],
        [[b"c"], [b"d"]],
    ]
