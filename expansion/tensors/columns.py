# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns in memory: what hooks and models work on. Nothing here knows Beam or a framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from expansion.contract.fields import Field, datatype_of
from expansion.tensors.blobs import Blobs, RaggedBlobs
from expansion.tensors.ragged_shapes import Indices, Shapes, elements_of, offsets_of

__all__ = ["Blobs", "Column", "Columns", "Dense", "Indices", "Ragged", "RaggedBlobs", "as_ragged"]


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
    shapes: Shapes

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
        return offsets_of(self.shapes)

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
        return Ragged(self.values[elements_of(self.offsets, indices)], self.shapes[indices])

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


Column: TypeAlias = Dense | Ragged | Blobs | RaggedBlobs


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
    if len({(type(column), column.shape) for column in columns}) > 1:  # some batches happened to be uniform, others not
        columns = [as_ragged(column) for column in columns]
    joined: Column = type(columns[0]).concat(columns)
    return joined


@overload
def as_ragged(column: Dense | Ragged) -> Ragged: ...
@overload
def as_ragged(column: Blobs | RaggedBlobs) -> RaggedBlobs: ...
def as_ragged(column: Column) -> Ragged | RaggedBlobs:
    """Returns the column as one whose rows may differ in shape. The elements of one of one shape are not copied."""
    if isinstance(column, (Ragged, RaggedBlobs)):
        return column
    shapes = np.tile(np.array(column.shape, np.int32), (len(column), 1))
    if isinstance(column, Blobs):
        return RaggedBlobs(column.datatype, column.array, shapes)
    return Ragged(np.ascontiguousarray(column.values).reshape(-1), shapes)
