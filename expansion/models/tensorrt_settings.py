# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What an engine can hold, and what it is built for: sizes of batches and rows, precision and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field, Fields
from expansion.contract.problems import did_you_mean
from expansion.errors import Problem
from expansion.models.onnx_graph import Graph
from expansion.tensors.arrays import fits

DEFAULT_MAX_ROWS = 64
PRECISIONS = ("FP16", "BF16")
# The datatypes that TensorRT's tensors and numpy's arrays have in common, and their names in tensorrt.DataType.
DATATYPES = {
    "FP32": "FLOAT",
    "FP16": "HALF",
    "INT64": "INT64",
    "INT32": "INT32",
    "INT8": "INT8",
    "UINT8": "UINT8",
    "BOOL": "BOOL",
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Settings:
    """What an engine is built for.

    Attributes:
        rows: The smallest, the optimal and the largest number of rows in a batch.
        ranges: By name of the input, the smallest, the optimal and the largest shape of one row, where it varies.
        precision: "FP16" or "BF16", in which TensorRT may compute; empty: in the model's own datatypes.
        workspace_bytes: Bytes of GPU memory to use beside weights; 0: what the GPU has.
    """

    rows: tuple[int, int, int]
    ranges: Mapping[str, tuple[Shape, Shape, Shape]]
    precision: str = ""
    workspace_bytes: int = 0

    @classmethod
    def of(cls, config: model_pb2.TensorRtModel, graph: Graph) -> Settings:
        """Returns the settings of a checked message for a model."""
        largest = config.max_rows or DEFAULT_MAX_ROWS
        rows = (1, 1, 1) if graph.row_by_row else (1, config.optimal_rows or largest, largest)
        ranges = {each.input: _shapes(each) for each in config.ranges}
        return cls(rows, ranges, config.precision, config.workspace_bytes)

    def shapes(self, field: Field) -> tuple[Shape, Shape, Shape]:
        """Returns the smallest, the optimal and the largest shape of an input, with the batch."""
        smallest, optimal, largest = self.ranges.get(field.name, (field.shape,) * 3)
        return (self.rows[0], *smallest), (self.rows[1], *optimal), (self.rows[2], *largest)

    def as_json(self) -> dict[str, object]:
        """Returns the settings as what JSON can hold, the same for the same settings."""
        return asdict(self)


def check_sizes(ranges: Sequence[model_pb2.TensorRtRange]) -> Iterator[Problem]:
    """Yields what is wrong with ranges by themselves."""
    names = [each.input for each in ranges]
    for index, each in enumerate(ranges):
        here = f"ranges[{index}]"
        if not each.input:
            yield Problem(f"{here}.input", "is not set; every entry needs one")
        elif each.input in names[:index]:
            yield Problem(f"{here}.input", f"{each.input!r} is there twice; each may be there once")
        for path in ("min_shape", "max_shape"):
            if not getattr(each, path):
                yield Problem(f"{here}.{path}", "missing; expected the shape of one row, such as [128]")
        smallest, optimal, largest = _shapes(each)
        if any(size < 1 for size in (*smallest, *optimal, *largest)):
            yield Problem(here, "got a size below 1; expected sizes of at least 1")
        elif smallest and largest and not (_at_most(smallest, optimal) and _at_most(optimal, largest)):
            reason = f"got {list(smallest)}, {list(optimal)} and {list(largest)}"
            yield Problem(here, f"{reason}; expected shapes of one rank with min_shape ≤ optimal_shape ≤ max_shape")


def check_ranges(ranges: Sequence[model_pb2.TensorRtRange], inputs: Fields) -> Iterator[Problem]:
    """Yields what is wrong with ranges for a model's inputs."""
    for index, each in enumerate(ranges):
        here = f"ranges[{index}]"
        field = inputs.get(each.input)
        if field is None:
            yield Problem(f"{here}.input", f"no model input {each.input!r}; {did_you_mean(each.input, inputs)}")
        elif -1 not in field.shape:
            reason = f"model input {each.input!r} takes {list(field.shape)}, of which no size varies"
            yield Problem(f"{here}.input", f"{reason}; leave it out")
        elif not all(fits(shape, field.shape) for shape in _shapes(each)):
            reason = f"got {list(each.min_shape)} to {list(each.max_shape)}"
            yield Problem(here, f"{reason}; model input {each.input!r} takes {list(field.shape)}")
    named = {each.input for each in ranges}
    for name, field in inputs.items():
        if -1 in field.shape and name not in named:
            smallest, largest = ([other if size < 0 else size for size in field.shape] for other in (1, 512))
            example = f"[{{input: {name}, min_shape: {smallest}, max_shape: {largest}}}]"
            reason = f"missing: model input {name!r} takes {list(field.shape)}"
            yield Problem("ranges", f"{reason}; say which sizes to build the engine for, such as {example}")


def _shapes(each: model_pb2.TensorRtRange) -> tuple[Shape, Shape, Shape]:
    return tuple(each.min_shape), tuple(each.optimal_shape or each.max_shape), tuple(each.max_shape)


def _at_most(smaller: Shape, larger: Shape) -> bool:
    return len(smaller) == len(larger) and all(a <= b for a, b in zip(smaller, larger, strict=True))
