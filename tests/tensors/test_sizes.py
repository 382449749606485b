# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.tensors.columns import Blobs, Columns, Dense, Ragged, RaggedBlobs
from expansion.tensors.sizes import row_bytes, row_lengths

COLUMNS = {
    "dense": Dense(np.zeros((3, 2), np.float32)),
    "ragged": Ragged.of_rows([np.zeros(size) for size in (1, 0, 2)], np.float64, 1),
    "texts": Blobs.of("STRING", ["ä", "", "abc"], 3),
    "pairs": Blobs.of("STRING", ["ä", "", "abc", "d", "", ""], 3, (2,)),
    "words": RaggedBlobs.of_rows("STRING", [["ä", "abc"], [], [""]], 1),
}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("dense", [8, 8, 8]), ("ragged", [8, 0, 16]), ("texts", [2, 0, 3]), ("pairs", [2, 4, 0]), ("words", [5, 0, 0])],
)
def test_bytes_of_a_row_are_those_of_its_elements(name, sizes):
    assert row_bytes(Columns({"x": COLUMNS[name]}, 3)).tolist() == sizes
    assert row_bytes(Columns({"x": COLUMNS[name].slice(1, 3)}, 2)).tolist() == sizes[1:]


@pytest.mark.parametrize(
    ("name", "lengths"),
    [("dense", [2, 2, 2]), ("ragged", [1, 0, 2]), ("texts", [2, 0, 3]), ("pairs", [2, 2, 2]), ("words", [2, 0, 1])],
)
def test_the_length_of_a_row_is_its_first_axis_or_the_bytes_of_a_text(name, lengths):
    assert row_lengths(COLUMNS[name]).tolist() == lengths


def test_single_numbers_have_no_length():
    with pytest.raises(ValueError, match="no length"):
        row_lengths(Dense(np.zeros(3)))
