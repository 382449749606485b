# Licensed under the Apache License, Version 2.0; see LICENSE.
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.operations.texts import split_texts, words_by_row
from expansion.tensors.columns import Blobs, RaggedBlobs


def words(texts, delimiters, datatype="STRING"):
    return words_by_row(Blobs.of(datatype, texts, len(texts)), delimiters).to_rows()


def test_texts_are_split_at_each_of_the_characters_and_empty_words_dropped():
    assert words(["a b,c", " ,a,, b ", "", ",", "abc"], " ,") == [["a", "b", "c"], ["a", "b"], [], [], ["abc"]]


def test_characters_of_several_bytes_are_split_at_as_a_whole():
    assert words(["一、二。三", "é è", "、", "a€b"], "、。€") == [["一", "二", "三"], ["é è"], [], ["a", "b"]]
    assert words(["aé", "èb"], "é") == [["a"], ["èb"]]


def test_bytes_of_two_texts_are_not_one_character():
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert words([b"a" + first, second + b"b", "é".encode()], "é", "BYTES") == [[b"a" + first], [second + b"b"], []]


def test_bytes_need_not_be_text():
    assert words([b"\xff\x00 \x80", b"\x00"], " ", "BYTES") == [[b"\xff\x00", b"\x80"], [b"\x00"]]


def test_a_part_of_texts_is_split_as_it_is():
    column = Blobs.of("STRING", ["x y", "a b", "", "c"], 4).slice(1, 4)
    assert words_by_row(column, " ").to_rows() == [["a", "b"], [], ["c"]]


def test_elements_of_arrays_are_words_already():
    assert words_by_row(Blobs.of("STRING", ["a b", "", "c", "d"], 2, (2,)), " ").to_rows() == [["a b", ""], ["c", "d"]]
    ragged = RaggedBlobs.of_rows("STRING", [["a"], []], 1)
    assert words_by_row(ragged, " ") is ragged


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab é、,", max_size=8), max_size=6), st.text(" ,é、", min_size=1, max_size=4))
def test_any_texts_are_split_as_pythons_regular_expressions_split_them(texts, delimiters):
    expected = [[word for word in re.split(f"[{re.escape(delimiters)}]", text) if word] for text in texts]
    array, counts = split_texts(Blobs.of("STRING", texts, len(texts)).array, delimiters)
    assert [word.decode() for word in array.to_pylist()] == [word for row in expected for word in row]
    assert counts.tolist() == [len(row) for row in expected]


@pytest.mark.parametrize("delimiters", [" ", "、"])
def test_no_texts_have_no_words(delimiters):
    assert words([], delimiters) == []
