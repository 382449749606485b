# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Rows' values → columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.contract.problems import null, shown
from expansion.tensors.columns import Blobs, Column, Dense, Ragged, RaggedBlobs
from expansion.tensors.nulls import Fill


class Converted(NamedTuple):
    """A column made of rows' values.

    Attributes:
        column: One row a value; rows in ``bad`` hold a zero or an empty value.
        bad: Why a row has no usable value, by its index.
    """

    column: Column
    bad: dict[int, str]


def to_column(values: Sequence[Any], field: Field, fill: Fill | None = None) -> Converted:
    """Makes a column of one field's values, one a row.

    Args:
        values: Python or numpy scalars, str, bytes, or (nested) sequences of one of them.
        field: What the values should be. Dimensions are -1.
        fill: What takes the place of None, in a column of scalars. Default: None is no usable value.

    Returns:
        A Dense column where all rows have one shape, else a Ragged one; Blobs or RaggedBlobs for STRING and BYTES.
    """
    if fill is not None:
        values = [fill if value is None else value for value in values]
    if all(value is not None for value in values):
        try:
            return Converted(_convert(values, field), {})
        except (ValueError, TypeError, OverflowError, AttributeError):
            pass  # some value is of another type or shape: find out which
    converted = [_convert_one(value, field) for value in values]
    bad = {row: item for row, item in enumerate(converted) if isinstance(item, str)}
    empty = _empty(field)
    return Converted(_convert([empty if row in bad else values[row] for row in range(len(values))], field), bad)


def _convert(values: Sequence[Any], field: Field) -> Column:
    if field.datatype in ("STRING", "BYTES"):
        wanted = str if field.datatype == "STRING" else bytes
        _check_types(values, wanted, len(field.shape))
        if field.shape:
            return RaggedBlobs.of_rows(field.datatype, values, len(field.shape))
        return Blobs.of(field.datatype, values, len(values))
    dtype = NUMPY_DTYPES[field.datatype]
    if not field.shape:
        return Dense(_array(values, dtype, 1))
    arrays = [_array(value, dtype, len(field.shape)) for value in values]
    if len({array.shape for array in arrays}) == 1:
        return Dense(np.stack(arrays))
    return Ragged.of_rows(arrays, dtype, len(field.shape))


def _check_types(values: Iterable[Any], wanted: type, depth: int) -> None:
    for value in values:
        if depth and not isinstance(value, (str, bytes)):
            _check_types(value, wanted, depth - 1)
        elif depth or not isinstance(value, wanted):
            raise TypeError(wanted.__name__)


def _array(value: Any, dtype: np.dtype[Any], ndim: int) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.size == 0:
        array = array.astype(dtype).reshape(array.shape + (0,) * (ndim - array.ndim))
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and dtype.kind != "f"):
        raise TypeError(f"{array.dtype} is not {dtype}")
    if (array.dtype.kind == "b") != (dtype.kind == "b") and array.size and array.dtype != dtype:
        raise TypeError(f"{array.dtype} is not {dtype}")
    if dtype.kind in "iu" and array.size and not np.can_cast(array.dtype, dtype, "safe"):
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise OverflowError(f"{array.dtype} values out of range of {dtype}")
    if array.ndim != ndim:
        raise ValueError(f"{array.ndim} dimensions, not {ndim}")
    return array.astype(dtype, copy=False)


def _convert_one(value: Any, field: Field) -> Column | str:
    if value is None:
        return null(field.name)
    try:
        return _convert([value], field)
    except (ValueError, TypeError, OverflowError, AttributeError):
        return f"column {field.name!r} has {shown(value)}, which is not {field}"


def _empty(field: Field) -> Any:
    if field.datatype in ("STRING", "BYTES"):
        if field.shape:
            return np.empty((0,) * len(field.shape), object)
        return "" if field.datatype == "STRING" else b""
    dtype = NUMPY_DTYPES[field.datatype]
    return np.zeros((0,) * len(field.shape), dtype) if field.shape else dtype.type(0)
