# Licensed under the Apache License, Version 2.0; see LICENSE.
"""bucketize: turn numbers into the index of the interval that they lie in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import NUMERIC, Demands, elementwise, finite, in_place, reject, required_names
from expansion.tensors.columns import Columns, Dense, Ragged

TAKES_RAGGED = True


def check(config: hook_pb2.Bucketize) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    yield from check_boundaries(config.boundaries)


def check_boundaries(boundaries: Sequence[float]) -> Iterator[Problem]:
    """Yields what is wrong with boundaries."""
    if not boundaries:
        yield Problem("boundaries", "missing; expected ascending numbers, such as [18, 65]")
    last = -math.inf
    for index, boundary in enumerate(boundaries):
        yield from finite(f"boundaries[{index}]", boundary)
        if math.isfinite(boundary) and boundary <= last:
            yield Problem(f"boundaries[{index}]", f"got {boundary:g} after {last:g}; expected ascending numbers")
        last = boundary


def fields(config: hook_pb2.Bucketize, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, INT64 ones of the same shapes for the columns."""
    demands = Demands(inputs)
    numbers = demands.columns("columns", config.columns, NUMERIC)
    demands.settle()
    return {**inputs, **{field.name: Field(field.name, "INT64", field.shape) for field in numbers}}


def build(config: hook_pb2.Bucketize) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    boundaries = list(config.boundaries)

    def bucketized(name: str, column: Dense | Ragged) -> Dense | Ragged:
        reject(
            column,
            np.isnan(column.values).ravel(),
            lambda _: f"column {name!r} has a NaN, which lies in no interval; fill it in with an impute hook before",
        )
        return elementwise(column, lambda values: intervals(boundaries, values))

    def bucketize(columns: Columns) -> Columns:
        return in_place(columns, config.columns, bucketized)

    return bucketize


def intervals(boundaries: Sequence[float], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Returns how many of some boundaries are not above each value, compared exactly; of NaN, all.

    Args:
        boundaries: Ascending; equal ones are counted each. They may be integers.
        values: Array of any shape and numeric dtype.
    """
    if values.dtype.kind == "f":
        return np.searchsorted(np.array(boundaries, np.float64), values, side="right").astype(np.int64, copy=False)
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    # FP64 does not hold every INT64: a whole number is not below a boundary if it is not below the next whole number.
    limits = np.iinfo(values.dtype)
    whole = [math.ceil(boundary) for boundary in boundaries]
    within = np.array([number for number in whole if limits.min < number <= limits.max], values.dtype)
    always = sum(number <= limits.min for number in whole)
    return always + np.searchsorted(within, values, side="right").astype(np.int64, copy=False)
