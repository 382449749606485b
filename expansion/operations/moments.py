# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Mean and standard deviation of a column, correctly rounded from exact sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expansion.operations.exact_sums import SCALE, Sums, exact_sums
from expansion.operations.positions import Positions, by_position, count_of, shaped
from expansion.tensors.columns import Column


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation (÷ n) of the finite numbers of a column; null where there is none.

    Attributes:
        column: The column.
        positions: Shape of a row, where each position has moments of its own.
    """

    column: str
    positions: Positions = None

    def observe(self, column: Column) -> Sums:
        """Returns the sums of one batch."""
        return exact_sums(by_position(column, self.positions))

    def merge(self, states: Sequence[Sums]) -> Sums:
        """Returns the sums of all rows."""
        first, *others = states
        return sum(others, first)

    def result(self, state: Sums | None) -> dict[str, Any]:
        """Returns {"mean", "standard_deviation"}."""
        none = [None] * count_of(self.positions)
        by_sums = list(zip(state.count, state.total, state.squares, strict=True)) if state else [(0, 0, 0)] * len(none)
        return {
            "mean": shaped([_mean(count, total) for count, total, _ in by_sums], self.positions),
            "standard_deviation": shaped([_deviation(*sums) for sums in by_sums], self.positions),
        }


def _mean(count: int, total: int) -> float | None:
    return total / (count << SCALE) if count else None  # division of Python's integers rounds correctly


def _deviation(count: int, total: int, squares: int) -> float | None:
    return square_root(count * squares - total * total, (count << SCALE) ** 2) if count else None


def square_root(numerator: int, denominator: int) -> float:
    """Returns the square root of a fraction, 0 or more, correctly rounded where it is a normal FP64."""
    # Of a quotient of 112 bits or more the root has 56 or more: 3 beyond the 53 that are kept, the last of which says
    # whether anything was cut off.
    shift = max(0, 113 - numerator.bit_length() + denominator.bit_length())
    shift += shift % 2
    scaled, rest = divmod(numerator << shift, denominator)
    root = math.isqrt(scaled)
    if rest or root * root != scaled:
        root |= 1
    return root / (1 << shift // 2)
