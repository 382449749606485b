# Licensed under the Apache License, Version 2.0; see LICENSE.
"""one_hot: turn a category into a vector of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.contract.problems import repeated, shown
from expansion.errors import Problem
from expansion.hooks.demands import INTEGER, STRING, Demands, datatype_among, dense, reject, required
from expansion.tensors.columns import Blobs, Columns, Dense


def check(config: hook_pb2.OneHot) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    if config.datatype:
        yield from datatype_among("datatype", config.datatype, NUMPY_DTYPES)
    if config.categories and config.depth:
        yield Problem("depth", "categories is set too; set depth for integers, categories for strings")
    elif not config.categories and config.depth < 1:
        yield Problem("depth", f"got {config.depth}; expected 1 or more, or categories")
    for index in sorted(repeated(config.categories)):
        yield Problem(f"categories[{index}]", f"{config.categories[index]!r} is listed twice; list it once")


def fields(config: hook_pb2.OneHot, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with one that has a new last axis for the result."""
    demands = Demands(inputs)
    column = demands.column("column", config.column, STRING if config.categories else INTEGER)
    demands.settle()
    output = config.output or config.column
    shape = (*column.shape, len(config.categories) or config.depth)
    return {**inputs, output: Field(output, config.datatype or "FP32", shape)}


def build(config: hook_pb2.OneHot) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    depth = len(config.categories) or config.depth
    dtype = NUMPY_DTYPES[config.datatype or "FP32"]
    indices_of = _indices_of_strings if config.categories else _indices_of_integers

    def one_hot(columns: Columns) -> Columns:
        indices = indices_of(config, columns)
        vectors = np.zeros((indices.size, depth), dtype)
        vectors[np.arange(indices.size), indices] = 1
        shape = (columns.row_count, *columns[config.column].shape, depth)
        return columns.with_column(config.output or config.column, Dense(vectors.reshape(shape)))

    return one_hot


def _indices_of_integers(config: hook_pb2.OneHot, columns: Columns) -> npt.NDArray[np.intp]:
    column = dense(columns, config.column)
    values = column.values.ravel()
    reject(
        column,
        (values < 0) | (values >= config.depth),
        lambda position: f"column {config.column!r} is {values[position]}; categories go from 0 to {config.depth - 1}",
    )
    return values.astype(np.intp, copy=False)


def _indices_of_strings(config: hook_pb2.OneHot, columns: Columns) -> npt.NDArray[np.intp]:
    column = columns[config.column]
    if not isinstance(column, Blobs):
        raise TypeError(f"column {config.column!r} does not hold strings")
    categories = pa.array([category.encode() for category in config.categories], column.array.type)
    indices: npt.NDArray[Any] = pc.fill_null(pc.index_in(column.array, value_set=categories), -1).to_numpy()
    reject(
        column,
        indices < 0,
        lambda position: (
            f"column {config.column!r} is {shown(column.array[position].as_py().decode())}, which is no category"
        ),
    )
    return indices.astype(np.intp)
