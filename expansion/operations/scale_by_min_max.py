# Licensed under the Apache License, Version 2.0; see LICENSE.
"""scale_by_min_max: scale onto a range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import NUMPY_DTYPES, Field, is_integer
from expansion.errors import Problem
from expansion.hooks.demands import finite
from expansion.operations.positions import Positions, entry, numbers
from expansion.operations.ranges import Range
from expansion.operations.results import (
    applied,
    check_names,
    elementwise_fields,
    positions_of,
    scaled,
    scaled_field,
)
from expansion.operations.statistic import Learned
from expansion.tensors.columns import Columns, Dense, Ragged

# Below it, no difference to a finite FP64 number is infinite: it is less than half a unit in the last place of them.
_LARGE = 2.0**960

# Up to it, FP64 holds every integer.
_EXACT = 2**53


def check(config: operation_pb2.ScaleByMinMax) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    low, high = _limits(config)
    yield from finite("min_value", low)
    yield from finite("max_value", high)
    if high <= low:
        yield Problem("max_value", f"got {high:g}; expected more than min_value, {low:g}")
    elif math.isinf(high - low) and math.isfinite(low) and math.isfinite(high):
        reason = f"got {high:g}, and min_value is {low:g}"
        yield Problem("max_value", f"{reason}; expected a difference that FP64 holds, at most 1.79e308")


def fields(config: operation_pb2.ScaleByMinMax, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, FP32 or FP64 ones of the same shapes for the results."""
    return elementwise_fields(config, inputs, scaled_field)


def statistics(config: operation_pb2.ScaleByMinMax, inputs: Mapping[str, Field]) -> dict[str, Range]:
    """Returns the range of each column."""
    return {f"{name}.range": Range(name, positions_of(config, inputs[name])) for name in config.columns}


def build(
    config: operation_pb2.ScaleByMinMax, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Where minimum and maximum are equal, or nothing was learned, sigmoid(x) takes the place of (x − min) ÷ (max −
    min), as in tensorflow-transform.
    """
    low, high = _limits(config)
    ranges = {
        name: _range(learned[f"{name}.range"], positions_of(config, inputs[name]), inputs[name].datatype)
        for name in config.columns
    }

    def onto_range(name: str, column: Dense | Ragged) -> Dense | Ragged:
        return scaled(column, lambda values: _onto_01(values, column.values, *ranges[name]) * (high - low) + low)

    return lambda columns: applied(config, columns, onto_range)


def _limits(config: operation_pb2.ScaleByMinMax) -> tuple[float, float]:
    return config.min_value, config.max_value if config.HasField("max_value") else 1.0


def _range(learned: Learned, positions: Positions, datatype: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns minimum and maximum: in FP64, or in the column's own dtype if they are integers that FP64 rounds."""
    limits = numbers(learned, "min", positions), numbers(learned, "max", positions)
    if not is_integer(datatype) or not any((np.abs(limit) > _EXACT).any() for limit in limits):
        return limits
    dtype = NUMPY_DTYPES[datatype]
    exact = [np.array(entry(learned, key), object) for key in ("min", "max")]
    of_dtype = np.iinfo(dtype)
    if any(type(n) is not int or not of_dtype.min <= n <= of_dtype.max for limit in exact for n in limit.flat):
        return limits  # not learned by this package from such a column
    return exact[0].astype(dtype), exact[1].astype(dtype)


def _onto_01(
    values: npt.NDArray[np.float64],
    unrounded: npt.NDArray[Any],
    minimum: npt.NDArray[Any],
    maximum: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """Returns values scaled onto [0, 1]; ``unrounded`` are the same in their own dtype."""
    if minimum.dtype.kind == "f":
        above, span = _difference(values, minimum, maximum), _difference(maximum, minimum, maximum)
    else:
        above, span = _integer_difference(unrounded, minimum), _integer_difference(maximum, minimum)
    differs = minimum < maximum
    if differs.all():
        return above / span
    scaled_values: npt.NDArray[Any] = above / np.where(differs, span, 1)
    return np.where(differs, scaled_values, 1 / (1 + np.exp(-values)))


def _difference(
    values: npt.NDArray[np.float64], minimum: npt.NDArray[np.float64], maximum: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns values − min, or half of it where limits are so large that FP64 may not hold it.

    Half of such limits is exact, so that quotients of differences are the same to the bit.
    """
    difference: npt.NDArray[np.float64] = values - minimum
    large = np.maximum(np.abs(minimum), np.abs(maximum)) > _LARGE
    return np.where(large, values / 2 - minimum / 2, difference) if large.any() else difference


def _integer_difference(values: npt.NDArray[Any], minimum: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns values − min of INT64 or UINT64, rounded only then: it may be more than either datatype holds."""
    size = np.where(values < minimum, _wrapped(minimum) - _wrapped(values), _wrapped(values) - _wrapped(minimum))
    return np.where(values < minimum, -1.0, 1.0) * size


def _wrapped(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Returns 64-bit integers modulo 2**64, in which the greater one minus the lesser one is right."""
    return values.astype(np.uint64)
