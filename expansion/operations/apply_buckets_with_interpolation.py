# Licensed under the Apache License, Version 2.0; see LICENSE.
"""apply_buckets_with_interpolation: scale numbers onto [0, 1], piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.bucketize import check_boundaries
from expansion.hooks.demands import NUMERIC
from expansion.operations.results import applied, check_names, result_fields, scaled, scaled_field
from expansion.operations.statistic import Learned, Statistic
from expansion.tensors.columns import Columns, Dense, Ragged


def check(config: operation_pb2.ApplyBucketsWithInterpolation) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    yield from check_boundaries(config.boundaries)


def fields(config: operation_pb2.ApplyBucketsWithInterpolation, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, FP32 or FP64 ones of the same shapes for the results."""
    return result_fields(config, inputs, NUMERIC, scaled_field)


def statistics(
    config: operation_pb2.ApplyBucketsWithInterpolation, inputs: Mapping[str, Field]
) -> dict[str, Statistic]:
    """Returns nothing."""
    return {}


def build(
    config: operation_pb2.ApplyBucketsWithInterpolation, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    boundaries = np.array(config.boundaries)

    def interpolated(_: str, column: Dense | Ragged) -> Dense | Ragged:
        return scaled(column, lambda values: _interpolated(boundaries, values))

    return lambda columns: applied(config, columns, interpolated)


def _interpolated(boundaries: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if len(boundaries) == 1:
        results = (values >= boundaries[0]).astype(np.float64)
    else:
        results = np.interp(values, boundaries, np.linspace(0, 1, len(boundaries)))
    return np.where(np.isnan(values), 0.5, results)
