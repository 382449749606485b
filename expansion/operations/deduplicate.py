# Licensed under the Apache License, Version 2.0; see LICENSE.
"""deduplicate: drop what is in a row twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import ANY, Demands
from expansion.operations.results import applied, check_names, demand_axes, result_fields
from expansion.operations.statistic import Learned, Statistic
from expansion.tensors.columns import Column, Columns, Ragged, RaggedBlobs, as_ragged


def check(config: operation_pb2.Deduplicate) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    return check_names(config)


def fields(config: operation_pb2.Deduplicate, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, arrays of any length for the results."""
    demands = Demands(inputs)
    demand_axes(demands, config.columns, (1,), "arrays with one axis")
    return result_fields(config, inputs, ANY, lambda field: Field(field.name, field.datatype, (-1,)), demands)


def statistics(config: operation_pb2.Deduplicate, inputs: Mapping[str, Field]) -> dict[str, Statistic]:
    """Returns nothing."""
    return {}


def build(
    config: operation_pb2.Deduplicate, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    return lambda columns: applied(config, columns, lambda _, column: deduplicated(column))


def deduplicated(column: Column) -> Ragged | RaggedBlobs:
    """Returns a column of arrays with one axis without the elements that are in their row before; NaN is one value."""
    ragged = as_ragged(column)
    codes, size = _codes(ragged)
    row_of = np.repeat(np.arange(len(ragged)), ragged.shapes[:, 0])
    _, first = np.unique(row_of * size + codes, return_index=True)
    first.sort()
    shapes = np.bincount(row_of[first], minlength=len(ragged)).astype(np.int32)[:, None]
    if isinstance(ragged, RaggedBlobs):
        return RaggedBlobs(ragged.datatype, ragged.array.take(pa.array(first)), shapes)
    return Ragged(ragged.values[first], shapes)


def _codes(column: Ragged | RaggedBlobs) -> tuple[npt.NDArray[np.int64], int]:
    """Returns an integer for each element, the same for equal ones, and how many integers there are."""
    if isinstance(column, RaggedBlobs):
        encoded = column.array.dictionary_encode()
        return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)
    values, codes = np.unique(column.values, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), len(values)
