# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TensorBatch, the wire format, as proto/beamml/expansion/v1/tensor.proto lays it out."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.message import DecodeError

from expansion.contract._gen.tensor_pb2 import TensorBatchBuffer, TensorBatchColumn, TensorBatchHeader
from expansion.contract.fields import NUMPY_DTYPES, VARIABLE_LENGTH, Field
from expansion.tensors.blobs import buffers_of
from expansion.tensors.columns import Blobs, Column, Columns, Dense, Indices, Ragged, RaggedBlobs
from expansion.tensors.ragged_shapes import Shapes

MAGIC = b"BMTB"
VERSION = 1
_PRELUDE = struct.Struct("<4sII")
_ALIGNMENT = 64


class Decoded(NamedTuple):
    """A TensorBatch as columns.

    Attributes:
        columns: Views of the TensorBatch's buffers.
        nulls: Indices of the rows that have no value, by the column; only columns that have such rows.
    """

    columns: Columns
    nulls: dict[str, Indices]


def decode(data: bytes) -> Decoded:
    """Reads a TensorBatch without copying its buffers.

    Raises:
        ValueError: The bytes are not a TensorBatch of version 1, or its header contradicts itself or its length.
    """
    header = _read_header(data)
    if header.rows < 0:
        raise ValueError(f"TensorBatch has {header.rows} rows")
    columns: dict[str, Column] = {}
    nulls: dict[str, Indices] = {}
    for column in header.columns:
        name = column.field.name
        if name in columns:
            raise ValueError(f"TensorBatch has two columns named {name!r}")
        columns[name] = _read_column(data, column, header.rows)
        if column.HasField("validity"):
            valid = _view(data, column.validity, np.dtype(np.uint8), (header.rows,), name)
            rows = np.flatnonzero(valid == 0)
            if len(rows):
                nulls[name] = rows
    return Decoded(Columns(columns, header.rows), nulls)


def _read_header(data: bytes) -> TensorBatchHeader:
    if len(data) < _PRELUDE.size:
        raise ValueError(f"not a TensorBatch: {len(data)} bytes are too few")
    magic, version, header_len = _PRELUDE.unpack_from(data)
    if magic != MAGIC:
        raise ValueError(f"not a TensorBatch: it begins with {magic!r}, not {MAGIC!r}")
    if version != VERSION:
        raise ValueError(
            f"TensorBatch of version {version}; this worker reads {VERSION}; use equal client and worker versions"
        )
    if _PRELUDE.size + header_len > len(data):
        raise ValueError(f"TensorBatch is cut off in its header ({len(data)} bytes)")
    header = TensorBatchHeader()
    try:
        header.ParseFromString(data[_PRELUDE.size : _PRELUDE.size + header_len])
    except DecodeError:
        raise ValueError("TensorBatch has an unreadable header") from None
    return header


def _read_column(data: bytes, column: TensorBatchColumn, rows: int) -> Column:
    field = Field.from_proto(column.field)
    if field.datatype in VARIABLE_LENGTH:
        return _read_blobs(data, column, field, rows)
    if field.datatype not in NUMPY_DTYPES:
        raise ValueError(f"TensorBatch column {field.name!r} has unknown datatype {field.datatype!r}")
    dtype = NUMPY_DTYPES[field.datatype].newbyteorder("<")
    if -1 not in field.shape:
        return Dense(_view(data, column.values, dtype, (rows, *field.shape), field.name))
    shapes, count = _read_shapes(data, column, field, rows)
    return Ragged(_view(data, column.values, dtype, (count,), field.name), shapes)


def _read_shapes(data: bytes, column: TensorBatchColumn, field: Field, rows: int) -> tuple[Shapes, int]:
    """Returns the shapes of rows that may differ in it, and the number of elements of all of them."""
    shapes = _view(data, column.shapes, np.dtype("<i4"), (rows, len(field.shape)), field.name)
    if (shapes < 0).any():
        raise ValueError(f"TensorBatch column {field.name!r} has a negative size")
    return shapes, int(np.prod(shapes, axis=1, dtype=np.int64).sum())


def _read_blobs(data: bytes, column: TensorBatchColumn, field: Field, rows: int) -> Blobs | RaggedBlobs:
    if -1 in field.shape:
        shapes, count = _read_shapes(data, column, field, rows)
        return RaggedBlobs(field.datatype, _read_elements(data, column, field, count), shapes)
    count = rows * int(np.prod(field.shape, dtype=np.int64))
    return Blobs(field.datatype, _read_elements(data, column, field, count), field.shape, rows)


def _read_elements(data: bytes, column: TensorBatchColumn, field: Field, count: int) -> pa.Array:
    offsets = _view(data, column.offsets, np.dtype("<i4"), (count + 1,), field.name) if count else np.zeros(1, np.int32)
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] > column.values.length:
        raise ValueError(f"TensorBatch column {field.name!r} has offsets out of order")
    values = _view(data, column.values, np.dtype(np.uint8), (int(offsets[-1]),), field.name)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.binary(), count, buffers)


def _view(
    data: bytes, buffer: TensorBatchBuffer, dtype: np.dtype[Any], shape: tuple[int, ...], name: str
) -> npt.NDArray[Any]:
    count = int(np.prod(shape, dtype=np.int64))
    size = count * dtype.itemsize
    if buffer.offset < 0 or buffer.length < size or buffer.offset + size > len(data):
        raise ValueError(f"TensorBatch column {name!r} is cut off: {size} bytes at {buffer.offset} of {len(data)}")
    return np.frombuffer(data, dtype, count, buffer.offset).reshape(shape) if count else np.empty(shape, dtype)


def encode(columns: Columns, nulls: Mapping[str, Indices] | None = None) -> bytes:
    """Writes columns as a TensorBatch. Dense columns of dtype object can't be written.

    Args:
        columns: The columns; zeros or empty elements in rows that have no value.
        nulls: Indices of the rows that have no value, by the column. Default: all have one.
    """
    header = TensorBatchHeader(rows=columns.row_count)
    parts: list[tuple[TensorBatchBuffer, npt.NDArray[Any]]] = []
    for name, column in columns.items():
        entry = header.columns.add(field=Field(name, column.datatype, column.shape).to_proto())
        buffers = dict(_buffers(column))
        if nulls and name in nulls:
            buffers["validity"] = np.ones(columns.row_count, np.uint8)
            buffers["validity"][nulls[name]] = 0
        for buffer_name, array in buffers.items():
            buffer = getattr(entry, buffer_name)
            buffer.length = array.nbytes
            parts.append((buffer, np.ascontiguousarray(array)))
    return _assemble(header, parts)


def _buffers(column: Column) -> Mapping[str, npt.NDArray[Any]]:
    if isinstance(column, Dense):
        return {"values": column.values.astype(column.values.dtype.newbyteorder("<"), copy=False)}
    if isinstance(column, Ragged):
        little_endian = column.values.astype(column.values.dtype.newbyteorder("<"), copy=False)
        return {"values": little_endian, "shapes": column.shapes.astype("<i4", copy=False)}
    if isinstance(column, RaggedBlobs):
        return {**_element_buffers(column.array), "shapes": column.shapes.astype("<i4", copy=False)}
    return _element_buffers(column.array)


def _element_buffers(array: pa.Array) -> Mapping[str, npt.NDArray[Any]]:
    values, offsets = buffers_of(array)
    return {"values": values, "offsets": offsets.astype("<i4", copy=False)}


def _assemble(header: TensorBatchHeader, parts: list[tuple[TensorBatchBuffer, npt.NDArray[Any]]]) -> bytes:
    # A buffer's place depends on the header's length, which depends on how long the places are as varints: repeat until
    # the header stays as long as it was. It can only grow, so a few rounds are enough.
    header_len = -1
    while header.ByteSize() != header_len:
        header_len = header.ByteSize()
        position = _PRELUDE.size + header_len
        for buffer, array in parts:
            buffer.offset = position + -position % _ALIGNMENT
            position = buffer.offset + array.nbytes
    chunks: list[Any] = [_PRELUDE.pack(MAGIC, VERSION, header_len), header.SerializeToString()]
    position = _PRELUDE.size + header_len
    for buffer, array in parts:
        chunks.append(bytes(buffer.offset - position))
        chunks.append(array.reshape(-1).view(np.uint8))
        position = buffer.offset + array.nbytes
    return b"".join(chunks)
