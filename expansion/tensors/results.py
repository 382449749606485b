# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From what models and functions return to columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract.fields import NUMPY_DTYPES, VARIABLE_LENGTH, Field, datatype_of, is_integer
from expansion.contract.problems import shown
from expansion.errors import SystemicError
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Blobs, Column, Dense, Ragged, RaggedBlobs

_Array = npt.NDArray[Any]


def column_of(output: str, array: _Array, row_count: int) -> Column:
    """Makes a column of what a model returned for one output.

    Args:
        output: Name of the output, for messages.
        array: Array [row_count, *shape] of numbers, or of str (dtype object or U).
        row_count: Number of rows that went in.

    Returns:
        The column; Dense is a view of the array.

    Raises:
        SystemicError: The array has another number of rows, or holds something that is no datatype.
    """
    _check_rows(output, array.shape, row_count)
    if datatype_of(array.dtype):
        return Dense(array)
    return Blobs("STRING", _blobs(output, array, "STRING"), array.shape[1:], row_count)


def declared_column(field: Field, values: Any, row_count: int) -> Column:
    """Makes a column of what code of a user's own returned for an output that the user declared.

    Numbers are converted to the declared datatype where that loses no value; any number becomes a float.

    Args:
        field: The output.
        values: Array [row_count, *shape], or what numpy makes one of: lists, tensors of other frameworks. Where a size
            varies, a sequence of one array a row may stand for it.
        row_count: Number of rows that went in.

    Raises:
        SystemicError: It has another number of rows, or is of another type or shape than it is declared to be.
        ValueError: Some row has None, or a number that the declared datatype does not hold.
    """
    column: Column
    if field.datatype in VARIABLE_LENGTH:
        column = _declared_blobs(field, values, row_count)
    else:
        column = _declared_numbers(field, values, row_count)
    if not fits(column.shape, field.shape):
        got = Field(field.name, column.datatype, column.shape)
        raise SystemicError(f"output {field.name!r} is {got}; it is declared as {field}")
    return column


def _check_rows(output: str, shape: tuple[int, ...], row_count: int) -> None:
    if shape[:1] != (row_count,):
        raise SystemicError(
            f"output {output!r} has shape {list(shape)} for {row_count} rows; expected rows along its first axis"
        )


def _blobs(output: str, array: _Array, datatype: str) -> pa.Array:
    """Returns the elements of an array of str or bytes, in row-major order, as a binary array; str as UTF-8."""
    no_datatype = SystemicError(f"output {output!r} holds {array.dtype}, which is no datatype")
    if array.dtype.kind not in "OU":
        raise no_datatype
    try:
        # From objects, as pyarrow ends the texts of a U array at the first NUL.
        elements = pa.array(array.ravel().astype(object, copy=False), from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:  # of several types, or of none
        raise no_datatype from error
    is_of_type = pa.types.is_string if datatype == "STRING" else pa.types.is_binary
    if elements.null_count or not (is_of_type(elements.type) or array.size == 0):
        raise no_datatype
    return elements.cast(pa.binary())


def _declared_blobs(field: Field, values: Any, row_count: int) -> Blobs | RaggedBlobs:
    array = _array(values, np.dtype(object))
    _check_rows(field.name, array.shape, row_count)
    if -1 not in field.shape or array.ndim > 1:
        return Blobs(field.datatype, _declared_elements(field, array), array.shape[1:], row_count)
    rows = [np.asarray(row, object) for row in array]
    _check_shapes(field, {row.shape for row in rows})
    elements = np.concatenate([row.ravel() for row in rows]) if rows else array
    shapes = np.array([row.shape for row in rows], np.int32).reshape(row_count, len(field.shape))
    return RaggedBlobs(field.datatype, _declared_elements(field, elements), shapes)


def _declared_elements(field: Field, array: _Array) -> pa.Array:
    elements = array.ravel().tolist()
    if None in elements:
        raise ValueError(f"output {field.name!r} is None; expected {field}")
    try:
        return _blobs(field.name, array, field.datatype)
    except SystemicError as error:
        types = ", ".join(sorted({type(element).__name__ for element in elements}))
        raise SystemicError(f"output {field.name!r} holds {types}; it is declared as {field}") from error


def _check_shapes(field: Field, shapes: Iterable[tuple[int, ...]]) -> None:
    if not all(fits(shape, field.shape) for shape in shapes):
        raise SystemicError(
            f"output {field.name!r} has rows of shapes {shown(sorted(shapes))}; it is declared as {field}"
        )


def _declared_numbers(field: Field, values: Any, row_count: int) -> Dense | Ragged:
    array = _array(values)
    _check_rows(field.name, array.shape, row_count)
    if array.dtype == object:
        return _declared_rows(field, [np.asarray(row) for row in array])
    return Dense(_converted(field, array))


def _array(values: Any, dtype: np.dtype[Any] | None = None) -> _Array:
    """Returns values as an array; where rows differ in shape, as one [rows] of dtype object."""
    try:
        return np.asarray(values, dtype)
    except ValueError:
        return np.fromiter(values, object, len(values))


def _declared_rows(field: Field, rows: Sequence[_Array]) -> Dense | Ragged:
    if any(row.dtype == object and None in row.ravel().tolist() for row in rows):
        raise ValueError(f"output {field.name!r} is None; expected {field}")
    shapes = {row.shape for row in rows}
    if len(shapes) == 1:
        return Dense(_converted(field, np.stack(rows)))
    _check_shapes(field, shapes)
    converted = [_converted(field, row) for row in rows]
    return Ragged.of_rows(converted, NUMPY_DTYPES[field.datatype], len(field.shape))


def _converted(field: Field, array: _Array) -> _Array:
    """Returns an array in the declared datatype."""
    dtype = NUMPY_DTYPES[field.datatype]
    if array.dtype == dtype or array.size == 0:  # numpy takes an empty list for one of floats
        return array.astype(dtype, copy=False)
    are_integers = is_integer(field.datatype) and array.dtype.kind in "iu"
    if not are_integers and not np.can_cast(array.dtype, dtype, "same_kind"):
        got = datatype_of(array.dtype) or array.dtype
        raise SystemicError(
            f"output {field.name!r} is {got}; it is declared as {field}; return that, or declare what it is"
        )
    converted = array.astype(dtype)
    if are_integers and not np.array_equal(converted, array):
        lost = array[converted != array][0]
        raise ValueError(f"output {field.name!r} has {lost}, which is out of the range of {field.datatype}")
    return converted
