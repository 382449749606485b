# Licensed under the Apache License, Version 2.0; see LICENSE.
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.errors import SystemicError
from expansion.operations.statistic import Counted
from expansion.operations.vocabulary import Words, learned_vocabulary, split, vocabulary
from expansion.tensors.columns import Blobs, Dense, RaggedBlobs


def texts(*elements, datatype="STRING"):
    return Blobs.of(datatype, elements, len(elements))


def counts(counted):
    return dict(zip(counted.words.to_pylist(), counted.counts.tolist(), strict=True))


def counted(**words):
    return Counted(pa.array([word.encode() for word in words], pa.binary()), np.array([*words.values()], np.int64))


def test_words_of_a_batch_are_counted():
    assert counts(Words("x").observe(texts("a", "b", "a", ""))) == {b"a": 2, b"b": 1, b"": 1}
    assert counts(Words("x").observe(texts(b"\xff", b"\xff", datatype="BYTES"))) == {b"\xff": 2}
    assert counts(Words("x").observe(Dense(np.array([[1, -2], [1, 1]])))) == {b"1": 3, b"-2": 1}
    assert counts(Words("x").observe(Dense(np.array([True, False, True])))) == {b"true": 2, b"false": 1}


def test_texts_are_split_before_they_are_counted():
    assert counts(Words("x", delimiters=" ").observe(texts("a b", " a ", ""))) == {b"a": 2, b"b": 1}


def test_words_that_a_list_of_lines_can_not_have_are_left_out():
    words = Words("x", by_line=True).observe(texts("", "a", "b\nc", "d\r", "a", "\n"))
    assert counts(words) == {b"a": 2}


def test_rows_that_have_a_word_are_counted_once_each():
    rows = RaggedBlobs.of_rows("STRING", [["a", "a", "b"], [], ["a"], ["b", "", "b"]], 1)
    words = Words("x", documents=True, by_line=True).observe(rows)
    assert counts(words) == {b"a": 3, b"b": 3}
    assert dict(zip(words.words.to_pylist(), words.documents.tolist(), strict=True)) == {b"a": 2, b"b": 2}
    words = Words("x", delimiters=" ", documents=True).observe(texts("", ""))
    assert (words.words.to_pylist(), words.documents.tolist()) == ([], [])


def test_words_are_ordered_by_frequency_and_then_by_their_bytes_from_the_greatest():
    found = vocabulary([counted(a=1, é=2, b=2), counted(c=1, b=1, z=3)])
    assert found.words.to_pylist() == [b"z", b"b", "é".encode(), b"c", b"a"]
    assert found.counts.tolist() == [3, 3, 2, 1, 1]
    assert found.documents is None


def test_rare_words_and_those_beyond_the_first_are_left_out():
    parts = [counted(a=1, b=2, c=3), counted(a=1, d=1)]
    assert counts(vocabulary(parts, frequency_threshold=2)) == {b"c": 3, b"b": 2, b"a": 2}
    assert counts(vocabulary(parts, top_k=2)) == {b"c": 3, b"b": 2}
    assert counts(vocabulary(parts, top_k=9, frequency_threshold=3)) == {b"c": 3}
    assert counts(vocabulary(parts, frequency_threshold=9)) == {}


def test_frequencies_beyond_32_bits_keep_their_order():
    assert vocabulary([counted(a=2**40, b=2**41, c=1)]).words.to_pylist() == [b"b", b"a", b"c"]


def test_there_may_be_no_words():
    empty = Counted(pa.array([], pa.binary()), np.array([], np.int64))
    assert vocabulary([empty, empty], 5, 2).words.to_pylist() == []
    assert [len(part.words) for part in split(empty, 3)] == [0, 0, 0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdé"), max_size=20), min_size=1, max_size=5),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_shards_of_batches_make_the_same_vocabulary_as_all_words_at_once(batches, top_k, threshold):
    counter = Counter(word.encode() for batch in batches for word in batch)
    ranked = sorted(((count, word) for word, count in counter.items() if count >= threshold), reverse=True)
    expected = [word for _, word in ranked[: top_k or None]]
    shards = zip(*(split(Words("x").observe(texts(*batch)), 3) for batch in batches), strict=True)
    found = vocabulary([vocabulary(shard, top_k, threshold) for shard in shards], top_k, threshold)
    assert found.words.to_pylist() == expected
    assert found.counts.tolist() == [counter[word] for word in expected]


def test_documents_go_along_with_their_words():
    parts = [
        Words("x", delimiters=" ", documents=True).observe(texts(*batch)) for batch in (["a a", "b"], ["a b b b", "c"])
    ]
    found = vocabulary([vocabulary(shard) for shard in zip(*(split(part, 4) for part in parts), strict=True)], top_k=2)
    assert (found.words.to_pylist(), found.counts.tolist(), found.documents.tolist()) == ([b"b", b"a"], [4, 3], [2, 2])


def test_what_another_operation_learned_is_no_vocabulary():
    with pytest.raises(SystemicError, match="dict; expected a vocabulary"):
        learned_vocabulary({"mean": 1.0})


GROWTH = r"""
import re, sys, numpy as np, pyarrow as pa
from expansion.operations.statistic import Counted
from expansion.operations.vocabulary import vocabulary

def mebibytes():  # of this program: getrusage counts what its parent had when it started it
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) / 1024

words, parts = int(sys.argv[1]), []
for first in range(0, words, 100_000):
    names = pa.array(np.random.default_rng(first).permutation(100_000) + first).cast(pa.string()).cast(pa.binary())
    parts.append(Counted(names, np.arange(len(names)) % 50 + 1))
before = mebibytes()
assert len(vocabulary(parts).words) == words
print(mebibytes() - before, mebibytes())
"""


def memory(words):
    ran = subprocess.run([sys.executable, "-c", GROWTH, str(words)], capture_output=True, text=True, check=True)
    growth, total = map(float, ran.stdout.split())
    return growth, total


def test_a_million_words_need_150_mebibytes():
    assert memory(1_000_000)[0] < 150


@pytest.mark.soak
def test_ten_million_words_need_less_than_a_gibibyte_with_all_that_is_there():
    growth, total = memory(10_000_000)
    assert growth < 700
    assert total < 1_000
