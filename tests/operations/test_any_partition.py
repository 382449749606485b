# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is learned is the same for any order and any partition of the rows, to the last bit of the JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.operations.distribution import Median, MostFrequent, Quantiles, TukeyParameters
from expansion.operations.moments import Moments
from expansion.operations.ranges import Range
from expansion.operations.tfidf import Texts
from expansion.operations.vocabulary import Words, split, vocabulary
from expansion.tensors.columns import Blobs, Dense, Ragged, RaggedBlobs

STATISTICS = {
    "range": Range,
    "moments": Moments,
    "quantiles": lambda *of: Quantiles(*of, buckets=4),
    "median": Median,
    "most_frequent": MostFrequent,
    "tukey": TukeyParameters,
}
NUMBERS = {
    "FP64": (st.floats() | st.sampled_from([0.0, -0.0, 1.0, 1e16, -1e-16]), np.float64),
    "FP32": (st.floats(width=32), np.float32),
    "FP16": (st.floats(-6e4, 6e4) | st.sampled_from([np.nan, np.inf, -0.0, 6e-8]), np.float16),
    "INT64": (st.integers(-(2**63), 2**63 - 1), np.int64),
    "UINT64": (st.integers(0, 2**64 - 1), np.uint64),
    "INT8": (st.integers(-3, 3), np.int8),
    "BOOL": (st.booleans(), np.bool_),
}


def parts_of(data, column):
    """Draws an order of the rows, and where to cut."""
    rows = np.array(data.draw(st.permutations(range(len(column)))), np.int64)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(column)), max_size=4)))
    return [column.take(part) for part in np.split(rows, cuts) if len(part)]


def merged(data, statistic, states):
    """Merges states in an order and in groups that are drawn."""
    states = data.draw(st.permutations(states))
    while len(states) > 1:
        together = data.draw(st.integers(2, len(states)))
        states = [*states[together:], statistic.merge(states[:together])]
    return statistic.merge(states)


@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_statistics_of_numbers(name, datatype, data):
    numbers, dtype = NUMBERS[datatype]
    shape = (data.draw(st.integers(1, 12)), *data.draw(st.sampled_from([(), (2,)])))
    values = data.draw(st.lists(numbers, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    column = Dense(np.array(values, dtype).reshape(shape))
    statistic = STATISTICS[name]("x", data.draw(st.sampled_from([None, column.shape])))
    same_of_all_partitions(data, statistic, column)


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=25, deadline=None)
@given(st.data(), st.lists(st.lists(st.floats(), max_size=3), min_size=1, max_size=8))
def test_statistics_of_rows_that_differ_in_length(name, data, rows):
    column = Ragged.of_rows([np.array(row, np.float64) for row in rows], np.float64, 1)
    same_of_all_partitions(data, STATISTICS[name]("x", None), column)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.lists(st.text(max_size=3), min_size=1, max_size=8))
def test_the_number_of_texts(data, texts):
    same_of_all_partitions(data, Texts("x"), Blobs.of("STRING", texts, len(texts)))


def same_of_all_partitions(data, statistic, column):
    expected = json.dumps(statistic.result(statistic.observe(column)), allow_nan=False)
    states = [statistic.observe(part) for part in parts_of(data, column)]
    assert json.dumps(statistic.result(merged(data, statistic, states)), allow_nan=False) == expected


@settings(max_examples=100, deadline=None)
@given(
    st.data(),
    st.lists(st.lists(st.sampled_from(["", "a", "b", "ä", "a\n", "zz"]), max_size=4), min_size=1, max_size=8),
    st.builds(
        Words,
        st.just("x"),
        top_k=st.integers(0, 3),
        frequency_threshold=st.integers(0, 3),
        by_line=st.booleans(),
        documents=st.booleans(),
    ),
)
def test_vocabularies(data, rows, words):
    column = RaggedBlobs.of_rows("STRING", [*rows, ["a"], []], 1)
    limits = (words.top_k, words.frequency_threshold)
    expected = vocabulary([words.observe(column)], *limits)
    shards = zip(*(split(words.observe(part), 3) for part in parts_of(data, column)), strict=True)
    found = vocabulary([vocabulary(data.draw(st.permutations(shard)), *limits) for shard in shards], *limits)
    assert found.words.to_pylist() == expected.words.to_pylist()
    assert found.counts.tolist() == expected.counts.tolist()
    assert (found.documents is None) == (expected.documents is None)
    assert found.documents is None or found.documents.tolist() == expected.documents.tolist()
