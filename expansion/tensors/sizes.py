# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How large the rows of columns are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from expansion.tensors.columns import Blobs, Column, Columns, Dense, Ragged, RaggedBlobs


def row_bytes(columns: Columns) -> npt.NDArray[np.int64]:
    """Returns the bytes of each row, all columns together."""
    total = np.zeros(columns.row_count, np.int64)
    for column in columns.values():
        total += _bytes_of_rows(column)
    return total


def row_lengths(column: Column) -> npt.NDArray[np.int64]:
    """Returns the size of each row along its first axis; of a single text, its bytes in UTF-8.

    Raises:
        ValueError: Rows are single numbers, which have no length.
    """
    if isinstance(column, (Ragged, RaggedBlobs)):
        return column.shapes[:, 0].astype(np.int64)
    if column.shape:
        return np.full(len(column), column.shape[0], np.int64)
    if isinstance(column, Blobs):
        return _bytes_of_rows(column)
    raise ValueError("single numbers have no length")


def _bytes_of_rows(column: Column) -> npt.NDArray[np.int64]:
    if isinstance(column, Dense):
        return np.full(len(column), column.nbytes // max(1, len(column)), np.int64)
    if isinstance(column, Ragged):
        return np.asarray(np.diff(column.offsets) * column.values.itemsize, np.int64)
    lengths = np.asarray(pc.binary_length(column.array).to_numpy(zero_copy_only=False), np.int64)
    if isinstance(column, RaggedBlobs):
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return np.asarray(np.diff(ends[column.offsets]), np.int64)
    return np.asarray(lengths.reshape(len(column), column.row_size).sum(axis=1), np.int64)
