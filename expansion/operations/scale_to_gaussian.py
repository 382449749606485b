# Licensed under the Apache License, Version 2.0; see LICENSE.
"""scale_to_gaussian: scale to about a normal distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.operations.distribution import TukeyParameters
from expansion.operations.positions import Positions, numbers
from expansion.operations.results import (
    applied,
    check_names,
    elementwise_fields,
    positions_of,
    scaled,
    scaled_field,
)
from expansion.operations.statistic import Learned
from expansion.operations.tukey import to_normal
from expansion.tensors.columns import Columns, Dense, Ragged


def check(config: operation_pb2.ScaleToGaussian) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    return check_names(config)


def fields(config: operation_pb2.ScaleToGaussian, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, FP32 or FP64 ones of the same shapes for the results."""
    return elementwise_fields(config, inputs, scaled_field)


def statistics(config: operation_pb2.ScaleToGaussian, inputs: Mapping[str, Field]) -> dict[str, TukeyParameters]:
    """Returns the parameters of each column's Tukey distribution."""
    return {f"{name}.tukey": TukeyParameters(name, positions_of(config, inputs[name])) for name in config.columns}


def build(
    config: operation_pb2.ScaleToGaussian, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation. Where nothing was learned, values stay as they are."""
    operations = {
        name: _operation(learned[f"{name}.tukey"], positions_of(config, inputs[name])) for name in config.columns
    }

    def gaussian(name: str, column: Dense | Ragged) -> Dense | Ragged:
        return scaled(column, operations[name])

    return lambda columns: applied(config, columns, gaussian)


def _operation(learned: Learned, positions: Positions) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    location, scale, left, right = (
        np.nan_to_num(numbers(learned, key, positions)) for key in ("location", "scale", "left", "right")
    )
    divisor = np.where(scale > 0, scale, 1)

    def gaussian(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        centred = (values - location) / divisor
        return np.where(centred < 0, -to_normal(-centred, left), to_normal(centred, right))

    return gaussian
