# Licensed under the Apache License, Version 2.0; see LICENSE.
"""reshape: give rows another shape with the same number of elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import BadRows, Problem
from expansion.hooks.demands import Demands, required
from expansion.tensors.columns import Blobs, Column, Columns, Dense, Ragged, RaggedBlobs

TAKES_RAGGED = True


def check(config: hook_pb2.Reshape) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    for index, size in enumerate(config.shape):
        if size < 1 and size != -1:
            yield Problem(f"shape[{index}]", f"got {size}; expected 1 or more, or -1 for what is left")
    if list(config.shape).count(-1) > 1:
        yield Problem("shape", f"got {list(config.shape)}; expected -1 at most once")


def fields(config: hook_pb2.Reshape, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, the reshaped one with its new shape."""
    demands = Demands(inputs)
    column = demands.column("column", config.column)
    shape = tuple(config.shape)
    if -1 not in column.shape:
        size = math.prod(column.shape)
        message = f"{list(shape)} does not hold the {size} elements of a row of {config.column!r}, {column}"
        demands.that(_fits(size, shape), "shape", message)
        shape = _filled(size, shape)
    demands.settle()
    return {**inputs, column.name: Field(column.name, column.datatype, shape)}


def build(config: hook_pb2.Reshape) -> Callable[[Columns], Columns]:
    """Returns the operation. No element is copied."""
    shape = tuple(config.shape)
    return lambda columns: columns.with_column(config.column, _reshaped(config.column, columns[config.column], shape))


def _reshaped(name: str, column: Column, shape: tuple[int, ...]) -> Column:
    if isinstance(column, (Ragged, RaggedBlobs)):
        return _reshaped_ragged(name, column, shape)
    size = math.prod(column.shape)
    if not _fits(size, shape):  # a column of unknown sizes whose rows happen to have one
        _reject(name, np.full(len(column), size), np.ones(len(column), np.bool_), shape)
    row_shape = _filled(size, shape)
    if isinstance(column, Blobs):
        return replace(column, shape=row_shape)
    return Dense(column.values.reshape(len(column), *row_shape))


def _reshaped_ragged(name: str, column: Ragged | RaggedBlobs, shape: tuple[int, ...]) -> Column:
    sizes = np.diff(column.offsets)
    fixed = _fixed_size(shape)
    if -1 not in shape:
        _reject(name, sizes, sizes != fixed, shape)
        if isinstance(column, RaggedBlobs):
            return Blobs(column.datatype, column.array, shape, len(column))
        return Dense(column.values.reshape(len(column), *shape))
    _reject(name, sizes, sizes % fixed != 0, shape)
    shapes = np.tile(np.array(shape, np.int32), (len(column), 1))
    shapes[:, shape.index(-1)] = sizes // fixed
    return replace(column, shapes=shapes)


def _reject(name: str, sizes: npt.NDArray[np.integer], bad: npt.NDArray[np.bool_], shape: Sequence[int]) -> None:
    if bad.any():
        raise BadRows(
            {
                int(row): f"column {name!r} has {sizes[row]} elements, which do not fit shape {list(shape)}"
                for row in np.flatnonzero(bad)
            }
        )


def _fixed_size(shape: Sequence[int]) -> int:
    return math.prod(size for size in shape if size != -1)


def _fits(size: int, shape: Sequence[int]) -> bool:
    fixed = _fixed_size(shape)
    return size % fixed == 0 if -1 in shape else size == fixed


def _filled(size: int, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size // _fixed_size(shape) if axis_size == -1 else axis_size for axis_size in shape)
