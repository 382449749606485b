# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import contextlib
import itertools
import struct
from typing import Any, NamedTuple, Optional

import pytest
from apache_beam.coders import RowCoder
from apache_beam.portability.api import schema_pb2
from apache_beam.typehints.schema_registry import SCHEMA_REGISTRY
from apache_beam.typehints.schemas import named_tuple_from_schema, named_tuple_to_schema
from hypothesis import given
from hypothesis import strategies as st

from expansion.errors import ConfigError
from expansion.service import rows, schemas
from expansion.service.limits import DEFAULT_LIMITS

_IDS = itertools.count()


def atomic(kind: int, nullable: bool = False) -> schema_pb2.FieldType:
    return schema_pb2.FieldType(atomic_type=kind, nullable=nullable)


def array(element: schema_pb2.FieldType) -> schema_pb2.FieldType:
    return schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=element))


def iterable(element: schema_pb2.FieldType) -> schema_pb2.FieldType:
    return schema_pb2.FieldType(iterable_type=schema_pb2.IterableType(element_type=element))


def mapping(key: schema_pb2.FieldType, value: schema_pb2.FieldType) -> schema_pb2.FieldType:
    return schema_pb2.FieldType(map_type=schema_pb2.MapType(key_type=key, value_type=value))


def row(nullable: bool = True, **fields: schema_pb2.FieldType) -> schema_pb2.FieldType:
    return schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=schema_of(**fields)), nullable=nullable)


def schema_of(**fields: schema_pb2.FieldType) -> schema_pb2.Schema:
    return schema_pb2.Schema(
        id=f"s{next(_IDS)}",
        fields=[schema_pb2.Field(name=name, type=kind) for name, kind in fields.items()],
    )


STRING = atomic(schema_pb2.STRING)
INT64 = atomic(schema_pb2.INT64)


def encode(schema: schema_pb2.Schema, *values: Any) -> bytes:
    """Encodes with Beam's own coder."""
    return RowCoder(schema).encode(named_tuple_from_schema(schema)(*values))


def problem_of(schema: schema_pb2.Schema, encoded: bytes) -> str:
    with pytest.raises(ConfigError) as raised:
        rows.decode(schema, encoded)
    return str(raised.value)


INT_RANGES = {schema_pb2.BYTE: 8, schema_pb2.INT16: 16, schema_pb2.INT32: 32, schema_pb2.INT64: 64}


@pytest.mark.parametrize(("kind", "bits"), INT_RANGES.items(), ids=["BYTE", "INT16", "INT32", "INT64"])
@pytest.mark.parametrize("value", [0, 1, -1, "max", "min"])
def test_integers_come_out_as_beams_coder_put_them_in(kind, bits, value):
    value = {"max": 2 ** (bits - 1) - 1, "min": -(2 ** (bits - 1))}.get(value, value)
    schema = schema_of(value=atomic(kind))
    # Beam's Python coder writes unsigned bytes only; the format's are signed.
    encoded = b"\x01\x00" + struct.pack("b", value) if kind == schema_pb2.BYTE else encode(schema, value)
    assert rows.decode(schema, encoded) == {"value": value}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (schema_pb2.FLOAT, 0.5),
        (schema_pb2.DOUBLE, 0.1),
        (schema_pb2.DOUBLE, float("-inf")),
        (schema_pb2.BOOLEAN, True),
        (schema_pb2.BOOLEAN, False),
        (schema_pb2.STRING, ""),
        (schema_pb2.STRING, "größer"),
        (schema_pb2.BYTES, b"\x00\xff"),
    ],
)
def test_values_come_out_as_beams_coder_put_them_in(kind, value):
    schema = schema_of(value=atomic(kind))
    assert rows.decode(schema, encode(schema, value)) == {"value": value}


@given(st.lists(st.one_of(st.none(), st.text()), max_size=20))
def test_any_mixture_of_nulls_comes_out_as_beams_coder_put_it_in(values):
    schema = schema_of(**{f"f{index}": atomic(schema_pb2.STRING, nullable=True) for index in range(len(values))})
    expected = {f"f{index}": value for index, value in enumerate(values) if value is not None}
    assert rows.decode(schema, encode(schema, *values)) == expected


def test_nested_rows_arrays_and_maps_become_dicts_and_lists():
    model = row(onnx=row(uri=STRING), sklearn=row(uri=STRING))
    schema = schema_of(model=model, labels=array(STRING), names=mapping(STRING, INT64), shape=array(INT64))
    inner = named_tuple_from_schema(model.row_type.schema)
    onnx = named_tuple_from_schema(model.row_type.schema.fields[0].type.row_type.schema)
    encoded = encode(schema, inner(onnx("a.onnx"), None), ["a", "b"], {"x": 1}, [])
    assert rows.decode(schema, encoded) == {
        "model": {"onnx": {"uri": "a.onnx"}},
        "labels": ["a", "b"],
        "names": {"x": 1},
        "shape": [],
    }


def test_nulls_in_arrays_are_kept_for_the_contract_to_refuse():
    schema = schema_of(values=array(atomic(schema_pb2.INT64, nullable=True)))
    assert rows.decode(schema, encode(schema, [1, None])) == {"values": [1, None]}


def test_iterables_of_unknown_length_are_read():
    schema = schema_of(values=iterable(INT64))
    assert rows.decode(schema, encode(schema, (index for index in range(70_000)))) == {"values": list(range(70_000))}


def test_a_row_that_python_infers_from_a_named_tuple_is_read():
    config = NamedTuple("Config", [("uri", str), ("size", Optional[int])])  # noqa: UP014, UP045 - Beam reads no strings
    schema = named_tuple_to_schema(config)
    assert rows.decode(schema, RowCoder(schema).encode(config("a", None))) == {"uri": "a"}


def test_any_truncation_is_refused():
    schema = schema_of(name=STRING, values=array(INT64), names=mapping(STRING, INT64))
    encoded = encode(schema, "abc", [1, 2, 300], {"x": 1})
    for length in range(len(encoded)):
        assert "not a row of configuration_schema" in problem_of(schema, encoded[:length])


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_plainly(encoded):
    schema = schema_of(
        name=atomic(schema_pb2.STRING, nullable=True), values=iterable(INT64), inner=row(x=atomic(schema_pb2.DOUBLE))
    )
    with contextlib.suppress(ConfigError):
        rows.decode(schema, encoded)


def test_bytes_behind_the_row_are_refused():
    schema = schema_of(name=STRING)
    assert "1 bytes more" in problem_of(schema, encode(schema, "a") + b"\x00")


def test_another_number_of_fields_than_the_schema_has_is_refused():
    assert "2 fields encoded, 1 in the schema" in problem_of(schema_of(x=INT64), b"\x02\x00\x01\x01")


@pytest.mark.parametrize("size", [b"\x7f\xff\xff\xff", b"\x00\x10\x00\x00"])
def test_a_row_that_announces_more_elements_than_it_holds_is_refused_at_once(size):
    assert "elements announced" in problem_of(schema_of(values=array(INT64)), b"\x01\x00" + size)


def test_a_row_of_countless_nulls_is_refused():
    columns = {f"f{index}": atomic(schema_pb2.INT64, nullable=True) for index in range(5_000)}
    schema = schema_of(values=array(row(nullable=False, **columns)))
    all_null = b"\x88\x27" + b"\xf1\x04" + b"\xff" * 625
    encoded = b"\x01\x00" + struct.pack(">i", 1_000) + all_null * 1_000
    assert f"more than {rows.MAX_VALUES} values" in problem_of(schema, encoded)


def test_more_null_bits_than_fields_are_refused():
    schema = schema_of(x=atomic(schema_pb2.INT64, nullable=True))
    assert rows.decode(schema, b"\x01\x01\x01") == {}
    assert "2 bytes of null bits for 1 fields" in problem_of(schema, b"\x01\x02\x01\x00")


def test_reordered_fields_are_refused():
    schema = schema_of(x=INT64, y=INT64)
    schema.encoding_positions_set = True
    schema.fields[0].encoding_position = 1
    assert "reordered" in problem_of(schema, b"\x02\x00\x01\x01")


def test_a_schema_that_is_too_deep_is_refused():
    kind = STRING
    for _ in range(DEFAULT_LIMITS.max_depth):
        kind = row(inner=kind)
    assert "nested too deeply" in problem_of(schema_of(model=kind), b"")


def test_a_schema_with_too_many_fields_is_refused():
    schema = schema_of(**{f"f{index}": INT64 for index in range(schemas.MAX_FIELDS + 1)})
    assert "too many fields" in problem_of(schema, b"")


def test_a_field_without_a_type_is_refused():
    assert "configuration_schema.x: no type" in problem_of(schema_of(x=schema_pb2.FieldType()), b"\x01\x00")


def registered() -> int:
    return len(SCHEMA_REGISTRY.by_id) + len(SCHEMA_REGISTRY.by_typing)


def test_200_distinct_schemas_leave_nothing_in_beams_registry():
    before = registered()
    for index in range(200):
        schema = schema_pb2.Schema(fields=[schema_pb2.Field(name=f"f{index}", type=STRING)])
        assert rows.decode(schema, b"\x01\x00\x01a") == {f"f{index}": "a"}
    assert registered() == before


def test_beams_own_coder_would_leave_them_there():
    before = registered()
    named_tuple_from_schema(schema_pb2.Schema(id="control", fields=[schema_pb2.Field(name="control", type=STRING)]))
    assert registered() > before


def test_a_map_whose_keys_no_mapping_can_have_is_refused():
    flags = schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=schema_pb2.FieldType(atomic_type=7)))
    entries = schema_pb2.MapType(key_type=flags, value_type=schema_pb2.FieldType(atomic_type=7))
    schema = schema_pb2.Schema(fields=[schema_pb2.Field(name="model", type=schema_pb2.FieldType(map_type=entries))])
    with pytest.raises(ConfigError, match="keys are no plain values"):
        rows.decode(schema, b"\1\0" + struct.pack(">ii", 1, 0) + b"\1")
