# Licensed under the Apache License, Version 2.0; see LICENSE.
"""standardize: subtract a mean and divide by a standard deviation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import BadRows, Problem, SystemicError
from expansion.hooks.demands import (
    FLOATING_DATATYPES,
    NUMERIC,
    Demands,
    computed,
    datatype_among,
    finite,
    floating_datatype,
    in_place,
    required_names,
)
from expansion.hooks.statistics_file import Statistics, read, sizes_agree
from expansion.tensors.columns import Columns, Dense, Ragged

TAKES_RAGGED = True


def check(config: hook_pb2.Standardize) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    if config.datatype:
        yield from datatype_among("datatype", config.datatype, FLOATING_DATATYPES)
    for path, numbers in (("mean", config.mean), ("standard_deviation", config.standard_deviation)):
        if config.uri and numbers:
            yield Problem(path, "uri is set too; set one of them")
        elif not config.uri and not numbers:
            yield Problem(path, "missing; give numbers here, or set uri to a file of statistics")
        for index, number in enumerate(numbers):
            yield from finite(f"{path}[{index}]", number)
            if path == "standard_deviation" and number < 0:
                yield Problem(f"{path}[{index}]", f"got {number:g}; expected 0 or more")
    mean, standard_deviation = list(config.mean), list(config.standard_deviation)
    if mean and standard_deviation and not sizes_agree(mean, standard_deviation):
        reason = f"got {len(standard_deviation)} numbers; expected one, or {len(mean)} as in mean"
        yield Problem("standard_deviation", reason)


def fields(config: hook_pb2.Standardize, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, those of the standardized columns with a floating datatype."""
    demands = Demands(inputs)
    columns = demands.columns("columns", config.columns, NUMERIC)
    size = max(len(config.mean), len(config.standard_deviation))
    for index, field in enumerate(columns):
        demands.that(
            size <= 1 or field.name not in inputs or field.shape[-1:] in ((size,), (-1,)),
            f"columns[{index}]",
            f"column {field.name!r} is {field}; expected {size} elements along the last axis, as mean and "
            "standard_deviation have",
        )
    demands.settle()
    return {
        **inputs,
        **{
            field.name: Field(field.name, floating_datatype(config.datatype, field.datatype), field.shape)
            for field in columns
        },
    }


def build(config: hook_pb2.Standardize) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: The file of statistics can't be read, or lacks a column.
    """
    if config.uri:
        statistics = read(config.uri, config.columns)
    else:
        statistics = dict.fromkeys(config.columns, Statistics.of(config.mean, config.standard_deviation))

    def standardized(name: str, column: Dense | Ragged) -> Dense | Ragged:
        datatype = floating_datatype(config.datatype, column.datatype)
        _reject_other_sizes(name, column, statistics[name].size)
        return computed(column, datatype, lambda values: _standardized(statistics[name], values))

    def standardize(columns: Columns) -> Columns:
        return in_place(columns, config.columns, standardized)

    return standardize


def _standardized(statistics: Statistics, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Works in place, on values [rows, *shape], or [elements] of rows of unequal shape, one after another."""
    mean = statistics.mean.astype(values.dtype)
    deviation = statistics.standard_deviation.astype(values.dtype)
    deviation[deviation == 0] = 1  # x − mean is 0 in a constant column; scikit-learn's StandardScaler does so too
    along_last_axis = values.reshape(-1, statistics.size) if values.ndim == 1 else values
    along_last_axis -= mean
    along_last_axis /= deviation
    return values


def _reject_other_sizes(name: str, column: Dense | Ragged, size: int) -> None:
    if size == 1:
        return
    if not column.shape:
        raise SystemicError(f"column {name!r} has one number a row, and its statistics have {size}; expected one")
    sizes = column.shapes[:, -1] if isinstance(column, Ragged) else np.full(len(column), column.shape[-1])
    bad = {
        int(row): f"column {name!r} has {sizes[row]} elements along its last axis; its statistics have {size}"
        for row in np.flatnonzero(sizes != size)
    }
    if bad:
        raise BadRows(bad)
