# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.contract.fields import Field
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged, RaggedBlobs, as_ragged


def ragged(*rows, dtype=np.int64, rank=1):
    return Ragged.of_rows([np.asarray(row, dtype) for row in rows], dtype, rank)


def strings(*elements, shape=()):
    return Blobs.of("STRING", elements, len(elements) // int(np.prod(shape)), shape)


def test_a_dense_column_tells_its_datatype_and_the_shape_of_a_row():
    column = Dense(np.zeros((5, 2, 3), np.float32))
    assert (len(column), column.datatype, column.shape, column.nbytes) == (5, "FP32", (2, 3), 120)
    assert Dense(np.array([None, "x"], object)).datatype == ""


def test_a_ragged_column_tells_its_rank_only():
    column = ragged([[1, 2]], [[3], [4]], rank=2)
    assert (len(column), column.datatype, column.shape) == (2, "INT64", (-1, -1))
    assert column.to_rows() == [[[1, 2]], [[3], [4]]]


def words(*rows, datatype="STRING", rank=1):
    return RaggedBlobs.of_rows(datatype, rows, rank)


def test_texts_of_unequal_number_tell_their_rank_only():
    column = words(["ä", ""], [], ["x"])
    assert (len(column), column.datatype, column.shape) == (3, "STRING", (-1,))
    assert column.to_rows() == [["ä", ""], [], ["x"]]
    nested = words([["a", "b"]], [["c"], ["d"]], [], rank=2)
    assert (nested.shape, nested.to_rows()) == ((-1, -1), [[["a", "b"]], [["c"], ["d"]], []])
    assert words([b"\xff"], [], datatype="BYTES").to_rows() == [[b"\xff"], []]


def test_texts_of_one_shape_are_no_ragged_column():
    assert isinstance(words(["a", "b"], ["c", "d"]), Blobs)
    assert words(["a", "b"], ["c", "d"]).shape == (2,)


@pytest.mark.parametrize("rows", [["ab"], [[["a"]]], [[["a"], ["b", "c"]]]])
def test_texts_of_another_rank_are_no_column(rows):
    with pytest.raises(ValueError, match="dimensions, not 1"):
        words(*rows)


def test_strings_come_back_as_they_went_in():
    assert strings("ä", "", "x").to_rows() == ["ä", "", "x"]
    assert strings(*"abcdef", shape=(3,)).to_rows() == [["a", "b", "c"], ["d", "e", "f"]]
    assert Blobs.of("BYTES", [b"\xff", b""], 2).to_rows() == [b"\xff", b""]


def test_a_constant_says_the_same_in_every_row():
    assert Blobs.constant("m", 3).to_rows() == ["m"] * 3
    assert Blobs.constant("m", 0).to_rows() == []


def columns_of_each_kind():
    return [
        Dense(np.arange(8).reshape(4, 2)),
        ragged([1, 2], [], [3], [4, 5, 6]),
        ragged([[1, 2]], [[3], [4]], np.zeros((0, 2)), [[5]], rank=2),
        strings("a", "b", "", "d"),
        strings(*"abcdefgh", shape=(2,)),
        Blobs.of("STRING", [], 4, (0,)),
        words(["a", "b"], [], ["ä"], ["d", "e", "f"]),
        words([["a", "b"]], [["c"], ["d"]], [], [["e"]], rank=2),
    ]


@pytest.mark.parametrize("column", columns_of_each_kind())
@pytest.mark.parametrize("indices", [[], [3], [2, 0], [1, 1, 3]])
def test_rows_are_taken_in_any_order_from_every_kind_of_column(column, indices):
    taken = column.take(np.array(indices, np.int64))
    assert taken.to_rows() == [column.to_rows()[index] for index in indices]
    assert (taken.datatype, taken.shape, len(taken)) == (column.datatype, column.shape, len(indices))


@pytest.mark.parametrize("column", columns_of_each_kind())
@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (2, 2), (3, 9), (3, 1)])
def test_slices_are_those_of_a_list_for_every_kind_of_column(column, start, stop):
    sliced = column.slice(start, stop)
    assert sliced.to_rows() == column.to_rows()[start:stop]
    assert sliced.take(np.arange(len(sliced))[::-1]).to_rows() == column.to_rows()[start:stop][::-1]


@pytest.mark.parametrize("column", columns_of_each_kind())
def test_slices_joined_are_the_whole_column(column):
    whole = Columns({"x": column}, 4)
    joined = Columns.concat([whole.slice(0, 1), whole.slice(1, 1), whole.slice(1, 4)])
    assert joined["x"].to_rows() == column.to_rows()
    assert joined["x"].shape == column.shape
    assert joined.row_count == 4


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6), st.data())
@settings(max_examples=50, deadline=None)
def test_ragged_rows_behave_as_a_list_of_lists(rows, data):
    column = ragged(*rows)
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    assert column.take(np.array(indices, np.int64)).to_rows() == [rows[index] for index in indices]
    start, stop = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 7))
    assert column.slice(start, stop).to_rows() == rows[start:stop]


def test_dense_columns_of_unequal_shape_join_to_a_ragged_one():
    parts = [Columns({"x": Dense(np.ones((2, 2)))}, 2), Columns({"x": Dense(np.zeros((1, 3)))}, 1)]
    assert Columns.concat(parts)["x"].to_rows() == [[1, 1], [1, 1], [0, 0, 0]]


def test_dense_and_ragged_columns_join_to_a_ragged_one():
    parts = [Columns({"x": Dense(np.ones((1, 2), np.int64))}, 1), Columns({"x": ragged([5], [])}, 2)]
    assert Columns.concat(parts)["x"].to_rows() == [[1, 1], [5], []]


def test_texts_of_unequal_shape_join_to_a_ragged_column():
    parts = [Columns({"x": strings("a", "b", shape=(2,))}, 1), Columns({"x": strings("c", shape=(1,))}, 1)]
    joined = Columns.concat([*parts, Columns({"x": words([], ["d", "e", "f"])}, 2)])["x"]
    assert joined.to_rows() == [["a", "b"], ["c"], [], ["d", "e", "f"]]
    assert as_ragged(strings("a", "b", shape=(2,))).to_dense().to_rows() == [["a", "b"]]


def test_a_part_without_rows_has_no_say_in_the_shape():
    parts = [Columns({"x": Dense(np.ones((0, 0, 7)))}, 0), Columns({"x": Dense(np.zeros((1, 2, 3)))}, 1)]
    assert Columns.concat(parts)["x"].shape == (2, 3)
    assert Columns.concat(parts[:1] * 2)["x"].shape == (0, 7)


def test_a_dense_column_becomes_ragged_and_dense_again():
    column = Dense(np.arange(12).reshape(2, 3, 2))
    assert as_ragged(column).to_rows() == column.to_rows()
    np.testing.assert_array_equal(as_ragged(column).to_dense().values, column.values)
    assert np.shares_memory(as_ragged(column).values, column.values)


def test_dense_and_slices_are_views():
    values = np.arange(6)
    assert np.shares_memory(Columns({"x": Dense(values)}, 6).slice(1, 3)["x"].values, values)


def test_columns_keep_their_order_and_are_not_changed():
    before = Columns({"a": Dense(np.arange(2)), "b": strings("x", "y")}, 2)
    after = before.with_column("a", Dense(np.zeros(2, np.float32))).with_column("c", Dense(np.zeros(2)))
    assert list(before) == ["a", "b"]
    assert list(after) == ["a", "b", "c"]
    assert after.fields() == {"a": Field("a", "FP32"), "b": Field("b", "STRING"), "c": Field("c", "FP64")}
    assert list(after.select(["c", "a"])) == ["c", "a"]
    assert after.take(np.array([1]))["b"].to_rows() == ["y"]
    assert after.nbytes >= 24


def test_blobs_with_large_offsets_are_the_same_column():
    column = Blobs("STRING", pa.array([b"a", b"bc"], pa.large_binary()), (), 2)
    assert column.take(np.array([1, 0])).to_rows() == ["bc", "a"]
