# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Beam schemas and columns speak of the same fields."""

from apache_beam.portability.api import schema_pb2

from expansion.contract.fields import DATATYPES, Field
from expansion.tensors.schemas import error_schema, fields_of, schema_with

ATOMIC = schema_pb2.AtomicType


def field_type(atomic, depth=0):
    kind = schema_pb2.FieldType(atomic_type=atomic)
    for _ in range(depth):
        kind = schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=kind))
    return kind


def test_every_datatype_but_uint64_has_a_place_in_a_schema():
    fields = {name: Field(name, name, (2, 3)) for name in sorted(DATATYPES - {"UINT64"})}
    schema = schema_with(schema_pb2.Schema(), fields)
    assert [field.name for field in schema.fields] == list(fields)
    assert (
        schema.fields[0].type.array_type.element_type.array_type.element_type.WhichOneof("type_info") == "atomic_type"
    )


def test_arrays_can_be_features_and_nested_rows_and_maps_can_not():
    row = schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=schema_pb2.Schema()))
    schema = schema_pb2.Schema(
        fields=[
            schema_pb2.Field(name="a", type=field_type(ATOMIC.DOUBLE)),
            schema_pb2.Field(name="b", type=field_type(ATOMIC.FLOAT, 2)),
            schema_pb2.Field(name="c", type=row),
            schema_pb2.Field(name="d", type=schema_pb2.FieldType(map_type=schema_pb2.MapType())),
            schema_pb2.Field(name="e", type=field_type(ATOMIC.STRING)),
            schema_pb2.Field(name="f", type=field_type(ATOMIC.STRING, 1)),
        ]
    )
    expected = [
        Field("a", "FP64"),
        Field("b", "FP32", (-1, -1)),
        Field("e", "STRING"),
        Field("f", "STRING", (-1,)),
    ]
    assert list(fields_of(schema).values()) == expected


def test_added_fields_come_behind_the_inputs_fields_which_stay_as_they_are():
    nullable = schema_pb2.FieldType(nullable=True, atomic_type=ATOMIC.STRING)
    schema = schema_pb2.Schema(id="x", fields=[schema_pb2.Field(name="a", type=nullable, id=7, encoding_position=5)])
    result = schema_with(schema, {"score": Field("score", "FP32"), "top": Field("top", "INT64", (3,))})
    assert [field.name for field in result.fields] == ["a", "score", "top"]
    assert result.fields[0].type == nullable
    assert [field.encoding_position for field in result.fields] == [0, 1, 2]
    assert not result.id


def test_error_rows_hold_the_element_and_four_texts():
    schema = error_schema(schema_pb2.Schema(fields=[schema_pb2.Field(name="a", type=field_type(ATOMIC.DOUBLE))]))
    assert [field.name for field in schema.fields] == ["element", "stage", "error_type", "message", "model_id"]
    assert schema.fields[0].type.row_type.schema.fields[0].name == "a"


def test_error_rows_end_with_what_says_which_model_it_was():
    schema = error_schema(schema_pb2.Schema(), ["model_id", "model_version"])
    assert [field.name for field in schema.fields][-3:] == ["message", "model_id", "model_version"]
