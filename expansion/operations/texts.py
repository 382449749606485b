# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Texts → their words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.tensors.blobs import buffers_of
from expansion.tensors.columns import Blobs, Column, RaggedBlobs, as_ragged


def words_by_row(column: Column, delimiters: str) -> RaggedBlobs:
    """Returns the words of each row.

    Args:
        column: Texts: one a row, or arrays with one axis, whose elements are words already.
        delimiters: Characters at each of which a text of its own is split; empty words are dropped.
    """
    assert isinstance(column, (Blobs, RaggedBlobs))  # noqa: S101 - texts, as fields() made sure
    if column.shape:
        return as_ragged(column)
    array, counts = split_texts(column.array, delimiters)
    return RaggedBlobs(column.datatype, array, counts.astype(np.int32)[:, None])


def split_texts(texts: pa.Array, delimiters: str) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Splits texts at each of some characters, and drops empty words.

    Args:
        texts: Binary array [texts].
        delimiters: The characters, in UTF-8 in the texts; at least one.

    Returns:
        The words of all texts, one after another, and array [texts]: how many each has.
    """
    values, offsets = buffers_of(texts)
    is_delimiter = _delimiter_bytes(values, offsets, delimiters)
    begins = np.zeros(len(values) + 1, np.bool_)
    begins[offsets] = True
    # A byte of a word is the first where a text begins or the byte before is a delimiter's.
    is_first = ~is_delimiter
    is_first[1:] &= is_delimiter[:-1] | begins[1:-1]
    # The words' bytes are what is left without the delimiters; of each word, where it begins among them.
    left = values[~is_delimiter]
    before = np.concatenate([[0], np.cumsum(~is_delimiter)])
    starts = before[np.flatnonzero(is_first)]
    word_offsets = np.append(starts, len(left)).astype(np.int32)
    words = pa.Array.from_buffers(pa.binary(), len(starts), [None, pa.py_buffer(word_offsets), pa.py_buffer(left)])
    firsts_before = np.concatenate([[0], np.cumsum(is_first)])
    return words, np.diff(firsts_before[offsets])


def _delimiter_bytes(
    values: npt.NDArray[np.uint8], offsets: npt.NDArray[np.integer[Any]], delimiters: str
) -> npt.NDArray[np.bool_]:
    """Returns for each byte whether it belongs to a delimiter."""
    encoded = [character.encode() for character in dict.fromkeys(delimiters)]
    single = np.zeros(256, np.bool_)
    single[[character[0] for character in encoded if len(character) == 1]] = True
    found = single[values]
    for character in encoded:
        size = len(character)
        if size == 1 or len(values) < size:
            continue
        at = np.logical_and.reduce(
            [values[place : len(values) - size + 1 + place] == byte for place, byte in enumerate(character)]
        )
        starts = np.flatnonzero(at)
        within = np.searchsorted(offsets, starts, side="right") == np.searchsorted(
            offsets, starts + size - 1, side="right"
        )
        found[(starts[within][:, None] + np.arange(size)).ravel()] = True
    return found
