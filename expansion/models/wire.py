# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Walks protobuf messages in a seekable file without loading them.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LONGEST_HEAD = 20  # a tag and a length, each a varint of at most 10 bytes


class WireError(Exception):
    """The bytes are no protobuf message, or stop in the middle of one."""


class Span(NamedTuple):
    """Where the content of a length-delimited field lies in the file: bytes start to end."""

    start: int
    end: int


class WireReader:
    """Reads fields of messages.

    Args:
        file: Seekable.
        max_fields: Number of fields to visit, at most: a bound on the time that a hostile file can take.
    """

    def __init__(self, file: BinaryIO, max_fields: int = 2_000_000):
        self._file = file
        self._fields_left = max_fields

    def whole_file(self) -> Span:
        """Returns the span of the whole file."""
        return Span(0, self._file.seek(0, 2))

    def fields(self, message: Span) -> Iterator[tuple[int, int | Span]]:
        """Yields the number and value of each field of a message: an int (varint or fixed, as unsigned) or a Span.

        The content of a length-delimited field is not read.

        Raises:
            WireError: The bytes are no message, or there are too many fields.
        """
        position = message.start
        while position < message.end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise WireError("it has too many fields")
            head = self._read(position, min(_LONGEST_HEAD, message.end - position))
            tag, size = _varint(head, 0)
            number, wire_type = tag >> 3, tag & 7
            value: int | Span
            if wire_type == _VARINT:
                value, size = _varint(head, size)
            elif wire_type in (_FIXED64, _FIXED32):
                width = 8 if wire_type == _FIXED64 else 4
                value = int.from_bytes(head[size : size + width], "little")
                size += width
            elif wire_type == _LENGTH:
                length, size = _varint(head, size)
                value = Span(position + size, position + size + length)
                size += length
            else:
                raise WireError(f"wire type {wire_type} is unknown")
            if number == 0:
                raise WireError("field number 0 is not allowed")
            position += size
            if position > message.end:
                raise WireError("it ends in the middle of a field")
            yield number, value

    def content(self, span: int | Span, max_bytes: int) -> bytes:
        """Returns the content of a length-delimited field.

        Raises:
            WireError: The field is a number, or longer than ``max_bytes``.
        """
        if isinstance(span, int):
            raise WireError("a number is where a length-delimited field should be")
        if span.end - span.start > max_bytes:
            raise WireError(f"a field of {span.end - span.start} bytes is where at most {max_bytes} are expected")
        return self._read(span.start, span.end - span.start)

    def text(self, span: int | Span) -> str:
        """Returns the content of a string field, of at most 4096 bytes.

        Raises:
            WireError: It is no text, or longer.
        """
        try:
            return self.content(span, 4096).decode()
        except UnicodeDecodeError as error:
            raise WireError("a name is not UTF-8") from error

    def _read(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        content = self._file.read(size)
        if len(content) < size:
            raise WireError("it ends in the middle of a field")
        return content


def message(value: int | Span) -> Span:
    """Returns the value of a field that is a message.

    Raises:
        WireError: It is a number.
    """
    if isinstance(value, int):
        raise WireError("a number is where a message should be")
    return value


def number(value: int | Span) -> int:
    """Returns the value of a field that is an int64.

    Raises:
        WireError: It is length-delimited.
    """
    if isinstance(value, int):
        return value - (1 << 64) if value >= 1 << 63 else value
    raise WireError("a length-delimited field is where a number should be")


def _varint(head: bytes, position: int) -> tuple[int, int]:
    """Returns the varint at a position and the position behind it."""
    value = 0
    for index, byte in enumerate(head[position : position + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & ((1 << 64) - 1), position + index + 1
    raise WireError("it ends in the middle of a number, or the number is too long")
