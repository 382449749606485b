# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where the elements of rows are that lie one after another, each row in its own shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.integer[Any]]
Shapes = npt.NDArray[np.int32]


def offsets_of(shapes: Shapes) -> npt.NDArray[np.int64]:
    """Returns where each row's elements begin and the last one's end.

    Args:
        shapes: Array [rows, rank], the shape of each row.

    Returns:
        Array [rows + 1].
    """
    sizes = np.prod(shapes, axis=1, dtype=np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def elements_of(offsets: npt.NDArray[np.int64], rows: Indices) -> npt.NDArray[np.int64]:
    """Returns where the elements of some rows are, those of the first row first.

    Args:
        offsets: Array [rows + 1], as ``offsets_of`` returns it.
        rows: Which rows, in any order.
    """
    starts = offsets[:-1][rows]
    sizes = np.diff(offsets)[rows]
    # Element e of the result lies in row r at starts[r] + (e − first element of r in the result).
    first = np.cumsum(sizes) - sizes
    return np.asarray(np.arange(int(sizes.sum())) + np.repeat(starts - first, sizes), np.int64)
