# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Statistics of a column that need all of its distinct values: quantiles, the median, the most frequent one, L-moments.

The state holds each distinct value once, so it grows with their number: 16 bytes each.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from expansion.operations.lmoments import l_moments
from expansion.operations.positions import Positions, by_position, count_of, shaped
from expansion.operations.tukey import tukey_parameters
from expansion.tensors.columns import Column


class Counts(NamedTuple):
    """Distinct finite values and how often each was there.

    Attributes:
        values: Array [values], ascending: FP64 of floating columns, INT64 or UINT64 of others.
        counts: int64 array [values].
    """

    values: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """Array [values]: how many numbers are not greater than each."""
        return np.cumsum(self.counts)


@dataclass(frozen=True)
class Distribution(ABC):
    """The distinct finite numbers of a column and how often each is there; a kind of it says what is learned of them.

    Attributes:
        column: The column.
        positions: Shape of a row, where each position has a distribution of its own.
    """

    column: str
    positions: Positions = None

    def observe(self, column: Column) -> list[Counts]:
        """Returns the counts of one batch, by position."""
        values = by_position(column, self.positions)
        return [_counted(np.ascontiguousarray(values[:, position])) for position in range(values.shape[1])]

    def merge(self, states: Sequence[list[Counts]]) -> list[Counts]:
        """Returns the counts of all rows, by position."""
        return [_merged(parts) for parts in zip(*states, strict=True)]

    def result(self, state: list[Counts] | None) -> dict[str, Any]:
        """Returns what ``of_counts`` says of each position."""
        none = Counts(np.empty(0), np.empty(0, np.int64))
        results = [self.of_counts(counts) for counts in state or [none] * count_of(self.positions)]
        keys = self.of_counts(none)
        return {key: shaped([result[key] for result in results], self.positions) for key in keys}

    @abstractmethod
    def of_counts(self, counts: Counts) -> dict[str, Any]:
        """Returns what is learned, as JSON values; there may be no value."""


def _counted(values: npt.NDArray[Any]) -> Counts:
    if values.dtype.kind == "f":
        values = values.astype(np.float64, copy=False)
        # -0.0 is 0.0: which of two equal ones stays would depend on the order.
        values = values[np.isfinite(values)] + 0.0
    else:
        values = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64, copy=False)
    return Counts(*np.unique(values, return_counts=True))


def _merged(parts: Sequence[Counts]) -> Counts:
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part.values for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    order = np.argsort(values, kind="stable")  # fast on parts that are sorted
    values, counts = values[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])
    return Counts(values[first], np.add.reduceat(counts, first) if first.size else counts)


@dataclass(frozen=True)
class Quantiles(Distribution):
    """Boundaries between intervals that have about as many numbers each.

    Of n sorted numbers x[0], x[1], …, boundary k of b − 1 is x[⌊k × n ÷ b⌋]. This is what tensorflow-transform
    chooses of data that its sketch holds exactly; of more it is within epsilon × n ranks. In terms of numpy it is
    ``-np.quantile(-x, 1 - k / b, method="inverted_cdf")``. A value that is more than one of the quantiles is more
    than one of the boundaries, so that some intervals are empty.

    Attributes:
        buckets: Number of intervals.
    """

    buckets: int = field(kw_only=True)

    def of_counts(self, counts: Counts) -> dict[str, Any]:
        """Returns {"boundaries"}, a list; empty of no values."""
        if not len(counts.values):
            return {"boundaries": []}
        ends = counts.ends
        total = int(ends[-1])
        ranks = [index * total // self.buckets for index in range(1, self.buckets)]
        return {"boundaries": counts.values[np.searchsorted(ends, ranks, side="right")].tolist()}


@dataclass(frozen=True)
class Median(Distribution):
    """The median: of an even number of values, the mean of the two in the middle. Null of none."""

    def of_counts(self, counts: Counts) -> dict[str, Any]:
        """Returns {"median"}."""
        if not len(counts.values):
            return {"median": None}
        ends = counts.ends
        total = int(ends[-1])
        low, high = counts.values[np.searchsorted(ends, [(total - 1) // 2, total // 2], side="right")].tolist()
        if isinstance(low, float):
            return {"median": (low + high) / 2 if math.isfinite(low + high) else low / 2 + high / 2}
        half, odd = divmod(low + high, 2)
        return {"median": half + 0.5 if odd else half}


@dataclass(frozen=True)
class MostFrequent(Distribution):
    """The number that is there most often; of equally frequent ones the greatest. Null of none."""

    def of_counts(self, counts: Counts) -> dict[str, Any]:
        """Returns {"value", "count"}."""
        if not len(counts.values):
            return {"value": None, "count": 0}
        place = len(counts.counts) - 1 - int(np.argmax(counts.counts[::-1]))
        return {"value": counts.values[place].item(), "count": int(counts.counts[place])}


@dataclass(frozen=True)
class TukeyParameters(Distribution):
    """The Tukey hh distribution whose first four L-moments are those of the column; see tukey.py.

    Without long tails it is the normal distribution with the column's mean and standard deviation. Null of no values.
    """

    def of_counts(self, counts: Counts) -> dict[str, Any]:
        """Returns {"location", "scale", "left", "right"}."""
        if not len(counts.values):
            return {"location": None, "scale": None, "left": None, "right": None}
        return tukey_parameters(l_moments(counts.values, counts.counts))._asdict()
