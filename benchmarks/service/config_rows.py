# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Configurations as the rows of schema transforms, with values of any types, as clients of any SDK can send them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from apache_beam.portability.api import external_transforms_pb2, schema_pb2

_ATOMIC = {bool: schema_pb2.BOOLEAN, int: schema_pb2.INT64, float: schema_pb2.DOUBLE, str: schema_pb2.STRING}


class MapOf(dict):  # type: ignore[type-arg]
    """A mapping that is encoded as a map, where others are rows."""


def payload_of(identifier: str, config: Mapping[str, Any]) -> bytes:
    """Returns the payload of a schema transform."""
    field_type, encoded = _encode(config)
    payload = external_transforms_pb2.SchemaTransformPayload(
        identifier=identifier, configuration_schema=field_type.row_type.schema, configuration_row=encoded
    )
    return payload.SerializeToString()


def _encode(value: Any) -> tuple[schema_pb2.FieldType, bytes]:
    """Returns the type of a value, and the value in it, as beam:coder:row:v1 has it."""
    if isinstance(value, MapOf):
        pairs = [(_encode(key), _encode(item)) for key, item in value.items()]
        kind = schema_pb2.MapType(key_type=pairs[0][0][0], value_type=pairs[0][1][0])
        entries = b"".join(key + item for (_, key), (_, item) in pairs)
        return schema_pb2.FieldType(map_type=kind), struct.pack(">i", len(pairs)) + entries
    if isinstance(value, Mapping):
        fields = {name: _encode(item) for name, item in value.items()}
        kind = schema_pb2.Schema(fields=[schema_pb2.Field(name=name, type=item[0]) for name, item in fields.items()])
        row = _varint(len(fields)) + b"\0" + b"".join(item[1] for item in fields.values())
        return schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=kind)), row
    if isinstance(value, list):
        items = [_encode(item) for item in value]
        kind = schema_pb2.ArrayType(element_type=items[0][0] if items else _encode("")[0])
        return schema_pb2.FieldType(array_type=kind), struct.pack(">i", len(items)) + b"".join(i[1] for i in items)
    return schema_pb2.FieldType(atomic_type=_ATOMIC[type(value)]), _encode_atomic(value)


def _encode_atomic(value: Any) -> bytes:
    if isinstance(value, bool):
        return bytes([value])
    if isinstance(value, int):
        return _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return struct.pack(">d", value)
    text = value.encode()
    return _varint(len(text)) + text


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
