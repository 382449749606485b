# Licensed under the Apache License, Version 2.0; see LICENSE.
r"""A vocabulary as a text file that people can read.

Each word has a line, the first of index 0: the word, a tab, and how often it was there in decimal digits; where that is
known another tab, and in how many rows it was. Lines end with a line feed. In a word ``\\``, ``\t``, ``\n`` and ``\r``
stand for a backslash, a tab, a line feed and a carriage return; ``\xNN``, of two hexadecimal digits, for a byte that is
not part of any UTF-8 text, and for a byte order mark at the beginning. All else is UTF-8 as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from expansion.errors import SystemicError, first_line
from expansion.files import require_sha256
from expansion.operations.statistic import Vocabulary

_PIECE = 1 << 18  # words
# A line is at most so long.
_MAX_LINE_BYTES = 32 << 20
_ESCAPES = {b"\\": b"\\\\", b"\t": b"\\t", b"\n": b"\\n", b"\r": b"\\r"}
_ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|.?)", re.DOTALL)
_BYTE_ORDER_MARK = "\ufeff"  # which readers drop from the beginning of a file


def lines(vocabulary: Vocabulary) -> Iterator[Any]:
    """Yields the file's content in pieces, as buffers.

    Raises:
        SystemicError: A word is too long for a line.
    """
    tab, end, nothing = (pa.scalar(text, pa.binary()) for text in (b"\t", b"\n", b""))
    for start in range(0, len(vocabulary.words), _PIECE):
        words = _escaped(vocabulary.words.slice(start, _PIECE).cast(pa.binary()))
        if pc.max(pc.binary_length(words)).as_py() > _MAX_LINE_BYTES // 2:
            reason = f"a word of a vocabulary is longer than {_MAX_LINE_BYTES >> 21} MiB"
            raise SystemicError(f"{reason}; leave such rows out")
        numbers = [
            pa.array(each[start : start + _PIECE]).cast(pa.string()).cast(pa.binary())
            for each in (vocabulary.counts, vocabulary.documents)
            if each is not None
        ]
        numbers[-1] = pc.binary_join_element_wise(numbers[-1], nothing, end)
        yield pc.binary_join_element_wise(words, *numbers, tab).buffers()[2]


def read(path: Path, sha256: str, has_documents: bool = False) -> Vocabulary:
    """Reads a file.

    Raises:
        SystemicError: It is not as it was written, or can't be read.
    """
    require_sha256(path, sha256)
    if path.stat().st_size == 0:
        nothing = np.empty(0, np.int64)
        return Vocabulary(pa.array([], pa.binary()), nothing, nothing if has_documents else None)
    types = {"word": pa.binary(), "count": pa.int64(), **({"documents": pa.int64()} if has_documents else {})}
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(column_names=list(types), block_size=_MAX_LINE_BYTES),
            parse_options=csv.ParseOptions(
                delimiter="\t", quote_char=False, escape_char=False, ignore_empty_lines=False
            ),
            convert_options=csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
        words, *numbers = (table[name] for name in types)
        return Vocabulary(_unescaped(words.combine_chunks()), *(each.to_numpy() for each in numbers))
    except pa.ArrowInvalid as error:
        raise SystemicError(f"{str(path)!r} is no vocabulary: {first_line(error)}") from error


def _escaped(words: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(words, pattern=r"[\\\t\n\r]")
    special = pc.or_(special, pc.starts_with(words, pattern=_BYTE_ORDER_MARK))
    mask = special.to_numpy(zero_copy_only=False)
    try:
        words.cast(pa.string())
    except pa.ArrowInvalid:  # some are not UTF-8; each is tried
        mask = mask | np.fromiter(map(_is_not_utf8, words.to_pylist()), np.bool_, len(words))
    return _replaced(words, mask, _escape)


def _unescaped(words: pa.Array) -> pa.Array:
    mask = pc.match_substring(words, pattern="\\").to_numpy(zero_copy_only=False)
    return _replaced(words, mask, _unescape)


def _replaced(words: pa.Array, mask: npt.NDArray[np.bool_], function: Any) -> pa.Array:
    if not mask.any():
        return words
    replacements = pa.array(map(function, words.filter(pa.array(mask)).to_pylist()), pa.binary())
    return pc.replace_with_mask(words, pa.array(mask), replacements)


def _is_not_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return True
    return False


def _escape(word: bytes) -> bytes:
    for plain, escaped in _ESCAPES.items():
        word = word.replace(plain, escaped)
    mark = _BYTE_ORDER_MARK.encode()
    if word.startswith(mark):
        word = b"".join(b"\\x%02x" % byte for byte in mark) + word.removeprefix(mark)
    return word.decode("utf-8", "backslashreplace").encode()


def _unescape(word: bytes) -> bytes:
    return _ESCAPED.sub(_plain, word)


def _plain(match: re.Match[bytes]) -> bytes:
    escaped = match[0]
    if len(match[1]) == 3:
        return bytes.fromhex(match[1][1:].decode())
    for plain, other in _ESCAPES.items():
        if other == escaped:
            return plain
    raise pa.ArrowInvalid(f"it has {escaped.decode(errors='replace')!r}, which stands for nothing")
