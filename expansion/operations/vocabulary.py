# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Counting the words of a column, and the list of those that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from expansion.errors import SystemicError
from expansion.operations.statistic import Counted, Learned, Vocabulary
from expansion.operations.texts import words_by_row
from expansion.operations.word_index import word_hashes
from expansion.tensors.columns import Column
from expansion.tensors.words import words_of

_BLOCK = 1 << 20
# Of the 32-bit offsets of a binary array.
MAX_BYTES = (1 << 31) - 1

_Counts = npt.NDArray[np.int64]
_Places = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Words:
    """Counts the words of a column.

    Attributes:
        column: The column: texts, integers or BOOL.
        top_k: Words to keep, at most; 0 is all.
        frequency_threshold: How often a word must be there to be kept.
        delimiters: Characters at which texts are split; where there is none, each element is a word.
        by_line: Whether words that are empty or have a line break are left out, as tensorflow-transform does, whose
            list has one a line.
        documents: Whether to count in how many rows each word is, too; each row is then a text or an array of words.
    """

    column: str
    top_k: int = 0
    frequency_threshold: int = 0
    delimiters: str = ""
    by_line: bool = False
    documents: bool = False

    def observe(self, column: Column) -> Counted:
        """Returns the distinct words of one batch."""
        rows = words_by_row(column, self.delimiters) if self.delimiters or self.documents else None
        encoded = (words_of(column) if rows is None else rows.array).dictionary_encode()
        codes = encoded.indices.to_numpy()
        size = len(encoded.dictionary)
        documents = None
        if rows is not None and self.documents:
            row_of = np.repeat(np.arange(len(rows)), rows.shapes[:, 0])
            documents = np.bincount(np.unique(row_of * size + codes) % max(size, 1), minlength=size)
        counted = Counted(encoded.dictionary, np.bincount(codes, minlength=size), documents)
        return _of_lines(counted) if self.by_line else counted


def _of_lines(counted: Counted) -> Counted:
    words = counted.words
    broken = pc.or_(pc.match_substring(words, "\n"), pc.match_substring(words, "\r"))
    kept = pc.and_not(pc.greater(pc.binary_length(words), 0), broken).to_numpy(zero_copy_only=False)
    return counted if kept.all() else _take(counted, np.flatnonzero(kept))


def split(counted: Counted, shards: int) -> list[Counted]:
    """Splits counted words into so many parts, some of which may be empty; a word is always in the same one."""
    shard_of = word_hashes(counted.words) % np.uint64(shards)
    order = np.argsort(shard_of, kind="stable")
    ends = np.searchsorted(shard_of[order], np.arange(1, shards + 1, dtype=np.uint64))
    return [_take(counted, rows) for rows in np.split(order, ends[:-1])]


def vocabulary(parts: Sequence[Counted | Vocabulary], top_k: int = 0, frequency_threshold: int = 0) -> Vocabulary:
    """Adds up counted words and returns those that are kept, the most frequent first; of equals the greater first.

    Where no word is in two shards, it may be called for each shard and then for the results.

    Args:
        parts: Counted words, at least one part.
        top_k: Words to keep, at most; 0 is all.
        frequency_threshold: How often a word must be there to be kept.
    """
    words, counts, documents = _joined(parts)
    order = pc.sort_indices(words).to_numpy().astype(np.uint32)
    begins = _begins(words, order)
    counts = _sums(counts[order], begins)
    if documents is not None:
        documents = _sums(documents[order], begins)
    order = order if begins.all() else order[begins]
    ranked = _ranked(counts, frequency_threshold)
    if top_k:
        ranked = ranked[:top_k]
    return Vocabulary(
        words.take(pa.array(order[ranked])), counts[ranked], None if documents is None else documents[ranked]
    )


def _joined(parts: Sequence[Counted | Vocabulary]) -> tuple[pa.Array, _Counts, _Counts | None]:
    arrays = [part.words for part in parts]
    if sum(array.nbytes for array in arrays) > MAX_BYTES:
        arrays = [array.cast(pa.large_binary()) for array in arrays]
    words = pa.concat_arrays(arrays) if len(arrays) > 1 else arrays[0]
    counts = np.concatenate([part.counts for part in parts])
    documents = [part.documents for part in parts if part.documents is not None]
    return words, counts, np.concatenate(documents) if len(documents) == len(parts) else None


def _begins(words: pa.Array, order: _Places) -> npt.NDArray[np.bool_]:
    """Returns for each place in an order by word whether it is the first with its word; words are copied in blocks."""
    begins = np.ones(len(order), np.bool_)
    for start in range(0, len(order) - 1, _BLOCK):
        block = words.take(pa.array(order[start : start + _BLOCK + 1]))
        differs = pc.not_equal(block[1:], block[:-1]).to_numpy(zero_copy_only=False)
        begins[start + 1 : start + 1 + len(differs)] = differs
    return begins


def _sums(counts: _Counts, begins: npt.NDArray[np.bool_]) -> _Counts:
    """Returns the sum of each run of counts, given where runs begin."""
    return counts if begins.all() else np.add.reduceat(counts, np.flatnonzero(begins))


def _ranked(counts: _Counts, threshold: int) -> _Places:
    """Returns the places of the counts that reach a threshold, those of the greatest first, of equal ones the last."""
    places = np.flatnonzero(counts >= threshold)[::-1].astype(np.uint32)
    narrow = counts.astype(np.int32) if counts.max(initial=0) < 1 << 31 else counts
    ranked: _Places = places[np.argsort(-narrow[places], kind="stable")]
    return ranked


def _take(counted: Counted, rows: npt.NDArray[np.intp]) -> Counted:
    documents = None if counted.documents is None else counted.documents[rows]
    return Counted(counted.words.take(pa.array(rows)), counted.counts[rows], documents)


def learned_vocabulary(learned: Learned) -> Vocabulary:
    """Returns what was learned of a WordCount.

    Raises:
        SystemicError: Something else was learned.
    """
    if not isinstance(learned, Vocabulary):
        raise SystemicError(f"what was learned is {type(learned).__name__}; expected a vocabulary")
    return learned
