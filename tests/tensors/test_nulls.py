# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.tensors.columns import Blobs, Columns, Dense, Ragged, RaggedBlobs
from expansion.tensors.nulls import filled, is_null, nulls_of, tells_nulls, without_nulls


def test_every_element_of_a_row_gets_the_value_and_other_rows_stay():
    values = np.arange(6.0).reshape(3, 2)
    values.flags.writeable = False
    after = filled(Dense(values), np.array([0, 2]), 7.5)
    assert after.to_rows() == [[7.5, 7.5], [2, 3], [7.5, 7.5]]
    assert values[0, 0] == 0


@pytest.mark.parametrize(("datatype", "fill"), [("STRING", "ż"), ("BYTES", "ż".encode())])
def test_texts_are_filled_in(datatype, fill):
    after = filled(Blobs.of(datatype, ["a", "b", "", ""], 2, (2,)), np.array([1]), fill)
    assert after.to_rows() == Blobs.of(datatype, ["a", "b", "ż", "ż"], 2, (2,)).to_rows()


def test_a_part_of_texts_is_filled_in_at_its_own_rows():
    part = Blobs.of("STRING", ["a", "b", "c"], 3).slice(1, 3)
    assert filled(part, np.array([1]), "x").to_rows() == ["b", "x"]


def test_a_column_beside_another_says_where_that_is_null():
    columns = Columns({"x": Dense(np.arange(3.0)), nulls_of("x"): Dense(np.array([True, False, True]))}, 3)
    assert is_null(columns, "x").tolist() == [True, False, True]
    assert without_nulls(columns, "x").to_rows() == [1.0]
    assert [name for name in columns if not tells_nulls(name)] == ["x"]


def test_a_column_with_nothing_beside_it_has_no_nulls():
    columns = Columns({"x": Dense(np.arange(3.0))}, 3)
    assert not is_null(columns, "x").any()
    assert without_nulls(columns, "x") is columns["x"]


def test_rows_of_no_known_size_are_not():
    with pytest.raises(TypeError, match="no known size"):
        filled(Ragged.of_rows([np.ones(1)], np.float64, 1), np.array([0]), 0)
    with pytest.raises(TypeError, match="no known size"):
        filled(RaggedBlobs.of_rows("STRING", [["a"], []], 1), np.array([0]), "")
