# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Nulls: rows of a column that have no value, how that is told in columns, and filling them in."""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from expansion.contract.fields import NUMPY_DTYPES, Field, is_numeric
from expansion.tensors.columns import Blobs, Column, Columns, Dense, Indices, Ragged, RaggedBlobs

# One element: of BOOL, of an integer datatype, of a floating one, of STRING or of BYTES.
Fill: TypeAlias = bool | int | float | str | bytes

_NULLS_OF = "\0nulls of "


def nulls_of(name: str) -> str:
    """Returns the name of the BOOL column, if there is one, that says where a column is null: its value is no value."""
    return _NULLS_OF + name


def tells_nulls(name: str) -> bool:
    """Whether a column of this name says where another is null."""
    return name.startswith(_NULLS_OF)


def is_null(columns: Columns, name: str) -> npt.NDArray[np.bool_]:
    """Returns for each row whether a column is null there."""
    said = columns.get(nulls_of(name))
    return said.values if isinstance(said, Dense) else np.zeros(columns.row_count, np.bool_)


def without_nulls(columns: Columns, name: str) -> Column:
    """Returns the rows of a column that are not null; there may be none."""
    null = is_null(columns, name)
    return columns[name].take(np.flatnonzero(~null)) if null.any() else columns[name]


def zero(field: Field) -> Fill:
    """Returns what a column of scalars holds where it is null."""
    if is_numeric(field.datatype):
        return cast(Fill, NUMPY_DTYPES[field.datatype].type(0).item())
    return "" if field.datatype == "STRING" else b""


def filled(column: Column, rows: Indices, fill: Fill) -> Column:
    """Returns the column, whose rows are of a fixed size, with a value for every element of some rows."""
    if isinstance(column, (Ragged, RaggedBlobs)):
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
