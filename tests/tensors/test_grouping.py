# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Rows of unequal shape pass through operations that need equal ones, and come back in order."""

import numpy as np
import pytest

from expansion.errors import BadRows
from expansion.tensors.columns import Columns, Dense, Ragged, RaggedBlobs
from expansion.tensors.grouping import uniformly


def ragged(*rows):
    arrays = [np.asarray(row, np.float32) for row in rows]
    return Ragged.of_rows(arrays, np.float32, 1)


def test_each_group_has_one_shape_and_rows_come_back_in_order():
    shapes = []

    def total(columns):
        values = columns["x"].values
        shapes.append(values.shape)
        return Columns({"sum": Dense(values.sum(axis=1))}, len(values))

    columns = Columns({"x": ragged([1, 2], [5], [3, 4], [])}, 4)
    assert uniformly(total, columns, ["x"])["sum"].to_rows() == [3, 5, 7, 0]
    assert sorted(shapes) == [(1, 0), (1, 1), (2, 2)]


def test_results_of_unequal_shape_are_a_ragged_column():
    result = uniformly(lambda columns: columns, Columns({"x": ragged([1, 2], [5])}, 2), ["x"])
    assert isinstance(result["x"], Ragged)
    assert result["x"].to_rows() == [[1, 2], [5]]


def test_texts_of_unequal_number_are_grouped_like_numbers():
    words = RaggedBlobs.of_rows("STRING", [["a", "b"], ["c"], ["d", "e"]], 1)
    shapes = []

    def passed_on(columns):
        shapes.append(columns["x"].shape)
        return columns

    assert uniformly(passed_on, Columns({"x": words}, 3), ["x"])["x"].to_rows() == words.to_rows()
    assert sorted(shapes) == [(1,), (2,)]


def test_columns_that_are_dense_already_are_passed_on_as_they_are():
    columns = Columns({"x": Dense(np.zeros((2, 2)))}, 2)
    assert uniformly(lambda same: same, columns, ["x"]) is columns


def test_bad_rows_of_all_groups_are_named_by_their_place_in_the_batch():
    def refuse_fives(columns):
        bad = np.flatnonzero((columns["x"].values == 5).any(axis=1))
        if len(bad):
            raise BadRows({int(row): "five" for row in bad})
        return columns

    with pytest.raises(BadRows) as error:
        uniformly(refuse_fives, Columns({"x": ragged([1, 2], [5], [1, 5], [3])}, 4), ["x"])
    assert error.value.messages == {1: "five", 2: "five"}
