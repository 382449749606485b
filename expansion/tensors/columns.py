# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns in memory: what hooks and models work on. Nothing here knows Beam or a framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract.fields import Field, datatype_of
from expansion.errors import SystemicError

Indices = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Dense:
    """A column whose rows all have one shape.

    Attributes:
        values: Array [rows, *shape]. Of dtype object it holds Python values that are carried, never computed with.
    """

    values: npt.NDArray[Any]

    @property
    def datatype(self) -> str:
        """Datatype of an element; empty for dtype object."""
        return datatype_of(self.values.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.values.shape[1:]

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return int(self.values.nbytes)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, indices: Indices) -> Dense:
        """Returns the rows at ``indices``, in that order."""
        return Dense(self.values[indices])

    def slice(self, start: int, stop: int) -> Dense:
        """Returns rows start to stop, as a view."""
        return Dense(self.values[start:stop])

    def to_rows(self) -> list[Any]:
        """Returns one Python value, or nested list, a row."""
        rows: list[Any] = self.values.tolist()
        return rows

    @staticmethod
    def concat(parts: Sequence[Dense]) -> Dense:
        """Joins columns of one shape and datatype, rows of the first part first."""
        return Dense(np.concatenate([part.values for part in parts]))


@dataclass(frozen=True)
class Ragged:
    """A column of numbers whose rows have the same rank but not the same shape.

    Attributes:
        values: Array [elements], all rows' elements one after another, each row's in row-major order.
        shapes: int32 array [rows, rank], the shape of each row.
    """

    values: npt.NDArray[Any]
    shapes: npt.NDArray[np.int32]

    @property
    def datatype(self) -> str:
        """Datatype of an element."""
        return datatype_of(self.values.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row, -1 in every dimension."""
        return (-1,) * int(self.shapes.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the elements and the shapes."""
        return int(self.values.nbytes + self.shapes.nbytes)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """Array [rows + 1]: where each row's elements begin and the last one's end."""
        sizes = np.prod(self.shapes, axis=1, dtype=np.int64)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    def __len__(self) -> int:
        return len(self.shapes)

    def rows(self) -> Iterator[npt.NDArray[Any]]:
        """Yields a view of each row, in its own shape."""
        offsets = self.offsets
        for row, shape in enumerate(self.shapes):
            yield self.values[offsets[row] : offsets[row + 1]].reshape(shape)

    def take(self, indices: Indices) -> Ragged:
        """Returns the rows at ``indices``, in that order."""
        indices = np.asarray(indices)
        starts = self.offsets[:-1][indices]
        sizes = np.diff(self.offsets)[indices]
        # Element e of the result lies in row r at starts[r] + (e − first element of r in the result).
        first = np.cumsum(sizes) - sizes
        gather = np.arange(int(sizes.sum())) + np.repeat(starts - first, sizes)
        return Ragged(self.values[gather], self.shapes[indices])

    def slice(self, start: int, stop: int) -> Ragged:
        """Returns rows start to stop, as a view."""
        offsets = self.offsets
        start, stop, _ = slice(start, stop).indices(len(self))
        return Ragged(self.values[offsets[start] : offsets[max(start, stop)]], self.shapes[start:stop])

    def to_rows(self) -> list[Any]:
        """Returns one nested list a row."""
        return [row.tolist() for row in self.rows()]

    def to_dense(self) -> Dense:
        """Returns the rows stacked. They must all have one shape; at least one row."""
        return Dense(self.values.reshape(len(self), *self.shapes[0]))

    @staticmethod
    def concat(parts: Sequence[Ragged]) -> Ragged:
        """Joins columns of one rank and datatype, rows of the first part first."""
        return Ragged(np.concatenate([part.values for part in parts]), np.concatenate([part.shapes for part in parts]))

    @staticmethod
    def of_rows(rows: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike, rank: int) -> Ragged:
        """Makes a column of arrays of one rank."""
        shapes = np.array([row.shape for row in rows], np.int32).reshape(len(rows), rank)
        values = np.concatenate([row.ravel() for row in rows]) if rows else np.empty(0)
        return Ragged(np.ascontiguousarray(values, dtype), shapes)


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
        elements: list[Any] = self.array.to_pylist()
        return [element.decode() for element in elements] if self.datatype == "STRING" else elements

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
        encoded = [element.encode() if isinstance(element, str) else element for element in elements]
        return Blobs(datatype, pa.array(encoded, pa.binary()), shape, row_count)

    @staticmethod
    def constant(text: str, row_count: int) -> Blobs:
        """Makes a STRING column that says the same in every row."""
        return Blobs("STRING", pa.repeat(pa.scalar(text.encode(), pa.binary()), row_count), (), row_count)


Column: TypeAlias = Dense | Ragged | Blobs


class Columns(Mapping[str, Column]):
    """Named columns of one length, in order. Immutable; the ``with…`` methods return new ones and copy no data."""

    def __init__(self, columns: Mapping[str, Column], row_count: int):
        self._columns = dict(columns)
        self.row_count = row_count

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        """Number of columns, as of any mapping; the number of rows is ``row_count``."""
        return len(self._columns)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self._columns.values())

    def fields(self) -> dict[str, Field]:
        """Returns the field of each column."""
        return {name: Field(name, column.datatype, column.shape) for name, column in self.items()}

    def with_column(self, name: str, column: Column) -> Columns:
        """Returns these columns with one more, or with one replaced in its place."""
        return Columns({**self._columns, name: column}, self.row_count)

    def with_columns(self, columns: Mapping[str, Column]) -> Columns:
        """Returns these columns with others added or replaced in their places."""
        return Columns({**self._columns, **columns}, self.row_count)

    def select(self, names: Sequence[str]) -> Columns:
        """Returns the named columns, in that order."""
        return Columns({name: self._columns[name] for name in names}, self.row_count)

    def take(self, indices: Indices) -> Columns:
        """Returns the rows at ``indices``, in that order."""
        return Columns({name: column.take(indices) for name, column in self.items()}, len(indices))

    def slice(self, start: int, stop: int) -> Columns:
        """Returns rows start to stop, as views."""
        start, stop, _ = slice(start, stop).indices(self.row_count)
        columns = {name: column.slice(start, stop) for name, column in self.items()}
        return Columns(columns, max(0, stop - start))

    @staticmethod
    def concat(parts: Sequence[Columns]) -> Columns:
        """Joins columns of the same names, rows of the first part first. A single part is returned as it is."""
        if len(parts) == 1:
            return parts[0]
        columns = {name: _concat([part[name] for part in parts]) for name in parts[0]}
        return Columns(columns, sum(part.row_count for part in parts))


def _concat(columns: Sequence[Any]) -> Column:
    columns = [column for column in columns if len(column)] or columns[:1]  # the shape of no rows says nothing
    if all(isinstance(column, Dense) for column in columns) and len({column.shape for column in columns}) > 1:
        columns = [as_ragged(column) for column in columns]
    if len({type(column) for column in columns}) > 1:  # some batches happened to be uniform, others not
        columns = [as_ragged(column) for column in columns]
    if isinstance(columns[0], Blobs) and len({column.shape for column in columns}) > 1:
        raise SystemicError("texts of unequal shape can't be one column; give them one shape before")
    joined: Column = type(columns[0]).concat(columns)
    return joined


def as_ragged(column: Dense | Ragged) -> Ragged:
    """Returns the column as one whose rows may differ in shape. A dense column's values are not copied."""
    if isinstance(column, Ragged):
        return column
    shapes = np.tile(np.array(column.shape, np.int32), (len(column), 1))
    return Ragged(np.ascontiguousarray(column.values).reshape(-1), shapes)
