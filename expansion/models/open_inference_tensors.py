# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From columns to the requests of the Open Inference Protocol, and from its answers to columns.

Numbers travel as "raw contents", the bytes that numpy has of them. They are joined to a request and found in an answer
without protobuf, which copies them several times: 17 MB take it 42 ms to write and 22 ms to read, and 1 ms this way.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract._gen.open_inference_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse
from expansion.contract.fields import NUMPY_DTYPES, VARIABLE_LENGTH, Field
from expansion.errors import SystemicError
from expansion.models.wire import Span, WireReader
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Blobs, Column, Dense
from expansion.tensors.results import declared_column

# Numbers of fields of requests and responses, and the wire type of those that have a length.
_RAW_INPUT_CONTENTS, _OUTPUTS, _RAW_OUTPUT_CONTENTS = 7, 5, 6
_WITH_LENGTH = 2
_LENGTH = struct.Struct("<I")  # of an element of BYTES, before the element

_Output = ModelInferResponse.InferOutputTensor


def wire_datatype(datatype: str) -> str:
    """Returns what the protocol calls a datatype."""
    return "BYTES" if datatype == "STRING" else datatype


def request(model: ModelInferRequest, tensors: Mapping[str, Dense | Blobs]) -> bytes:
    """Returns a serialized request.

    Args:
        model: The request without its inputs.
        tensors: The inputs, by name.
    """
    message = ModelInferRequest()
    message.CopyFrom(model)
    for name, column in tensors.items():
        message.inputs.add(name=name, datatype=wire_datatype(column.datatype), shape=[len(column), *column.shape])
    return b"".join([message.SerializeToString(), *_raw_fields(tensors.values())])


def columns(data: bytes, outputs: Sequence[Field], row_count: int) -> dict[str, Column]:
    """Returns the outputs of a serialized response; numbers are views of it.

    Args:
        data: The response.
        outputs: The outputs to return, as they are declared.
        row_count: Rows of the request.

    Raises:
        SystemicError: An output is not there, or is not what it is declared to be.
        ValueError: A text is no UTF-8, or a number does not fit into the declared datatype.
        WireError, DecodeError: It is no response.
    """
    found = {output.name: (output, raw) for output, raw in _read(data)}
    missing = [field.name for field in outputs if field.name not in found]
    if missing:
        raise SystemicError(f"the server returned no output {missing[0]!r}, but {sorted(found)}")
    return {field.name: _column(field, *found[field.name], row_count) for field in outputs}


def _raw_fields(tensors: Iterable[Dense | Blobs]) -> Iterator[bytes | memoryview]:
    """Yields the fields of the raw contents, in pieces."""
    for column in tensors:
        content = _packed(column) if isinstance(column, Blobs) else _little_endian(column.values)
        yield _varint(_RAW_INPUT_CONTENTS << 3 | _WITH_LENGTH) + _varint(content.nbytes)
        yield content.reshape(-1).view(np.uint8).data


def _little_endian(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _packed(column: Blobs) -> npt.NDArray[np.uint8]:
    """Returns each element after its length."""
    count, first = len(column.array), column.array.offset
    _, offsets_buffer, values_buffer = column.array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[first : first + count + 1] if count else np.zeros(1, np.int32)
    lengths = np.diff(offsets)
    packed = np.empty(int(lengths.sum()) + _LENGTH.size * count, np.uint8)
    # Where the length of each element is: behind all elements before it and their lengths.
    places = (offsets[:-1] - offsets[0])[:, None] + _LENGTH.size * np.arange(count)[:, None] + np.arange(_LENGTH.size)
    is_value = np.ones(len(packed), np.bool_)
    is_value[places] = False
    packed[places] = lengths.astype("<u4").view(np.uint8).reshape(count, _LENGTH.size)
    if lengths.any():
        packed[is_value] = np.frombuffer(values_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return packed


def _varint(number: int) -> bytes:
    """https://protobuf.dev/programming-guides/encoding/#varints."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _read(data: bytes) -> Iterator[tuple[_Output, memoryview | None]]:
    """Yields the outputs of a response with their raw contents, which are views of it."""
    reader, view = WireReader(io.BytesIO(data)), memoryview(data)
    fields = [(number, view[value.start : value.end]) for number, value in _with_length(reader)]
    outputs = [_Output.FromString(bytes(value)) for number, value in fields if number == _OUTPUTS]
    raw: list[memoryview | None] = [value for number, value in fields if number == _RAW_OUTPUT_CONTENTS]
    if raw and len(raw) != len(outputs):
        raise SystemicError(f"the server returned {len(outputs)} outputs and {len(raw)} raw contents")
    yield from zip(outputs, raw or [None] * len(outputs), strict=True)


def _with_length(reader: WireReader) -> Iterator[tuple[int, Span]]:
    """Yields the fields that are no numbers."""
    yield from ((number, value) for number, value in reader.fields(reader.whole_file()) if isinstance(value, Span))


def _column(field: Field, output: _Output, raw: memoryview | None, row_count: int) -> Column:
    got = f"output {field.name!r} is {output.datatype}{list(output.shape)} for {row_count} rows"
    is_text = field.datatype in VARIABLE_LENGTH
    if is_text != (output.datatype == "BYTES") or not (is_text or output.datatype in NUMPY_DTYPES):
        raise SystemicError(f"{got}; it is declared as {field}; declare what it is")
    shape = tuple(output.shape)
    if (shape[1:], field.shape) in (((1,), ()), ((), (1,))):  # one number a row, as a vector or not
        shape = (*shape[:1], *field.shape)
    count = int(np.prod(shape, dtype=np.int64))
    elements = _elements(output, raw, count)
    if len(elements) != count:
        raise SystemicError(f"{got}, and has {len(elements)} elements")
    if shape[:1] != (row_count,) or not fits(shape[1:], field.shape):
        raise SystemicError(f"{got}; it is declared as {field}; expected rows along the first axis")
    if not is_text:
        return declared_column(field, np.asarray(elements).reshape(shape), row_count)
    array = pa.array(elements, pa.binary())
    if field.datatype == "STRING":
        array.cast(pa.string())  # raises ArrowInvalid, a ValueError, for what is no UTF-8
    return Blobs(field.datatype, array, shape[1:], row_count)


def _elements(output: _Output, raw: memoryview | None, count: int) -> npt.NDArray[Any] | list[bytes]:
    """Returns the elements of an output, row-major."""
    if output.datatype == "BYTES":
        return list(output.contents.bytes_contents) if raw is None else _unpacked(raw, output.name)
    dtype = NUMPY_DTYPES[output.datatype]
    if raw is None:
        return np.array(_contents(output.contents, output.datatype), dtype)
    if len(raw) != count * dtype.itemsize:
        raise SystemicError(f"output {output.name!r} has {len(raw)} bytes for {count} elements of {output.datatype}")
    return np.frombuffer(raw, dtype.newbyteorder("<"))


def _contents(contents: InferTensorContents, datatype: str) -> Iterable[Any]:
    """Returns the elements of the field that the datatype has."""
    field = {
        "BOOL": "bool",
        "INT64": "int64",
        "UINT64": "uint64",
        "FP32": "fp32",
        "FP64": "fp64",
        **dict.fromkeys(("INT8", "INT16", "INT32"), "int"),
        **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint"),
    }
    # FP16 has none, and always comes as raw contents.
    return getattr(contents, f"{field[datatype]}_contents") if datatype in field else ()


def _unpacked(raw: memoryview, name: str) -> list[bytes]:
    """Returns elements that each stand behind their length."""
    elements, position = [], 0
    while position < len(raw):  # each length says where the next one is
        if position + _LENGTH.size > len(raw):
            raise SystemicError(f"output {name!r} is cut off")
        (length,) = _LENGTH.unpack_from(raw, position)
        position += _LENGTH.size
        elements.append(bytes(raw[position : position + length]))
        position += length
    if position != len(raw):
        raise SystemicError(f"output {name!r} is cut off")
    return elements
