# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pad: bring rows of unequal size to one size along an axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field, is_numeric
from expansion.errors import BadRows, Problem
from expansion.hooks.demands import Demands, holds, required_names, with_elements, with_texts
from expansion.tensors.columns import Column, Columns, Dense, Ragged, RaggedBlobs

TAKES_RAGGED = True


def check(config: hook_pb2.Pad) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    size = config.WhichOneof("size")
    if size is None:
        yield Problem("", "none of length, multiple and longest is set; set one of them")
    elif size == "longest" and not config.longest:
        yield Problem("longest", "got false; expected true, or length or multiple instead")
    elif size != "longest" and getattr(config, size) < 1:
        yield Problem(size, f"got {getattr(config, size)}; expected 1 or more")
    if config.axis < 0:
        yield Problem("axis", f"got {config.axis}; expected 0 or more")
    if config.mask_output in config.columns:
        yield Problem("mask_output", f"column {config.mask_output!r} is padded itself; give the mask another name")


def fields(config: hook_pb2.Pad, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, the padded ones with their new sizes along the axis; and the mask."""
    demands = Demands(inputs)
    padded = {}
    for index, name in enumerate(config.columns):
        path = f"columns[{index}]"
        field = demands.column(path, name)
        if name in inputs and config.axis >= len(field.shape):
            demands.that(False, path, f"column {name!r} is {field}, which has no axis {config.axis}")
            continue
        demands.that(
            not is_numeric(field.datatype) or holds(field.datatype, config.value),
            "value",
            f"got {config.value:g}, which column {name!r} can't hold, for it is {field.datatype}",
        )
        if name in inputs:
            size = field.shape[config.axis]
            demands.that(
                size <= _target(config, size),
                path,
                f"column {name!r} is {field}: every row is longer than length, {config.length}",
            )
            padded[name] = Field(name, field.datatype, _resized(config, field.shape))
    demands.settle()
    if config.mask_output:
        size = padded[config.columns[0]].shape[config.axis]
        padded[config.mask_output] = Field(config.mask_output, "INT64", (size,))
    return {**inputs, **padded}


def build(config: hook_pb2.Pad) -> Callable[[Columns], Columns]:
    """Returns the operation."""

    def pad(columns: Columns) -> Columns:
        _reject_longer(config, columns)
        padded = {name: _padded(config, columns[name]) for name in config.columns}
        if config.mask_output:
            padded[config.mask_output] = _mask(config, columns[config.columns[0]])
        return columns.with_columns(padded)

    return pad


def _mask(config: hook_pb2.Pad, column: Column) -> Dense:
    sizes = _sizes(column, config.axis)
    size = max(0, _target(config, int(sizes.max(initial=-1))))
    return Dense((np.arange(size) < sizes[:, None]).astype(np.int64))


def _target(config: hook_pb2.Pad, longest: int) -> int:
    """Returns the size to pad to when the longest row has this one; -1 stays unknown unless the length is given."""
    if config.WhichOneof("size") == "length":
        return config.length
    if longest == -1 or config.longest:
        return longest
    return -(-longest // config.multiple) * config.multiple


def _resized(config: hook_pb2.Pad, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[: config.axis], _target(config, shape[config.axis]), *shape[config.axis + 1 :])


def _reject_longer(config: hook_pb2.Pad, columns: Columns) -> None:
    if config.WhichOneof("size") != "length":
        return
    messages = {}
    for name in config.columns:
        sizes = _sizes(columns[name], config.axis)
        for row in np.flatnonzero(sizes > config.length):
            messages[int(row)] = (
                f"column {name!r} has {sizes[row]} elements along axis {config.axis}, more than {config.length}"
            )
    if messages:
        raise BadRows(messages)


def _sizes(column: Column, axis: int) -> npt.NDArray[np.integer[Any]]:
    if isinstance(column, (Ragged, RaggedBlobs)):
        return column.shapes[:, axis]
    return np.full(len(column), column.shape[axis])


def _padded(config: hook_pb2.Pad, column: Column) -> Column:
    if isinstance(column, (Dense, Ragged)):
        return _padded_numbers(config, column, np.array(config.value).astype(column.values.dtype))
    # Which element goes where, with none where the filling is.
    places = _padded_numbers(config, with_elements(column, np.arange(len(column.array))), np.array(-1))
    elements = places.values.ravel()
    array = pc.fill_null(column.array.take(pa.array(elements, mask=elements < 0)), b"")
    return with_texts(places, column.datatype, array)


def _padded_numbers(config: hook_pb2.Pad, column: Dense | Ragged, fill: npt.NDArray[Any]) -> Dense | Ragged:
    if isinstance(column, Ragged):
        return _padded_ragged(config, column, fill)
    missing = _target(config, column.shape[config.axis]) - column.shape[config.axis]
    if not missing:
        return column
    widths = [(0, missing if axis == config.axis else 0) for axis in range(-1, len(column.shape))]
    return Dense(np.pad(column.values, widths, constant_values=fill))


def _padded_ragged(config: hook_pb2.Pad, column: Ragged, fill: npt.NDArray[Any]) -> Dense | Ragged:
    """Pads every row at once.

    In row-major order a row is ``prod(shape[:axis])`` blocks of ``prod(shape[axis:])`` elements, and padding makes each
    of its blocks longer.
    """
    shapes = column.shapes.copy()
    shapes[:, config.axis] = _target(config, int(column.shapes[:, config.axis].max(initial=0)))
    blocks = np.prod(column.shapes[:, : config.axis], axis=1, dtype=np.int64)
    lengths = np.repeat(np.prod(column.shapes[:, config.axis :], axis=1, dtype=np.int64), blocks)
    new_lengths = np.repeat(np.prod(shapes[:, config.axis :], axis=1, dtype=np.int64), blocks)
    values = np.full(int(new_lengths.sum()), fill)
    values[np.arange(len(column.values)) + np.repeat(_starts(new_lengths) - _starts(lengths), lengths)] = column.values
    if not len(column):
        return Dense(values.reshape(0, *(max(size, 0) for size in _resized(config, column.shape))))
    padded = Ragged(values, shapes)
    return padded.to_dense() if (shapes == shapes[0]).all() else padded


def _starts(lengths: npt.NDArray[Any]) -> npt.NDArray[Any]:
    starts: npt.NDArray[Any] = np.cumsum(lengths) - lengths
    return starts
