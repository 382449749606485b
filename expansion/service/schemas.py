# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Checks of Beam schemas that clients send, as protobuf: Beam's schema registry never sees them.

Beam keeps a class for every distinct schema it is shown, for ever, and decodes some logical types by running what is in
them, so a schema of a client is data here and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from apache_beam.portability.api import schema_pb2
from google.protobuf.message import DecodeError

from expansion.errors import Problem
from expansion.service.limits import DEFAULT_LIMITS

MAX_FIELDS = 10_000

# Logical types that are values. Not among them on purpose: beam:logical_type:python_callable:v1 and
# beam:logical:pythonsdk_any:v1, which are code, and the SDKs' own ones, which other SDKs can't decode.
VALUE_LOGICAL_TYPES = frozenset(
    f"beam:logical_type:{name}:v1"
    for name in (
        "micros_instant",
        "millis_instant",
        "decimal",
        "fixed_bytes",
        "var_bytes",
        "fixed_char",
        "var_char",
        "date",
        "timestamp",
    )
)


def parse(serialized: bytes) -> schema_pb2.Schema | None:
    """Reads a serialized schema; returns None if it is not one."""
    try:
        return schema_pb2.Schema.FromString(serialized)
    except DecodeError:
        return None


def check(
    schema: schema_pb2.Schema, logical_types: Collection[str], max_depth: int = DEFAULT_LIMITS.max_depth
) -> Iterator[Problem]:
    """Yields what is wrong with a schema.

    Args:
        schema: The schema.
        logical_types: URNs of the logical types that may occur in it.
        max_depth: Levels in which its types may be nested.

    Yields:
        One problem for each field that is refused, with its path in the schema; one for the whole schema if it is too
        large.
    """
    count = 0
    pending = [("", schema, 1)]
    while pending:
        path, level, depth = pending.pop()
        count += len(level.fields)
        if count > MAX_FIELDS:
            yield Problem("", f"too many fields; expected at most {MAX_FIELDS}")
            return
        for field in level.fields:
            field_path = f"{path}.{field.name}" if path else field.name
            yield from _check_type(field_path, field.type, depth, max_depth, logical_types, pending)


def _check_type(
    path: str,
    field_type: schema_pb2.FieldType,
    depth: int,
    max_depth: int,
    logical_types: Collection[str],
    pending: list[tuple[str, schema_pb2.Schema, int]],
) -> Iterator[Problem]:
    """Checks one field's type without its rows, which go to ``pending``."""
    if depth > max_depth:
        yield Problem(path, f"nested too deeply; expected at most {max_depth} levels")
        return
    kind = field_type.WhichOneof("type_info")
    if kind == "row_type":
        pending.append((path, field_type.row_type.schema, depth + 1))
    elif kind in ("array_type", "iterable_type"):
        element = getattr(field_type, kind).element_type
        yield from _check_type(path, element, depth + 1, max_depth, logical_types, pending)
    elif kind == "map_type":
        yield from _check_type(path, field_type.map_type.key_type, depth + 1, max_depth, logical_types, pending)
        yield from _check_type(path, field_type.map_type.value_type, depth + 1, max_depth, logical_types, pending)
    elif kind == "logical_type":
        urn = field_type.logical_type.urn
        if urn not in logical_types:
            yield Problem(
                path,
                f"a type that this service does not take; got {urn[:100]!r}; expected a plain Beam schema type "
                "(a number, BOOLEAN, STRING, BYTES, ARRAY, ITERABLE, MAP or ROW)",
            )
    elif kind is None:
        yield Problem(path, "no type")
