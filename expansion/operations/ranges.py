# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Minimum and maximum of a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from expansion.operations.positions import Positions, by_position, count_of, shaped
from expansion.tensors.columns import Column

# Arrays [positions] of the minima and the maxima; where there is no number, the minimum is above the maximum.
_State: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Range:
    """Minimum and maximum of the finite numbers of a column; null where there is none.

    Attributes:
        column: The column.
        positions: Shape of a row, where each position has a range of its own.
    """

    column: str
    positions: Positions = None

    def observe(self, column: Column) -> _State:
        """Returns the minima and maxima of one batch."""
        values = by_position(column, self.positions)
        if values.dtype.kind == "b":
            values = values.view(np.uint8)
        if values.dtype.kind == "f":
            values = values.astype(np.float64, copy=False)
            highest, lowest = np.inf, -np.inf
            finite = np.isfinite(values)
            where: Any = True if finite.all() else finite
        else:
            limits = np.iinfo(values.dtype)
            highest, lowest, where = limits.max, limits.min, True
        return values.min(axis=0, initial=highest, where=where), values.max(axis=0, initial=lowest, where=where)

    def merge(self, states: Sequence[_State]) -> _State:
        """Returns the minima and maxima of all rows."""
        minima, maxima = zip(*states, strict=True)
        return np.minimum.reduce(minima), np.maximum.reduce(maxima)

    def result(self, state: _State | None) -> dict[str, Any]:
        """Returns {"min", "max"}."""
        if state is None:
            none = [None] * count_of(self.positions)
            return {"min": shaped(none, self.positions), "max": shaped(none, self.positions)}
        known = (state[0] <= state[1]).tolist()
        low, high = (  # + 0, as which of -0.0 and 0.0 is the least depends on the order
            [value if there else None for value, there in zip((side + 0).tolist(), known, strict=True)]
            for side in state
        )
        return {"min": shaped(low, self.positions), "max": shaped(high, self.positions)}
