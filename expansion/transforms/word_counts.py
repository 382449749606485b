# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Counted words on their way from step to step: in columns, and by shards, so that no place counts all of them.

A word's shard is decided by its hash, so that all its counts meet. Thresholds and the largest counts are taken there;
what is left is sorted in one place.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expansion.errors import SystemicError
from expansion.operations.statistic import Counted, Vocabulary
from expansion.operations.vocabulary import MAX_BYTES, split, vocabulary

SHARDS = 64
_JOINED_AT_ONCE = 1 << 19  # words
_ORDER = [("count", "descending"), ("word", "descending")]


def encode(*parts: Counted | Vocabulary) -> bytes:
    """Returns words and counts, those of the parts one after another, as an Arrow IPC stream, compressed."""
    batches = list(map(_record_batch, parts))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def _record_batch(part: Counted | Vocabulary) -> pa.RecordBatch:
    columns = {"word": part.words, "count": pa.array(part.counts)}
    if part.documents is not None:
        columns["documents"] = pa.array(part.documents)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def decode(encoded: bytes) -> Counted:
    """Reads what ``encode`` wrote."""
    with pa.ipc.open_stream(encoded) as reader:
        names = reader.schema.names
        batches = list(reader)
    words, *numbers = (
        batches[0][name] if len(batches) == 1 else pa.concat_arrays([batch[name] for batch in batches])
        for name in names
    )
    return Counted(words, *(each.to_numpy() for each in numbers))


def merged(parts: Iterable[Counted]) -> Counted:
    """Returns each distinct word of some parts once, with the sum of its counts."""
    found = vocabulary(list(parts))
    return Counted(found.words, found.counts, found.documents)


def joined(shards: Iterable[Counted], top_k: int) -> Iterator[Vocabulary]:
    """Yields the vocabulary of shards that no word is in twice, in parts, so that it is never sorted as a whole.

    Args:
        shards: What is kept of each, in the order of a vocabulary; at least one.
        top_k: Words to keep, at most; 0 is all.

    Raises:
        SystemicError: Its words are too much for one column.
    """
    parts = list(shards)
    if sum(part.words.nbytes for part in parts) > MAX_BYTES:
        raise SystemicError("a vocabulary has more than 2 GiB of words; set top_k or frequency_threshold")
    largest = max(parts, key=lambda part: len(part.words))
    step = max(1, _JOINED_AT_ONCE // len(parts))  # of one shard; the others have about as many words beside
    left = top_k or sum(len(part.words) for part in parts)
    begins = [0] * len(parts)
    for row in range(step, max(1, len(largest.words)) + step, step):
        is_last = row >= len(largest.words)
        ends = [len(part.words) if is_last else _place(part, largest, row) for part in parts]
        yield _sorted([_slice(*each) for each in zip(parts, begins, ends, strict=True)], left)
        left -= sum(ends) - sum(begins)
        if left <= 0:
            return
        begins = ends


def _place(part: Counted, other: Counted, row: int) -> int:
    """Returns how many words of a shard come before a row of another in a vocabulary."""
    count, word = other.counts[row], other.words[row].as_py()
    first, last = (int(np.searchsorted(-part.counts, -count, side)) for side in ("left", "right"))
    return first + bisect_left(range(first, last), True, key=lambda place: part.words[place].as_py() <= word)


def _slice(part: Counted, begin: int, end: int) -> Counted:
    documents = None if part.documents is None else part.documents[begin:end]
    return Counted(part.words.slice(begin, end - begin), part.counts[begin:end], documents)


def _sorted(parts: Sequence[Counted], size: int) -> Vocabulary:
    """Returns words of which no two are alike in the order of a vocabulary, so many of them at most."""
    words = pa.concat_arrays([part.words for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    documents = [part.documents for part in parts if part.documents is not None]
    order = pc.sort_indices(pa.table([words, pa.array(counts)], ["word", "count"]), sort_keys=_ORDER).slice(0, size)
    rows = order.to_numpy()
    return Vocabulary(words.take(order), counts[rows], np.concatenate(documents)[rows] if documents else None)


def sharded(counted: Counted) -> Iterator[tuple[int, Counted]]:
    """Yields the words of each shard that has any, with its number."""
    for shard, part in enumerate(split(counted, SHARDS)):
        if len(part.words):
            yield shard, part
