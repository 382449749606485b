# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Filling in nulls: rows of a column that have no value."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expansion.tensors.columns import Blobs, Column, Dense, Indices, Ragged

# One element: of BOOL, of an integer datatype, of a floating one, of STRING or of BYTES.
Fill: TypeAlias = bool | int | float | str | bytes


def filled(column: Column, rows: Indices, fill: Fill) -> Column:
    """Returns the column, whose rows are of a fixed size, with a value for every element of some rows."""
    if isinstance(column, Ragged):
        raise TypeError("rows of no known size can't be filled in")
    if isinstance(column, Dense):
        values = column.values.copy()  # those of a TensorBatch are a view of it
        values[rows] = fill
        return Dense(values)
    is_null = np.zeros((len(column), column.row_size), np.bool_)
    is_null[rows] = True
    element = pa.scalar(fill.encode() if isinstance(fill, str) else fill, column.array.type)
    array = pc.if_else(pa.array(is_null.ravel()), element, column.array)
    return Blobs(column.datatype, array, column.shape, len(column))
