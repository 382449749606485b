# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Elements of a column by position: all alike, or those at each position of a row by themselves.

What is learned by position is a number where all are alike, and else nested lists of a row's shape, so that it
broadcasts against the column's values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.errors import SystemicError
from expansion.operations.statistic import Learned
from expansion.tensors.columns import Column, Dense, Ragged

# Shape of a row whose positions are told apart; None where all elements are alike.
Positions = tuple[int, ...] | None


def by_position(column: Column, positions: Positions) -> npt.NDArray[Any]:
    """Returns the elements of a column of numbers as an array [elements of a position, positions]."""
    assert isinstance(column, (Dense, Ragged))  # noqa: S101 - numbers, as fields() made sure
    return column.values.reshape(-1, 1) if positions is None else column.values.reshape(len(column), -1)


def count_of(positions: Positions) -> int:
    """Returns the number of positions."""
    return int(np.prod(positions or (), dtype=np.int64))


def shaped(values: Sequence[Any], positions: Positions) -> Any:
    """Returns one value a position as JSON: the value, or nested lists of them."""
    array = np.fromiter(values, object, len(values))  # the values may be lists
    return array.reshape(positions or ()).tolist()


def numbers(learned: Learned, key: str, positions: Positions) -> npt.NDArray[np.float64]:
    """Returns learned numbers as an array of the positions' shape; NaN where nothing was learned.

    Raises:
        SystemicError: They are not there, or are none.
    """
    found = entry(learned, key)
    try:
        array = np.array(found, np.float64)
    except (TypeError, ValueError):
        raise SystemicError(f"{key!r} of what was learned is {found!r}; expected numbers") from None
    if array.shape != (positions or ()):
        raise SystemicError(f"{key!r} of what was learned has shape {array.shape}; expected {positions or ()}")
    return array


def entry(learned: Learned, key: str) -> Any:
    """Returns an entry of what a Statistic learned.

    Raises:
        SystemicError: There is none.
    """
    if not isinstance(learned, Mapping) or key not in learned:
        raise SystemicError(f"what was learned has no {key!r}; it is that of another operation")
    return learned[key]
