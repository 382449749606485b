# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Configuration rows: a SchemaTransformPayload as plain Python values.

This reads the encoding of beam:coder:row:v1 itself. Beam's RowCoder would register a class for every distinct schema,
for ever, and would run code for some types; and it does not bound what it reads. The encoding is described in Beam's
beam_runner_api.proto, at StandardCoders.ROW and the coders that it names.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from apache_beam.portability.api import schema_pb2

from expansion.contract import problems
from expansion.errors import ConfigError, Problem
from expansion.service import schemas
from expansion.service.limits import DEFAULT_LIMITS

# Nulls cost a bit and are a value each, so the size of a request alone does not bound the work.
MAX_VALUES = 1_000_000


class _MalformedError(Exception):
    """The bytes are no row of the schema, or too large a one."""


def decode(schema: schema_pb2.Schema, encoded: bytes, max_depth: int = DEFAULT_LIMITS.max_depth) -> dict[str, Any]:
    """Decodes a row.

    Args:
        schema: The row's schema.
        encoded: The row, encoded with beam:coder:row:v1.
        max_depth: Levels in which the schema's types may be nested.

    Returns:
        The fields that are not null, by name: rows and maps as dicts, arrays and iterables as lists, the rest as int,
        float, bool, str and bytes.

    Raises:
        ConfigError: If the schema has a type that a configuration can't have, or the bytes are not such a row.
    """
    found = list(problems.at("configuration_schema", schemas.check(schema, logical_types=(), max_depth=max_depth)))
    if found:
        raise ConfigError(found)
    reader = _Reader(encoded)
    try:
        values = _row(schema, reader)
    except (_MalformedError, UnicodeDecodeError) as error:
        raise ConfigError(
            [Problem("configuration_row", f"not a row of configuration_schema: {error}; send it with a RowCoder")]
        ) from None
    if reader.left:
        reason = f"{reader.left} bytes more than configuration_schema describes"
        raise ConfigError([Problem("configuration_row", reason)])
    return values


class _Reader:
    """Reads numbers and runs of bytes, never past the end."""

    def __init__(self, encoded: bytes):
        self._encoded = encoded
        self._position = 0
        self._values = 0

    @property
    def left(self) -> int:
        return len(self._encoded) - self._position

    def read(self, length: int) -> bytes:
        if not 0 <= length <= self.left:
            raise _MalformedError(f"{length} bytes announced, {self.left} left")
        start = self._position
        self._position += length
        return self._encoded[start : self._position]

    def varint(self) -> int:
        """Reads a base-128 varint as an unsigned 64-bit integer."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF
        raise _MalformedError("a number longer than 10 bytes")

    def number(self, layout: str) -> Any:
        """Reads one big-endian number of a struct layout."""
        return struct.unpack(f">{layout}", self.read(struct.calcsize(layout)))[0]

    def count(self, announced: int) -> int:
        """Checks a number of elements, each of which takes at least one byte."""
        if not 0 <= announced <= self.left:
            raise _MalformedError(f"{announced} elements announced, {self.left} bytes left")
        return self.spend(announced)

    def spend(self, values: int) -> int:
        """Counts values, null or not."""
        self._values += values
        if self._values > MAX_VALUES:
            raise _MalformedError(f"more than {MAX_VALUES} values")
        return values


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


_ATOMIC: dict[int, Callable[[_Reader], Any]] = {
    schema_pb2.BYTE: lambda reader: reader.number("b"),
    schema_pb2.INT16: lambda reader: reader.number("h"),
    schema_pb2.INT32: lambda reader: _signed(reader.varint(), 32),
    schema_pb2.INT64: lambda reader: _signed(reader.varint(), 64),
    schema_pb2.FLOAT: lambda reader: reader.number("f"),
    schema_pb2.DOUBLE: lambda reader: reader.number("d"),
    schema_pb2.BOOLEAN: lambda reader: reader.read(1) != b"\0",
    schema_pb2.BYTES: lambda reader: reader.read(reader.varint()),
    schema_pb2.STRING: lambda reader: reader.read(reader.varint()).decode("utf-8"),
}


def _row(schema: schema_pb2.Schema, reader: _Reader) -> dict[str, Any]:
    positions = [field.encoding_position for field in schema.fields]
    if schema.encoding_positions_set and positions != list(range(len(positions))):
        # Java and Python number the null bits of reordered fields differently, so such a row has no one meaning.
        raise _MalformedError("fields reordered by encoding_position")
    count = reader.spend(reader.varint())
    if count != len(schema.fields):
        raise _MalformedError(f"{count} fields encoded, {len(schema.fields)} in the schema")
    null_bytes = reader.varint()
    if null_bytes > (count + 7) // 8:  # a bit a field; and shifting an integer costs its whole length for each of them
        raise _MalformedError(f"{null_bytes} bytes of null bits for {count} fields")
    nulls = int.from_bytes(reader.read(null_bytes), "little")
    return {
        field.name: _value(field.type, reader) for index, field in enumerate(schema.fields) if not nulls >> index & 1
    }


def _value(field_type: schema_pb2.FieldType, reader: _Reader) -> Any:
    kind = field_type.WhichOneof("type_info")
    if kind == "atomic_type":
        read = _ATOMIC.get(field_type.atomic_type)
        if read is None:
            raise _MalformedError(f"atomic type {field_type.atomic_type} is unknown")
        return read(reader)
    if kind == "row_type":
        return _row(field_type.row_type.schema, reader)
    if kind == "array_type":
        return _elements(field_type.array_type.element_type, reader)
    if kind == "iterable_type":
        return _elements(field_type.iterable_type.element_type, reader)
    entries = field_type.map_type
    if entries.key_type.WhichOneof("type_info") != "atomic_type":  # no dict has lists or dicts as keys
        raise _MalformedError("a map whose keys are no plain values")
    return {
        _nullable(entries.key_type, reader): _nullable(entries.value_type, reader)
        for _ in range(reader.count(reader.number("i")))
    }


def _elements(element_type: schema_pb2.FieldType, reader: _Reader) -> list[Any]:
    count = reader.number("i")
    if count >= 0:
        return [_nullable(element_type, reader) for _ in range(reader.count(count))]
    # -1: the encoder did not know the length and wrote counted runs, the last one empty.
    elements: list[Any] = []
    while count := reader.count(reader.varint()):
        elements.extend(_nullable(element_type, reader) for _ in range(count))
    return elements


def _nullable(field_type: schema_pb2.FieldType, reader: _Reader) -> Any:
    """Reads an element or map entry, whose nulls are bytes before the value (a row's are bits before all values)."""
    if field_type.nullable and reader.read(1) == b"\0":
        return None
    return _value(field_type, reader)
