# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Finding words in a long list of them, all words of a batch at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from expansion.tensors.blobs import buffers_of

# pyarrow hashes the whole list anew in each call: below this it takes less time than the search.
_SMALL = 1 << 14
_BLOCK = 1 << 14
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
# Words of one bucket that are tried one after another; of ten million words, the fullest bucket has about as many.
_MAX_TRIES = 12


class WordIndex:
    """Where words are in a list: a hash table, whose buckets are told by the highest bits of the hashes.

    Args:
        words: Binary array [words] of distinct words. It is kept; of long lists, up to 8 bytes a word beside it.
    """

    def __init__(self, words: pa.Array):
        self._words = words
        self._is_small = len(words) <= _SMALL
        if self._is_small:
            return
        bits = len(words).bit_length() - 1  # one or two words a bucket
        self._shift = np.uint64(64 - bits)
        buckets = np.concatenate([self._buckets(block) for block in _blocks(words)])
        # Bucket n has the words order[begins[n] : begins[n + 1]].
        self._order = np.argsort(buckets).astype(np.int32)
        self._begins = np.zeros((1 << bits) + 1, np.int32)
        sizes = np.bincount(buckets, minlength=1 << bits)
        np.cumsum(sizes, out=self._begins[1:])
        crowded = np.flatnonzero(sizes > _MAX_TRIES)
        self._crowded = np.flatnonzero(np.isin(buckets, crowded)) if crowded.size else crowded

    def __len__(self) -> int:
        return len(self._words)

    def find(self, words: pa.Array) -> npt.NDArray[np.int64]:
        """Returns the index in the list of each word; -1 of words that are not in it."""
        if self._is_small:
            return _index_in(words, self._words)
        buckets = self._buckets(words)
        found = np.full(len(words), -1, np.int64)
        places, ends = self._begins[buckets], self._begins[buckets + np.uint32(1)]
        sought = np.flatnonzero(places < ends)
        for _ in range(_MAX_TRIES):
            if not sought.size:
                return found
            tried = self._order[places[sought]]
            equal = pc.equal(self._words.take(pa.array(tried)), words.take(pa.array(sought)))
            is_it = equal.to_numpy(zero_copy_only=False)
            found[sought[is_it]] = tried[is_it]
            places += 1
            sought = sought[~is_it & (places[sought] < ends[sought])]
        among = _index_in(words.take(pa.array(sought)), self._words.take(pa.array(self._crowded)))
        there = among >= 0
        found[sought[there]] = self._crowded[among[there]]
        return found

    def _buckets(self, words: pa.Array) -> npt.NDArray[np.uint32]:
        buckets: npt.NDArray[np.uint32] = (word_hashes(words) >> self._shift).astype(np.uint32)
        return buckets


def _index_in(words: pa.Array, among: pa.Array) -> npt.NDArray[np.int64]:
    indices = pc.fill_null(pc.index_in(words, value_set=among), -1)
    return np.asarray(indices.to_numpy(zero_copy_only=False), np.int64)


def word_hashes(words: pa.Array) -> npt.NDArray[np.uint64]:
    """Returns a hash of each word of a binary array, the same in every process and release: a polynomial of its bytes.

    Whoever wants to can make words that collide.
    """
    hashes = [_hashes(block) for block in _blocks(words)]
    return np.concatenate(hashes) if hashes else np.empty(0, np.uint64)


def _blocks(words: pa.Array) -> Iterator[pa.Array]:
    return (words.slice(start, _BLOCK) for start in range(0, len(words), _BLOCK))


def _hashes(words: pa.Array) -> npt.NDArray[np.uint64]:
    values, offsets = buffers_of(words)
    lengths = np.diff(offsets)
    sums = lengths.astype(np.uint64)
    powers = np.multiply.accumulate(np.full(int(lengths.max(initial=0)), _MULTIPLIER))
    places = np.arange(len(values)) - np.repeat(offsets[:-1], lengths)
    there = lengths > 0
    if there.any():
        sums[there] += np.add.reduceat((values.astype(np.uint64) + np.uint64(1)) * powers[places], offsets[:-1][there])
    # So that all bits of the sum count in the lowest ones of the hash.
    sums = (sums ^ (sums >> np.uint64(32))) * _MULTIPLIER
    return np.asarray(sums ^ (sums >> np.uint64(29)), np.uint64)
