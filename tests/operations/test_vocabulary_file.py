# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Vocabularies as text: any word comes back as it was, and people can read it."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expansion.errors import SystemicError
from expansion.operations.statistic import Vocabulary
from expansion.operations.vocabulary_file import lines, read


def vocabulary(words, counts=None):
    return Vocabulary(pa.array(words, pa.binary()), np.array(counts or range(len(words), 0, -1), np.int64))


def content(words, counts=None):
    return b"".join(map(bytes, lines(vocabulary(words, counts))))


def reread(path, data):
    path.write_bytes(data)
    found = read(path, hashlib.sha256(data).hexdigest())
    return found.words.to_pylist(), found.counts.tolist()


def test_a_line_is_a_word_and_its_count():
    assert content([b"the", "Zürich".encode(), b""], [12, 3, 1]) == "the\t12\nZürich\t3\n\t1\n".encode()


def test_what_would_break_a_line_is_escaped_and_so_is_what_is_no_utf8():
    words = [b"a\nb", b"a\tb", b"a\rb", b"a\\nb", b"\xff\xfe", "\ufeffx".encode()]
    written = content(words).decode()
    assert [line.split("\t")[0] for line in written.removesuffix("\n").split("\n")] == [
        r"a\nb",
        r"a\tb",
        r"a\rb",
        r"a\\nb",
        r"\xff\xfe",
        r"\xef\xbb\xbfx",
    ]


@given(st.lists(st.one_of(st.binary(max_size=8), st.text(max_size=8).map(lambda t: t.encode("utf-8", "replace")))))
def test_any_words_come_back_as_they_were(tmp_path_factory, words):
    path = tmp_path_factory.getbasetemp() / "vocabulary.txt"
    assert reread(path, content(words)) == (words, list(range(len(words), 0, -1)))


def test_a_slice_of_an_array_is_written_as_its_own_words_only(tmp_path):
    words = pa.array([b"out", b"in\n", b"too", b"out"], pa.binary()).slice(1, 2)
    data = b"".join(map(bytes, lines(Vocabulary(words, np.array([2, 1])))))
    assert reread(tmp_path / "v", data) == ([b"in\n", b"too"], [2, 1])


def test_many_words_are_written_in_pieces(tmp_path):
    words = [b"%d" % number for number in range(600_000)]
    assert len(list(lines(vocabulary(words)))) == 3
    assert reread(tmp_path / "v", content(words))[0] == words


@pytest.mark.parametrize("line", [b"word\n", b"word\t1\t2\n", b"word\tmany\n", b"wo\\qrd\t1\n", b"word\\\t1\n"])
def test_what_is_no_vocabulary_is_refused_in_one_line(tmp_path, line):
    with pytest.raises(SystemicError, match="is no vocabulary") as raised:
        reread(tmp_path / "v", b"good\t2\n" + line)
    assert "\n" not in str(raised.value)


def test_a_file_that_was_changed_is_refused(tmp_path):
    (tmp_path / "v").write_bytes(b"word\t1\n")
    with pytest.raises(SystemicError, match="is not as it was written"):
        read(tmp_path / "v", hashlib.sha256(b"word\t2\n").hexdigest())


def test_a_word_that_is_too_long_for_a_line_is_refused():
    with pytest.raises(SystemicError, match="longer than 16 MiB"):
        content([b"x" * ((16 << 20) + 1)])


def test_in_how_many_rows_a_word_was_is_a_third_column(tmp_path):
    words = Vocabulary(pa.array([b"a", b"b\t"], pa.binary()), np.array([7, 2]), np.array([3, 1]))
    data = b"".join(map(bytes, lines(words)))
    assert data == b"a\t7\t3\nb\\t\t2\t1\n"
    (tmp_path / "v").write_bytes(data)
    found = read(tmp_path / "v", hashlib.sha256(data).hexdigest(), has_documents=True)
    assert found.documents.tolist() == [3, 1]
    assert found.words.to_pylist() == [b"a", b"b\t"]


def test_no_words_are_an_empty_file(tmp_path):
    assert content([]) == b""
    assert reread(tmp_path / "v", b"") == ([], [])
