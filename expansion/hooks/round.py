# Licensed under the Apache License, Version 2.0; see LICENSE.
"""round: round to so many decimals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import FLOATING, Demands, elementwise, in_place, required_names
from expansion.tensors.columns import Columns, Dense, Ragged

_MOST_DECIMALS = 15  # that an FP64 has, whatever its value

TAKES_RAGGED = True


def check(config: hook_pb2.Round) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    if not 0 <= config.decimals <= _MOST_DECIMALS:
        yield Problem("decimals", f"got {config.decimals}; expected a number from 0 to {_MOST_DECIMALS}")


def fields(config: hook_pb2.Round, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, which stay the same."""
    demands = Demands(inputs)
    demands.columns("columns", config.columns, FLOATING)
    demands.settle()
    return dict(inputs)


def build(config: hook_pb2.Round) -> Callable[[Columns], Columns]:
    """Returns the operation."""

    def rounded(_: str, column: Dense | Ragged) -> Dense | Ragged:
        return elementwise(column, lambda values: _rounded(values, config.decimals))

    def round(columns: Columns) -> Columns:
        return in_place(columns, config.columns, rounded)

    return round


def _rounded(values: npt.NDArray[Any], decimals: int) -> npt.NDArray[Any]:
    # numpy rounds values × 10^decimals, which the smaller datatypes do not hold.
    wide = values.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.round(wide, decimals)
    # Where the product is infinite the value is so large that it has no decimals.
    return np.where(np.isfinite(rounded), rounded, wide).astype(values.dtype, copy=False)
