# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Beam schemas ⇄ fields: which column a field of a row becomes, and which field of a row a column becomes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from apache_beam.portability.api import schema_pb2

from expansion.contract.fields import Field, Fields

_Atomic = schema_pb2.AtomicType

# Beam schemas have no unsigned and no half-precision types: those go out as the next type that holds every value.
# UINT64 has none: predictions of it are refused at expansion.
_TO_ATOMIC: Mapping[str, int] = {
    "BOOL": _Atomic.BOOLEAN,
    "INT8": _Atomic.BYTE,
    "INT16": _Atomic.INT16,
    "INT32": _Atomic.INT32,
    "INT64": _Atomic.INT64,
    "UINT8": _Atomic.INT16,
    "UINT16": _Atomic.INT32,
    "UINT32": _Atomic.INT64,
    "FP16": _Atomic.FLOAT,
    "FP32": _Atomic.FLOAT,
    "FP64": _Atomic.DOUBLE,
    "STRING": _Atomic.STRING,
    "BYTES": _Atomic.BYTES,
}
_FROM_ATOMIC: Mapping[int, str] = {
    _Atomic.BOOLEAN: "BOOL",
    _Atomic.BYTE: "INT8",
    _Atomic.INT16: "INT16",
    _Atomic.INT32: "INT32",
    _Atomic.INT64: "INT64",
    _Atomic.FLOAT: "FP32",
    _Atomic.DOUBLE: "FP64",
    _Atomic.STRING: "STRING",
    _Atomic.BYTES: "BYTES",
}


def fields_of(schema: schema_pb2.Schema) -> dict[str, Field]:
    """Returns the fields of a row that can be columns: atomic types, and arrays of them of any depth.

    An array's dimensions are -1. Other fields (rows, maps, logical types) are left out: they can't be features, but
    they come back in the output row all the same.
    """
    fields = (_field_of(field) for field in schema.fields)
    return {field.name: field for field in fields if field is not None}


def _field_of(field: schema_pb2.Field) -> Field | None:
    kind, depth = field.type, 0
    while kind.WhichOneof("type_info") in ("array_type", "iterable_type"):
        kind = getattr(kind, kind.WhichOneof("type_info")).element_type
        depth += 1
    datatype = _FROM_ATOMIC.get(kind.atomic_type) if kind.WhichOneof("type_info") == "atomic_type" else None
    return Field(field.name, datatype, (-1,) * depth) if datatype else None


def schema_with(schema: schema_pb2.Schema, added: Fields, dropped: Collection[str] = frozenset()) -> schema_pb2.Schema:
    """Returns a schema with the fields of another, some replaced, others dropped, and more behind them.

    Args:
        schema: The other one.
        added: What is replaced in its place, or added behind.
        dropped: Names of fields that are left out.

    Returns:
        The schema, without an id: who registers it gives it one.
    """
    result = schema_pb2.Schema(fields=[field for field in schema.fields if field.name not in dropped])
    places = {field.name: field for field in result.fields}
    for field in added.values():
        place = places.get(field.name) or result.fields.add(name=field.name)
        place.type.CopyFrom(_type_of(field))
    for position, field in enumerate(result.fields):
        field.id = field.encoding_position = position
    return result


def _type_of(field: Field) -> schema_pb2.FieldType:
    kind = schema_pb2.FieldType(atomic_type=_TO_ATOMIC[field.datatype])
    for _ in field.shape:
        kind = schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=kind))
    return kind


def error_schema(schema: schema_pb2.Schema, model_columns: Sequence[str] = ("model_id",)) -> schema_pb2.Schema:
    """Returns the schema of error rows for input rows of a schema: element, stage, error_type, message, model_id.

    Args:
        schema: The schema of the input rows.
        model_columns: Names of the columns that say which model it was.
    """
    element = schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=schema))
    texts = {name: Field(name, "STRING") for name in ("stage", "error_type", "message", *model_columns)}
    return schema_with(schema_pb2.Schema(fields=[schema_pb2.Field(name="element", type=element)]), texts)
