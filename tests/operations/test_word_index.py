# Licensed under the Apache License, Version 2.0; see LICENSE.
import itertools
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from expansion.operations.word_index import WordIndex, word_hashes


def binary(words):
    return pa.array(words, pa.binary())


LONG = [b"", b"\0", b"\0\0", *(b"word %d" % number for number in range(40_000))]


@pytest.mark.parametrize("words", [[b"b", b"", b"a"], LONG], ids=["short", "long"])
def test_every_word_is_found_where_it_is_and_others_are_not(words):
    index = WordIndex(binary(words))
    assert index.find(binary(words)).tolist() == list(range(len(words)))
    assert index.find(binary([b"nope", b"\0\0\0", words[1], b"word 40000"])).tolist() == [-1, -1, 1, -1]
    assert index.find(binary([])).tolist() == []
    assert len(index) == len(words)


def test_nothing_is_found_in_an_empty_list():
    assert WordIndex(binary([])).find(binary([b"a", b""])).tolist() == [-1, -1]


def test_a_part_of_an_array_is_looked_up_as_it_is():
    index = WordIndex(binary(LONG).slice(3))
    assert index.find(binary(LONG).slice(5, 2)).tolist() == [2, 3]


def thue_morse(length, flipped):
    """Two texts of 2048 letters of which every polynomial hash modulo 2^64 is the same."""
    bits = np.array([bin(place).count("1") % 2 for place in range(length)]) ^ flipped
    return bytes((ord("a") + bits).astype(np.uint8))


def test_words_with_one_hash_are_told_apart():
    one, other = thue_morse(2048, 0), thue_morse(2048, 1)
    assert len(set(word_hashes(binary([one, other])).tolist())) == 1
    both = WordIndex(binary([*LONG, one, other]))
    assert both.find(binary([other, one, b"word 7"])).tolist() == [len(LONG) + 1, len(LONG), 10]
    only_one = WordIndex(binary([*LONG, one]))
    assert only_one.find(binary([other, one])).tolist() == [-1, len(LONG)]


def test_more_words_with_one_hash_than_are_tried_one_by_one_are_found_too():
    halves = [thue_morse(2048, 0), thue_morse(2048, 1)]
    alike = [b"".join(parts) for parts in itertools.product(halves, repeat=4)]
    assert len(set(word_hashes(binary(alike)).tolist())) == 1
    index = WordIndex(binary([*alike, *LONG]))
    assert index.find(binary([*alike[::-1], b"word 7"])).tolist() == [*range(15, -1, -1), 26]
    assert WordIndex(binary([*alike[1:], *LONG])).find(binary(alike)).tolist() == [-1, *range(15)]


def test_hashes_differ_and_are_the_same_in_every_process():
    hashes = word_hashes(binary(LONG))
    assert len(set(hashes.tolist())) == len(LONG)
    code = (
        "import pyarrow as pa; from expansion.operations.word_index import word_hashes; "
        "print(*word_hashes(pa.array([b'', b'a', b'word 7'])).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [int(number) for number in printed] == word_hashes(binary([b"", b"a", b"word 7"])).tolist()


def test_hashes_spread_words_evenly_over_shards():
    shards = np.bincount((word_hashes(binary(LONG)) % np.uint64(8)).astype(int), minlength=8)
    assert abs(shards / len(LONG) - 1 / 8).max() < 0.01
