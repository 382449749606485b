# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Requests that are deeper or larger from step to step: those within the limits get graphs, the others clear errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.portability.api import schema_pb2
from google.protobuf.internal.encoder import _VarintBytes

from benchmarks.service.answers import Answer
from benchmarks.service.requests import ExpansionRequest
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.service.limits import DEFAULT_LIMITS
from expansion.service.requests import ROW_CODER
from expansion.service.schemas import MAX_FIELDS

_DEPTHS = (1, 2, 4, 8, 12, 15, 16, 17, 24, 32, 64, 1000)
_KIB = 1 << 10
_FIELD_TYPE = schema_pb2.FieldType


def steps(request: ExpansionRequest) -> Iterator[tuple[str, ExpansionRequest, Callable[[Answer], str]]]:
    """Yields 40 steps: what it is, the request, and what says what is wrong with the answer."""
    limits = DEFAULT_LIMITS
    for depth in _DEPTHS:
        yield f"coders nested {depth} times", _with_coders(request, depth), _as_expected(depth <= limits.max_depth)
    for depth in (1, 2, 4, 8, 14, 15, 16, 20, 30, 200):  # the field itself is a level
        yield f"a schema nested {depth} times", _with_schema(request, depth), _as_expected(depth < limits.max_depth)
    for count in (100, 1000, 5000, 9000, 10_001, 30_000):
        yield f"{count} components", _with_components(request, count), _as_expected(count < limits.max_components)
    for size in (1 * _KIB, 64 * _KIB, 1024 * _KIB, 3500 * _KIB, 4200 * _KIB, 16_384 * _KIB):
        yield f"{size >> 10} KiB", _with_labels(request, size), _as_expected(size < limits.max_request_bytes)
    for count in (10, 100, 1000, 3000, MAX_FIELDS + 1, 5 * MAX_FIELDS):
        yield f"{count} columns", _with_columns(request, count), _as_expected(count <= MAX_FIELDS)


def _as_expected(is_within: bool) -> Callable[[Answer], str]:
    def judge(answer: Answer) -> str:
        if is_within:
            return f"refused: {answer.error}" if answer.error else ""
        return "" if answer.error else "expanded"

    return judge


def _copy(request: ExpansionRequest) -> ExpansionRequest:
    copied = ExpansionRequest()
    copied.CopyFrom(request)
    return copied


def _with_coders(request: ExpansionRequest, depth: int) -> ExpansionRequest:
    deep = _copy(request)
    for level in range(depth):
        coder = deep.components.coders[f"level {level}"]
        coder.spec.urn = "beam:coder:iterable:v1" if level else "beam:coder:bytes:v1"
        coder.component_coder_ids.extend([f"level {level - 1}"] if level else [])
    return deep


def _with_schema(request: ExpansionRequest, depth: int) -> ExpansionRequest:
    """Adds a column of arrays of rows of arrays …, as bytes: protobuf itself makes no message that is so deep."""
    encoded = schema_pb2.FieldType(atomic_type=schema_pb2.STRING).SerializeToString()
    for level in range(depth):
        if level % 2:
            encoded = _field(_FIELD_TYPE, "array_type", _field(schema_pb2.ArrayType, "element_type", encoded))
        else:
            named = schema_pb2.Field(name=f"level{level}").SerializeToString()
            schema = _field(schema_pb2.Schema, "fields", named + _field(schema_pb2.Field, "type", encoded))
            encoded = _field(_FIELD_TYPE, "row_type", _field(schema_pb2.RowType, "schema", schema))
    deep = schema_pb2.Field(name="deep").SerializeToString() + _field(schema_pb2.Field, "type", encoded)
    return _with_encoded(request, _field(schema_pb2.Schema, "fields", deep))


def _field(message: Any, name: str, content: bytes) -> bytes:
    """Returns a field of a message, which holds another message, as protobuf writes it."""
    tag = message.DESCRIPTOR.fields_by_name[name].number << 3 | 2
    return _VarintBytes(tag) + _VarintBytes(len(content)) + content


def _with_columns(request: ExpansionRequest, count: int) -> ExpansionRequest:
    double = schema_pb2.FieldType(atomic_type=schema_pb2.DOUBLE)
    more = schema_pb2.Schema(
        fields=[schema_pb2.Field(name=f"column{index}", type=double) for index in range(count - 3)]
    )
    return _with_encoded(request, more.SerializeToString())


def _with_encoded(request: ExpansionRequest, fields: bytes) -> ExpansionRequest:
    """Adds encoded fields to the schema of the input: messages that are put together are merged."""
    wide = _copy(request)
    for coder in wide.components.coders.values():
        if coder.spec.urn == ROW_CODER:
            coder.spec.payload += fields
    return wide


def _with_components(request: ExpansionRequest, count: int) -> ExpansionRequest:
    many = _copy(request)
    there = sum(len(getattr(many.components, field.name)) for field in many.components.DESCRIPTOR.fields)
    for index in range(count - there):
        many.components.coders[f"coder {index}"].spec.urn = "beam:coder:varint:v1"
    return many


def _with_labels(request: ExpansionRequest, size: int) -> ExpansionRequest:
    large = _copy(request)
    config = RunInferenceConfig.FromString(large.transform.spec.payload)
    config.post_hooks[0].labels.labels.extend(f"{index:014d}" for index in range(size // 16))
    large.transform.spec.payload = config.SerializeToString()
    return large
