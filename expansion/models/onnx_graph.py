# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The signature of an ONNX model, read from the file without its weights and without the onnx package.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from expansion.contract.fields import Field
from expansion.errors import ConfigError, Problem
from expansion.files import looks_like
from expansion.models.signature import Signature
from expansion.models.wire import Span, WireError, WireReader, message, number

_DATATYPES = {
    1: "FP32",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "STRING",
    9: "BOOL",
    10: "FP16",
    11: "FP64",
    12: "UINT32",
    13: "UINT64",
}
_UNSUPPORTED = {14: "COMPLEX64", 15: "COMPLEX128", 16: "BFLOAT16"}
_DYNAMIC = "export it with a dynamic batch dimension (PyTorch: dynamic_axes or dynamic_shapes; skl2onnx: None)"


@dataclass(frozen=True)
class Graph:
    """What is known of an ONNX model.

    Attributes:
        signature: Inputs and outputs.
        row_by_row: Whether the batch dimension is fixed to 1, so that rows must be run one by one.
        problems: Why the model can't be served; empty when it can.
    """

    signature: Signature
    row_by_row: bool
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Value:
    """An input or output of the graph: a tensor if kind is "tensor". Dimensions are None where the rank is unknown."""

    name: str
    kind: str
    element_type: int = 0
    dimensions: tuple[int, ...] | None = None

    @property
    def datatype(self) -> str:
        return _DATATYPES.get(self.element_type, "")

    @property
    def element_type_name(self) -> str:
        return self.datatype or _UNSUPPORTED.get(self.element_type, f"element type {self.element_type}")


def read_graph(file: BinaryIO) -> Graph:
    """Reads the inputs and outputs of the model in a seekable file.

    Raises:
        WireError: The file holds no ONNX model, or not the whole of it.
    """
    reader = WireReader(file)
    top = list(_numbered(reader, reader.whole_file(), {7: "graph", 8: "opset_import"}))
    graphs = [message(value) for name, value in top if name == "graph"]
    if not graphs or len(top) == len(graphs):
        raise WireError("it has no graph, or no operator set")
    parts = list(_numbered(reader, graphs[-1], {5: "initializer", 11: "input", 12: "output", 15: "sparse_initializer"}))
    inputs = [_value(reader, message(value)) for name, value in parts if name == "input"]
    outputs = [_value(reader, message(value)) for name, value in parts if name == "output"]
    initialized: set[str] = set()
    external = False
    for name, value in parts:
        if name.endswith("initializer"):
            tensor = _sparse_values(reader, message(value)) if name == "sparse_initializer" else message(value)
            initializer, lies_outside = _initializer(reader, tensor)
            initialized.add(initializer)
            external = external or lies_outside
    inputs = [value for value in inputs if value.name not in initialized]
    return _graph(inputs, outputs, external)


def check_graph(uri: str, file: BinaryIO) -> Graph:
    """Reads a model that is to be served, for its signature.

    Args:
        uri: Where it is, for messages.
        file: It, opened and seekable.

    Raises:
        ConfigError: The file holds no ONNX model, or one that can't be served; the path of each problem is "uri".
    """
    head = file.read(64)
    try:
        graph = read_graph(file)
    except WireError as error:
        raise ConfigError([Problem("uri", no_model(uri, error, head))]) from error
    if graph.problems:
        raise ConfigError([Problem("uri", f"{uri!r}: {problem}") for problem in graph.problems])
    return graph


def no_model(uri: str, error: WireError, head: bytes) -> str:
    """Says why a file is no ONNX model.

    Args:
        uri: Where it is.
        error: What ``read_graph`` raised.
        head: The first bytes of the file, 64 of them or all.
    """
    guess = looks_like(head)
    return f"{uri!r} is no ONNX model" + (guess or f", or only a part of one: {error}")


def _graph(inputs: list[_Value], outputs: list[_Value], external: bool) -> Graph:
    problems = [problem for value in inputs for problem in _input_problems(value)]
    if external:
        problems.append("its weights lie in another file (external data); save it as one file")
    fields, notes = {}, {}
    for value in outputs:
        note = _output_note(value)
        if note:
            notes[value.name] = note
        fields[value.name] = _field(value, "" if note else value.datatype)
    signature = Signature({value.name: _field(value, value.datatype) for value in inputs}, fields, notes)
    row_by_row = any(value.dimensions and value.dimensions[0] == 1 for value in inputs)
    return Graph(signature, row_by_row, tuple(problems))


def _field(value: _Value, datatype: str) -> Field:
    return Field(value.name, datatype, (value.dimensions or ())[1:])


def _input_problems(value: _Value) -> Iterator[str]:
    name = f"input {value.name!r}"
    if value.kind != "tensor":
        yield f"{name} is a {value.kind}; expected a tensor"
    elif not value.datatype:
        yield f"{name} is of {value.element_type_name}, which is not supported; convert it in the model"
    elif value.dimensions is None:
        yield f"{name} does not say its shape; export the model with the shapes of its inputs"
    elif not value.dimensions:
        yield f"{name} is a scalar, without a batch dimension; {_DYNAMIC}"
    elif value.dimensions[0] > 1:
        yield f"{name} takes batches of exactly {value.dimensions[0]} rows; {_DYNAMIC}"


def _output_note(value: _Value) -> str:
    name = f"output {value.name!r}"
    if value.kind == "sequence of maps":
        return f"{name} is a sequence of maps; export the model with zipmap=False"
    if value.kind != "tensor":
        return f"{name} is a {value.kind}, which is not supported; leave it out, or export a tensor"
    if not value.datatype:
        return (
            f"{name} is of {value.element_type_name}, which is not supported; leave it out, or convert it in the model"
        )
    if value.dimensions is None:
        return f"the model does not say the shape of {name}; declare its datatype and shape"
    if not value.dimensions:
        return f"{name} is a scalar, without a batch dimension; leave it out"
    return ""


def _value(reader: WireReader, span: Span) -> _Value:
    """Reads a ValueInfoProto."""
    name, kind = "", _Value("", "value of no type")
    for field, value in _numbered(reader, span, {1: "name", 2: "type"}):
        if field == "name":
            name = reader.text(value)
        else:
            kind = _type(reader, message(value))
    return _Value(name, kind.kind, kind.element_type, kind.dimensions)


def _type(reader: WireReader, span: Span) -> _Value:
    """Reads a TypeProto, of which at most two levels matter."""
    kinds = {1: "tensor", 4: "sequence", 5: "map", 8: "sparse tensor", 9: "optional value"}
    for kind, value in _numbered(reader, span, kinds):
        if kind == "tensor":
            return _tensor_type(reader, message(value))
        if kind == "sequence":
            for _, element in _numbered(reader, message(value), {1: "elem_type"}):
                for inner, _ in _numbered(reader, message(element), kinds):
                    return _Value("", f"sequence of {inner}s")
        return _Value("", kind)
    return _Value("", "value of no type")


def _tensor_type(reader: WireReader, span: Span) -> _Value:
    """Reads a TypeProto.Tensor."""
    element_type, dimensions = 0, None
    for field, value in _numbered(reader, span, {1: "elem_type", 2: "shape"}):
        if field == "elem_type":
            element_type = number(value)
        else:
            shape = message(value)
            dimensions = tuple(_dimension(reader, message(dim)) for _, dim in _numbered(reader, shape, {1: "dim"}))
    return _Value("", "tensor", element_type, dimensions)


def _dimension(reader: WireReader, span: Span) -> int:
    """Reads a Dimension: its size, or -1 if it has a name, or nothing, or the 0 that old exporters write."""
    size = -1
    for _, value in _numbered(reader, span, {1: "dim_value"}):
        size = number(value)
    return size if size > 0 else -1


def _initializer(reader: WireReader, span: Span) -> tuple[str, bool]:
    """Reads the name of a TensorProto, and whether its data lies in another file."""
    name, lies_outside = "", False
    for field, value in _numbered(reader, span, {8: "name", 14: "data_location"}):
        if field == "name":
            name = reader.text(value)
        else:
            lies_outside = number(value) == 1
    return name, lies_outside


def _sparse_values(reader: WireReader, span: Span) -> Span:
    for _, value in _numbered(reader, span, {1: "values"}):
        return message(value)
    return Span(span.start, span.start)


def _numbered(reader: WireReader, span: Span, names: dict[int, str]) -> Iterator[tuple[str, int | Span]]:
    """Yields the fields that have a name here."""
    for field, value in reader.fields(span):
        if field in names:
            yield names[field], value
