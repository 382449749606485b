# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns of STRING and BYTES in memory: of rows of one shape, and of rows that may differ in shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.tensors.ragged_shapes import Indices, Shapes, elements_of, offsets_of


@dataclass(frozen=True)
class Blobs:
    """A column of STRING or BYTES.

    Attributes:
        datatype: "STRING" or "BYTES".
        array: pyarrow binary array (32-bit offsets) of rows × elements of a row.
        shape: Shape of one row, without -1.
        row_count: Number of rows.
    """

    datatype: str
    array: pa.Array
    shape: tuple[int, ...]
    row_count: int

    @property
    def nbytes(self) -> int:
        """Bytes of the elements and their offsets."""
        return int(self.array.nbytes)

    def __len__(self) -> int:
        return self.row_count

    @property
    def row_size(self) -> int:
        """Number of elements in one row."""
        return int(np.prod(self.shape, dtype=np.int64))

    def take(self, indices: Indices) -> Blobs:
        """Returns the rows at ``indices``, in that order."""
        indices = np.asarray(indices, np.int64)
        elements = (indices[:, None] * self.row_size + np.arange(self.row_size)).ravel()
        return Blobs(self.datatype, self.array.take(pa.array(elements)), self.shape, len(indices))

    def slice(self, start: int, stop: int) -> Blobs:
        """Returns rows start to stop, as a view."""
        start, stop, _ = slice(start, stop).indices(self.row_count)
        count = max(0, stop - start)
        return Blobs(self.datatype, self.array.slice(start * self.row_size, count * self.row_size), self.shape, count)

    def to_list(self) -> list[Any]:
        """Returns all elements, in row-major order, as str for STRING and bytes for BYTES."""
        return _elements(self.datatype, self.array)

    def to_rows(self) -> list[Any]:
        """Returns one Python value, or nested list, a row."""
        if not self.shape:
            return self.to_list()
        elements = np.empty(len(self.array), object)
        elements[:] = self.to_list()
        rows: list[Any] = elements.reshape(self.row_count, *self.shape).tolist()
        return rows

    @staticmethod
    def concat(parts: Sequence[Blobs]) -> Blobs:
        """Joins columns of one shape and datatype, rows of the first part first."""
        array = pa.concat_arrays([part.array for part in parts])
        return Blobs(parts[0].datatype, array, parts[0].shape, sum(map(len, parts)))

    @staticmethod
    def of(datatype: str, elements: Sequence[str | bytes], row_count: int, shape: tuple[int, ...] = ()) -> Blobs:
        """Makes a column of all rows' elements, in row-major order."""
        return Blobs(datatype, _binary(elements), shape, row_count)

    @staticmethod
    def constant(text: str, row_count: int) -> Blobs:
        """Makes a STRING column that says the same in every row."""
        return Blobs("STRING", pa.repeat(pa.scalar(text.encode(), pa.binary()), row_count), (), row_count)


@dataclass(frozen=True)
class RaggedBlobs:
    """A column of STRING or BYTES whose rows have the same rank but not the same shape.

    Attributes:
        datatype: "STRING" or "BYTES".
        array: pyarrow binary array (32-bit offsets) of all rows' elements one after another, each row's in row-major
            order.
        shapes: int32 array [rows, rank], the shape of each row.
    """

    datatype: str
    array: pa.Array
    shapes: Shapes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row, -1 in every dimension."""
        return (-1,) * int(self.shapes.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, their offsets and the shapes."""
        return int(self.array.nbytes + self.shapes.nbytes)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Array [rows + 1]: which element each row begins with, and where the last one ends."""
        return offsets_of(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def take(self, indices: Indices) -> RaggedBlobs:
        """Returns the rows at ``indices``, in that order."""
        indices = np.asarray(indices, np.int64)
        array = self.array.take(pa.array(elements_of(self.offsets, indices)))
        return RaggedBlobs(self.datatype, array, self.shapes[indices])

    def slice(self, start: int, stop: int) -> RaggedBlobs:
        """Returns rows start to stop, as a view."""
        start, stop, _ = slice(start, stop).indices(len(self))
        first, end = self.offsets[[start, max(start, stop)]].tolist()
        return RaggedBlobs(self.datatype, self.array.slice(first, end - first), self.shapes[start:stop])

    def to_rows(self) -> list[Any]:
        """Returns one nested list a row."""
        elements = np.empty(len(self.array), object)
        elements[:] = _elements(self.datatype, self.array)
        offsets = self.offsets.tolist()
        return [
            elements[offsets[row] : offsets[row + 1]].reshape(shape).tolist() for row, shape in enumerate(self.shapes)
        ]

    def to_dense(self) -> Blobs:
        """Returns the rows as a column of one shape. They must all have one; at least one row."""
        return Blobs(self.datatype, self.array, tuple(self.shapes[0].tolist()), len(self))

    @staticmethod
    def concat(parts: Sequence[RaggedBlobs]) -> RaggedBlobs:
        """Joins columns of one rank and datatype, rows of the first part first."""
        array = pa.concat_arrays([part.array for part in parts])
        return RaggedBlobs(parts[0].datatype, array, np.concatenate([part.shapes for part in parts]))

    @staticmethod
    def of_rows(datatype: str, rows: Sequence[Any], rank: int) -> Blobs | RaggedBlobs:
        """Makes a column of nested sequences of texts of one rank, 1 or more; of one shape where all rows have one.

        Raises:
            ValueError: A row has another rank, or sequences of unequal length in it.
        """
        arrays = [_array(row, rank) for row in rows]
        shapes = np.array([array.shape for array in arrays], np.int32).reshape(len(arrays), rank)
        elements = _binary([element for array in arrays for element in array.ravel().tolist()])
        column = RaggedBlobs(datatype, elements, shapes)
        return column.to_dense() if arrays and (shapes == shapes[0]).all() else column


def buffers_of(array: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer[Any]]]:
    """Returns the bytes of a binary array's elements, a view, and array [elements + 1]: where each begins, from 0."""
    if len(array) == 0:
        return np.empty(0, np.uint8), np.zeros(1, np.int32)
    _, offsets_buffer, values_buffer = array.buffers()
    dtype = np.dtype(np.int64 if pa.types.is_large_binary(array.type) else np.int32)
    offsets = np.frombuffer(offsets_buffer, dtype, len(array) + 1, array.offset * dtype.itemsize)
    values = np.frombuffer(values_buffer, np.uint8) if values_buffer else np.empty(0, np.uint8)
    return values[offsets[0] : offsets[-1]], offsets - offsets[0]


def compacted(array: pa.Array) -> pa.Array:
    """Returns an array of its own elements alone: a slice keeps, and is pickled with, all that it is a slice of."""
    return array if array.get_total_buffer_size() <= array.nbytes else pa.concat_arrays([array])


def _array(row: Any, rank: int) -> npt.NDArray[Any]:
    array = np.asarray(row, object)
    if array.size == 0:
        array = array.reshape(array.shape + (0,) * (rank - array.ndim))
    if array.ndim != rank or any(isinstance(element, (list, tuple)) for element in array.ravel().tolist()):
        raise ValueError(f"{array.ndim} dimensions, not {rank}")
    return array


def _elements(datatype: str, array: pa.Array) -> list[Any]:
    elements: list[Any] = array.to_pylist()
    return [element.decode() for element in elements] if datatype == "STRING" else elements


def _binary(elements: Sequence[str | bytes]) -> pa.Array:
    encoded = [element.encode() if isinstance(element, str) else element for element in elements]
    return pa.array(encoded, pa.binary())
