# Licensed under the Apache License, Version 2.0; see LICENSE.
"""scale_to_z_score: scale to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.operations.moments import Moments
from expansion.operations.positions import numbers
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


def check(config: operation_pb2.ScaleToZScore) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    return check_names(config)


def fields(config: operation_pb2.ScaleToZScore, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, FP32 or FP64 ones of the same shapes for the results."""
    return elementwise_fields(config, inputs, scaled_field)


def statistics(config: operation_pb2.ScaleToZScore, inputs: Mapping[str, Field]) -> dict[str, Moments]:
    """Returns the mean and standard deviation of each column."""
    return {f"{name}.moments": Moments(name, positions_of(config, inputs[name])) for name in config.columns}


def build(
    config: operation_pb2.ScaleToZScore, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation. Where nothing was learned, values stay as they are."""
    moments = {}
    for name in config.columns:
        found, positions = learned[f"{name}.moments"], positions_of(config, inputs[name])
        mean, deviation = numbers(found, "mean", positions), numbers(found, "standard_deviation", positions)
        moments[name] = np.nan_to_num(mean), np.where(deviation > 0, deviation, 1)

    def standardized(name: str, column: Dense | Ragged) -> Dense | Ragged:
        mean, deviation = moments[name]
        return scaled(column, lambda values: (values - mean) / deviation)

    return lambda columns: applied(config, columns, standardized)
