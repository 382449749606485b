# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns ⇄ tensors, dense and sparse. Imports TensorFlow: for workers that run a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from expansion.contract.fields import VARIABLE_LENGTH, Field
from expansion.errors import BadRows, SystemicError
from expansion.models.tensorflow_function import check_texts
from expansion.tensors.columns import Blobs, Column, Dense, Ragged, RaggedBlobs, as_ragged
from expansion.tft.record_batches import elements_of


def tensor_of(column: Column, field: Field, spec: Any) -> Any:
    """Returns a column as the tensor that a graph takes.

    Args:
        column: The column.
        field: What the graph takes of it.
        spec: What the graph says that it takes.

    Raises:
        SystemicError: That is not what the column can be.
    """
    elements = elements_of(column, field)
    values = _objects(elements) if field.datatype in VARIABLE_LENGTH else elements.to_numpy()
    if isinstance(spec, tf.SparseTensorSpec):
        sizes = np.diff(as_ragged(column).offsets)
        rows = np.repeat(np.arange(len(column)), sizes)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        shape = [len(column), sizes.max(initial=0)]
        return tf.SparseTensor(np.stack([rows, places], axis=1), tf.constant(values, spec.dtype), shape)
    if -1 in column.shape or not isinstance(spec, tf.TensorSpec):
        raise SystemicError(f"the graph takes {spec} for column {field.name!r}, which is {field}")
    return tf.constant(values.reshape(len(column), *column.shape), spec.dtype)


def nothing(spec: Any, row_count: int) -> Any:
    """Returns a tensor that holds nothing, for a column that a graph takes and no result needs."""
    if isinstance(spec, tf.SparseTensorSpec):
        return tf.SparseTensor(np.empty((0, 2), np.int64), tf.zeros([0], spec.dtype), [row_count, 0])
    return tf.zeros([row_count, *spec.shape[1:]], spec.dtype)


def column_of(field: Field, tensor: Any, row_count: int) -> Column:
    """Returns a result as a column.

    Args:
        field: What it is to be.
        tensor: The result.
        row_count: The number of rows that went in.

    Raises:
        BadRows: A row has another number of elements than the field says.
        SystemicError: The result is of another kind.
    """
    if isinstance(tensor, tf.SparseTensor) and len(tensor.shape) == 2:
        sizes = np.bincount(tensor.indices[:, 0].numpy(), minlength=row_count)
        values = tensor.values.numpy()
    elif isinstance(tensor, tf.Tensor) and tensor.shape.rank and tensor.shape[0] == row_count:
        values = tensor.numpy().reshape(-1)
        sizes = np.full(row_count, int(np.prod(tensor.shape[1:], dtype=np.int64)))
    else:
        raise SystemicError(f"the graph returns {tensor!r:.200} for column {field.name!r}; expected {field}")
    if -1 in field.shape:
        return _ragged(field, values, sizes.astype(np.int32)[:, None])
    size = int(np.prod(field.shape, dtype=np.int64))
    wrong = np.flatnonzero(sizes != size).tolist()
    if wrong:
        raise BadRows({row: f"column {field.name!r} has {sizes[row]} elements; expected {field}" for row in wrong})
    if field.datatype in VARIABLE_LENGTH:
        return Blobs(field.datatype, _texts(field, values, sizes), field.shape, row_count)
    return Dense(values.reshape(row_count, *field.shape))


def _ragged(field: Field, values: npt.NDArray[Any], shapes: npt.NDArray[np.int32]) -> Ragged | RaggedBlobs:
    if field.datatype in VARIABLE_LENGTH:
        return RaggedBlobs(field.datatype, _texts(field, values, shapes[:, 0]), shapes)
    return Ragged(values, shapes)


def _texts(field: Field, values: npt.NDArray[Any], sizes: npt.NDArray[np.integer[Any]]) -> pa.Array:
    elements = pa.array(values, pa.binary())
    if field.datatype == "STRING":
        rows = np.repeat(np.arange(len(sizes)), sizes)
        check_texts(elements, rows, f"column {field.name!r} is not UTF-8 text after the graph")
    return elements


def _objects(elements: pa.Array) -> npt.NDArray[Any]:
    array = np.empty(len(elements), object)
    array[:] = elements.to_pylist()
    return array
