# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The outline of a UBJSON file: its values down to some depth, without what lies below.

https://ubjson.org, as far as XGBoost writes it: objects without a count; arrays with a count, with or without a type.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from expansion.models.json_outline import OutlineError

_INTEGERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}
_NUMBERS = {**_INTEGERS, b"d": ">f", b"D": ">d"}
_SIZES = {marker: struct.calcsize(layout) for marker, layout in _NUMBERS.items()} | {b"C": 1}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}
_DEEPEST = 32
_MAX_TEXT_BYTES = 1 << 20
_MAX_KEPT_BYTES = 64 << 20
_VALUE_BYTES = 64  # what a value takes in memory, beside its text


def read_ubjson_outline(file: BinaryIO, max_depth: int, max_values: int = 20_000_000) -> Any:
    """Reads a UBJSON file; objects and arrays that lie deeper are empty in the result, as are arrays of numbers.

    Args:
        file: Seekable.
        max_depth: Number of objects and arrays around a value that is kept, at most.
        max_values: Number of values to visit, at most: a bound on the time that a hostile file can take.

    Raises:
        OutlineError: It is no such file, or not the whole of one, or there are too many values.
    """
    reader = _Reader(file, max_depth, max_values)
    value = reader.value(reader.take(1), 0)
    if reader.position != reader.size:
        raise OutlineError("it goes on after its end")
    return value


class _Reader:
    """Reads values one after another, and skips what is not kept."""

    def __init__(self, file: BinaryIO, max_depth: int, max_values: int):
        self._file = file
        self._max_depth = max_depth
        self._values_left = max_values
        self._keep_left = _MAX_KEPT_BYTES
        self.size = file.seek(0, 2)
        self.position = file.seek(0)

    def take(self, count: int) -> bytes:
        self._advance(count)
        return self._file.read(count)

    def value(self, marker: bytes, depth: int) -> Any:
        """Reads the value that follows its marker."""
        self._values_left -= 1
        if self._values_left < 0:
            raise OutlineError("it has too many values")
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            return struct.unpack(_NUMBERS[marker], self.take(_SIZES[marker]))[0]
        if marker == b"C":
            return self.take(1).decode("latin-1")
        if marker == b"S":
            text = self._text(keep=depth <= self._max_depth)
            self._keep_left -= len(text)
            return text
        if depth >= _DEEPEST:
            raise OutlineError("its values are nested too deep")
        if marker == b"{":
            return self._object(depth + 1)
        if marker == b"[":
            return self._array(depth + 1)
        raise OutlineError(f"there is no type {marker!r}")

    def _object(self, depth: int) -> dict[str, Any]:
        members = {}
        while (marker := self.take(1)) != b"}":
            key = self._text(keep=depth <= self._max_depth, marker=marker)
            value = self.value(self.take(1), depth)
            if self._keeps(depth, len(key)):
                members[key] = value
        return members

    def _array(self, depth: int) -> list[Any]:
        elements = []
        marker = self.take(1)
        if marker == b"$":
            element, number_sign = self.take(1), self.take(1)
            if element not in _SIZES or number_sign != b"#":
                raise OutlineError("an array is of no known type")
            self._skip(self._length(self.take(1)) * _SIZES[element])
            return []
        if marker == b"#":
            for _ in range(self._length(self.take(1))):
                value = self.value(self.take(1), depth)
                if self._keeps(depth):
                    elements.append(value)
            return elements
        while marker != b"]":
            value = self.value(marker, depth)
            if self._keeps(depth):
                elements.append(value)
            marker = self.take(1)
        return elements

    def _keeps(self, depth: int, cost: int = 0) -> bool:
        """Whether a value of a container at this depth is kept."""
        if depth > self._max_depth:
            return False
        self._keep_left -= _VALUE_BYTES + cost
        if self._keep_left < 0:
            raise OutlineError("it is larger than such a file can be")
        return True

    def _text(self, keep: bool, marker: bytes = b"") -> str:
        length = self._length(marker or self.take(1))
        if not keep:
            self._skip(length)
            return ""
        if length > _MAX_TEXT_BYTES:
            raise OutlineError(f"a text of {length} bytes is where at most {_MAX_TEXT_BYTES} are expected")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise OutlineError("a text is not UTF-8") from error

    def _length(self, marker: bytes) -> int:
        if marker not in _INTEGERS:
            raise OutlineError("a length is where none should be, or is none")
        length = int(struct.unpack(_INTEGERS[marker], self.take(_SIZES[marker]))[0])
        if length < 0:
            raise OutlineError("a length is negative")
        return length

    def _skip(self, count: int) -> None:
        self._advance(count)
        self._file.seek(self.position)

    def _advance(self, count: int) -> None:
        self.position += count
        if self.position > self.size:
            raise OutlineError("it ends in the middle of a value")
