# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From columns to the one array, or the one column, that a model's input takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract.fields import NUMPY_DTYPES, VARIABLE_LENGTH, Field
from expansion.errors import BadRows
from expansion.tensors.columns import Blobs, Column, Columns, Dense


def stack(columns: Columns, field: Field) -> npt.NDArray[Any]:
    """Joins columns into one array for a model input.

    One column is taken as it is; several are joined along the first axis of a row, scalars counting as vectors of one
    element. So does a single scalar where the input takes a vector.

    Args:
        columns: At least one; no Ragged and no RaggedBlobs.
        field: The model input: datatype (empty keeps what numpy's promotion gives) and row shape, -1 for any size.

    Returns:
        Array [rows, *shape] of the datatype, C-contiguous; dtype object of str for STRING and of bytes for BYTES,
        of texts their UTF-8.

    Raises:
        BadRows: The rows do not have the shape that the input takes.
    """
    arrays = [_array(column, field.datatype) for column in columns.values()]
    dtype = NUMPY_DTYPES.get(field.datatype)
    if len(arrays) > 1 or (arrays[0].ndim == 1 and len(field.shape) == 1):
        vectors = [array[:, None] if array.ndim == 1 else array for array in arrays]
        # Joined and converted in one pass.
        arrays = [np.concatenate(vectors, axis=1, dtype=dtype, casting="unsafe" if dtype else "same_kind")]
    array = arrays[0]
    if not fits(array.shape[1:], field.shape):
        reason = (
            f"shape {list(array.shape[1:])} does not fit model input {field.name!r}, which takes {list(field.shape)}"
        )
        raise BadRows(dict.fromkeys(range(len(array)), f"{reason}; reshape or pad the column in a pre hook"))
    return array if dtype is None else np.ascontiguousarray(array, dtype)


def joined(columns: Columns, field: Field) -> Dense | Blobs:
    """Joins columns into one column for a model input, as ``stack`` does, where arrays of texts are not wanted.

    Raises:
        BadRows: The rows do not have the shape that the input takes.
    """
    only = next(iter(columns.values()))
    if len(columns) == 1 and isinstance(only, Blobs) and fits(only.shape, field.shape):
        return Blobs(field.datatype, only.array, only.shape, len(only))
    array = stack(columns, field)
    if field.datatype in VARIABLE_LENGTH:
        return Blobs.of(field.datatype, array.ravel().tolist(), len(array), array.shape[1:])
    return Dense(array)


def fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether a row of one shape may go where another is expected; -1 on either side fits any size."""
    return len(shape) == len(expected) and all(a == b or -1 in (a, b) for a, b in zip(shape, expected, strict=True))


def _array(column: Column, datatype: str) -> npt.NDArray[Any]:
    if isinstance(column, Dense):
        return column.values
    if isinstance(column, Blobs):
        elements = np.empty(len(column.array), object)
        elements[:] = column.array.to_pylist() if datatype == "BYTES" else column.to_list()
        return elements.reshape(len(column), *column.shape)
    raise TypeError("rows of unequal shape reached the model; they are grouped by shape before it")
