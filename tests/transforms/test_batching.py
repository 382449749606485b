# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which rows go to the model together."""

import numpy as np
import pytest

from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.batching import BatchBounds
from expansion.transforms.isolation import RowError


def batch(failures=(), **columns):
    count = len(next(iter(columns.values())))
    return Batch(
        Columns({"row": Dense(np.arange(count))}, count), Columns(columns, count), Columns({}, count), tuple(failures)
    )


def rows(parts):
    return [part.carried["row"].values.tolist() for part in parts]


def test_a_batch_is_split_at_the_largest_number_of_rows():
    bounds = BatchBounds(Batching(max_batch_size=4))
    assert rows(bounds.split(batch(x=Dense(np.zeros(10))))) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_batch_is_split_at_the_largest_weight_by_a_column():
    bounds = BatchBounds(Batching(max_batch_weight=10, weight_column="tokens"))
    tokens = Dense(np.array([4, 4, 4, 9, 1, 1, 12, 3]))
    assert rows(bounds.split(batch(tokens=tokens))) == [[0, 1], [2], [3, 4], [5], [6], [7]]


def test_a_batch_is_split_at_the_largest_weight_in_bytes_where_no_column_says():
    ragged = Ragged.of_rows([np.zeros(size, np.float32) for size in (1, 2, 3, 4, 5)], np.float32, 1)
    texts = Blobs.of("STRING", ["", "a", "", "", "bc"], 5)
    bounds = BatchBounds(Batching(max_batch_weight=16))
    assert rows(bounds.split(batch(x=ragged, text=texts))) == [[0, 1], [2], [3], [4]]


def test_rows_and_weight_bound_a_batch_together():
    bounds = BatchBounds(Batching(max_batch_weight=100, weight_column="w", max_batch_size=2))
    assert rows(bounds.split(batch(w=Dense(np.array([1, 1, 1, 99, 2]))))) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("weight", [np.nan, -5.0])
def test_a_weight_that_is_none_weighs_nothing(weight):
    bounds = BatchBounds(Batching(max_batch_weight=3, weight_column="w"))
    assert rows(bounds.split(batch(w=Dense(np.array([2.0, weight, 1.0, 1.0]))))) == [[0, 1, 2], [3]]


def test_rows_are_put_in_buckets_by_their_length():
    bounds = BatchBounds(Batching(length_column="x", length_boundaries=[2, 4]))
    ragged = Ragged.of_rows([np.zeros(size) for size in (1, 2, 5, 3, 4, 1)], np.float64, 1)
    found = dict(bounds.buckets(batch(x=ragged)))
    assert {bucket: rows([part])[0] for bucket, part in found.items()} == {0: [0, 5], 1: [1, 3], 2: [2, 4]}


def test_the_length_of_a_text_is_its_bytes():
    bounds = BatchBounds(Batching(length_column="x", length_boundaries=[2]))
    found = dict(bounds.buckets(batch(x=Blobs.of("STRING", ["a", "ä", "abc"], 3))))
    assert {bucket: rows([part])[0] for bucket, part in found.items()} == {0: [0], 1: [1, 2]}


def test_failures_stay_with_exactly_one_part():
    failures = Failures(Columns({}, 1), "decode", (RowError("ValueError", "null"),))
    ragged = Ragged.of_rows([np.zeros(size) for size in (1, 5, 1, 5)], np.float64, 1)
    bounds = BatchBounds(Batching(length_column="x", length_boundaries=[2], max_batch_size=1))
    parts = [part for _, bucket in bounds.buckets(batch([failures], x=ragged)) for part in bounds.split(bucket)]
    assert [len(part.failures) for part in parts] == [1, 0, 0, 0]


def test_a_batch_of_failures_alone_is_kept():
    failures = Failures(Columns({}, 1), "decode", (RowError("ValueError", "null"),))
    bounds = BatchBounds(Batching(length_column="x", length_boundaries=[2], max_batch_weight=3))
    empty = batch([failures], x=Dense(np.zeros((0, 2))))
    parts = [part for _, bucket in bounds.buckets(empty) for part in bounds.split(bucket)]
    assert [(len(part), len(part.failures)) for part in parts] == [(0, 1)]


def test_a_batch_that_may_wait_for_a_time_waits_until_it_is_full():
    assert BatchBounds(Batching()).min_rows == 1
    assert BatchBounds(Batching(max_batch_size=32)).min_rows == 1
    assert BatchBounds(Batching(max_batch_size=32, max_batch_duration_secs=1)).min_rows == 32
    assert BatchBounds(Batching(min_batch_size=4, max_batch_size=32, max_batch_duration_secs=1)).min_rows == 4


@pytest.mark.parametrize("weight", [np.inf, 1e300, 2.0**63])
def test_a_row_of_enormous_weight_is_a_batch_by_itself(weight):
    bounds = BatchBounds(Batching(max_batch_weight=3, weight_column="w"))
    assert rows(bounds.split(batch(w=Dense(np.array([1.0, weight, weight, 1.0, 1.0]))))) == [[0], [1], [2], [3, 4]]
    unsigned = Dense(np.array([1, 2**63 + 5, 1, 1], np.uint64))
    assert rows(bounds.split(batch(w=unsigned))) == [[0], [1], [2, 3]]


def test_fractions_of_a_weight_count():
    bounds = BatchBounds(Batching(max_batch_weight=1, weight_column="w"))
    assert rows(bounds.split(batch(w=Dense(np.full(4, 0.5))))) == [[0, 1], [2, 3]]
