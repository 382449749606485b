# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batches of any number of rows, for an engine that takes only some: cut into parts, and padded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.errors import BadRows, SystemicError

_Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Limits:
    """The shapes that an engine takes, with the batch.

    Attributes:
        shapes: By name of the input, the smallest and the largest shape; equal where only one is taken.
    """

    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]

    @property
    def min_rows(self) -> int:
        """The smallest batch that every input takes."""
        return max(smallest[0] for smallest, _ in self.shapes.values())

    @property
    def max_rows(self) -> int:
        """The largest batch that every input takes."""
        return min(largest[0] for _, largest in self.shapes.values())

    def check(self, arrays: _Arrays) -> None:
        """Refuses rows that are smaller or larger than the engine takes.

        Args:
            arrays: By name of the input, [rows, *shape].

        Raises:
            BadRows: All rows, which have one shape.
        """
        for name, array in arrays.items():
            smallest, largest = (shape[1:] for shape in self.shapes[name])
            if not all(map(_between, smallest, array.shape[1:], largest)):
                takes = f"{list(smallest)}" if smallest == largest else f"{list(smallest)} to {list(largest)}"
                reason = f"shape {list(array.shape[1:])} does not fit model input {name!r}, whose engine takes {takes}"
                fix = "reshape, pad or cut the column in a pre hook, or build the engine for other sizes"
                raise BadRows(dict.fromkeys(range(len(array)), f"{reason}; {fix}"))


def parts(arrays: _Arrays, min_rows: int, max_rows: int) -> Iterator[tuple[int, dict[str, npt.NDArray[Any]]]]:
    """Cuts a batch into parts of at most ``max_rows`` rows, and pads the last one to ``min_rows``.

    Args:
        arrays: By name of the input, [rows, *shape].
        min_rows: Rows that a part needs to have.
        max_rows: Rows that a part may have; at least ``min_rows``.

    Yields:
        The number of rows of the batch in the part, and the part's arrays, C-contiguous. Padding repeats the last row,
        which the model takes for certain, and stands behind the batch's rows.
    """
    row_count = len(next(iter(arrays.values())))
    for start in range(0, row_count, max_rows):
        count = min(max_rows, row_count - start)
        cut = {name: array[start : start + count] for name, array in arrays.items()}
        if count < min_rows:
            cut = {
                name: np.concatenate([part, np.repeat(part[-1:], min_rows - count, axis=0)])
                for name, part in cut.items()
            }
        yield count, {name: np.ascontiguousarray(part) for name, part in cut.items()}


def without_padding(name: str, result: npt.NDArray[Any], given: int, count: int) -> npt.NDArray[Any]:
    """Returns an output of a part without the rows that padding made.

    Args:
        name: The output's name.
        result: What the engine returned.
        given: Rows that went in, with padding.
        count: Rows of the batch among them.

    Raises:
        SystemicError: The output does not have one row for each that went in.
    """
    if result.shape[:1] != (given,):
        reason = f"output {name!r} has shape {list(result.shape)} for {given} rows"
        raise SystemicError(f"{reason}; expected rows along its first axis")
    return result[:count]


def _between(low: int, size: int, high: int) -> bool:
    return low <= size <= high
