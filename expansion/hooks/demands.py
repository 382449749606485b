# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What hooks demand: of their message, of the columns they read, and of the rows they are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract.fields import NUMPY_DTYPES, Field, is_floating, is_integer, is_numeric
from expansion.contract.problems import MAX_PROBLEMS, did_you_mean, first, repeated
from expansion.errors import BadRows, ConfigError, Problem
from expansion.tensors.columns import Blobs, Column, Columns, Dense, Ragged, RaggedBlobs

FLOATING_DATATYPES = tuple(filter(is_floating, NUMPY_DTYPES))


# Of the message, for check().


def required(path: str, name: str) -> Iterator[Problem]:
    """Yields a problem if the name of a column is missing."""
    if not name:
        yield Problem(path, "missing; expected the name of a column")


def required_names(path: str, names: Sequence[str]) -> Iterator[Problem]:
    """Yields a problem if there is no name, and one for each that is empty or said twice."""
    if not names:
        yield Problem(path, "missing; expected the names of one or more columns")
    twice = repeated(names)
    for index, name in enumerate(names):
        if not name:
            yield Problem(f"{path}[{index}]", "empty; expected the name of a column")
        elif index in twice:
            yield Problem(f"{path}[{index}]", f"column {name!r} is named twice; name it once")


def datatype_among(path: str, datatype: str, allowed: Collection[str]) -> Iterator[Problem]:
    """Yields a problem if a datatype is not one of those allowed."""
    if datatype not in allowed:
        yield Problem(path, f"{datatype!r} is not a datatype that fits here; {did_you_mean(datatype, allowed)}")


def finite(path: str, value: float) -> Iterator[Problem]:
    """Yields a problem if a number is NaN or infinite."""
    if not math.isfinite(value):
        yield Problem(path, f"got {value}; expected a finite number")


def holds(datatype: str, value: float) -> bool:
    """Whether a numeric datatype holds a number: exactly, but for rounding where it is floating."""
    if datatype == "BOOL":
        return value in (0, 1)
    if is_floating(datatype):
        return not math.isfinite(value) or abs(value) <= float(np.finfo(NUMPY_DTYPES[datatype]).max)
    limits = np.iinfo(NUMPY_DTYPES[datatype])
    return float(value).is_integer() and limits.min <= int(value) <= limits.max


def floating_datatype(asked: str, datatype: str) -> str:
    """Returns the datatype of a floating result: the one asked for, else the column's if it is floating, else FP32."""
    return asked or (datatype if is_floating(datatype) else "FP32")


# Of the columns, for fields().


@dataclass(frozen=True)
class Kind:
    """Which datatypes a hook takes.

    Attributes:
        description: What they are, for messages.
        holds: Whether a datatype is one of them.
    """

    description: str
    holds: Callable[[str], bool]


ANY = Kind("any datatype", lambda datatype: True)
NUMERIC = Kind("a number", is_numeric)
FLOATING = Kind("a floating datatype", is_floating)
INTEGER = Kind("an integer datatype", is_integer)
STRING = Kind("STRING", lambda datatype: datatype == "STRING")


class Demands:
    """Looks up columns and collects every problem found on the way.

    Attributes:
        inputs: The fields of all columns.
    """

    def __init__(self, inputs: Mapping[str, Field]):
        self.inputs = inputs
        self._problems: list[Problem] = []

    def column(self, path: str, name: str, kind: Kind = ANY, *, vector: bool = False) -> Field:
        """Returns the field of a column.

        Args:
            path: Path of the name in the hook's message.
            name: Name of the column.
            kind: Datatypes that the hook takes.
            vector: Whether a row must have a last axis, of at least one element.

        Returns:
            The field; some field if there is a problem, which ``settle`` then raises.
        """
        field = self.inputs.get(name)
        if field is None:
            self.that(False, path, f"there is no column {name!r}; {did_you_mean(name, self.inputs)}")
            return Field(name, "")
        self.that(kind.holds(field.datatype), path, f"column {name!r} is {field}; expected {kind.description}")
        self.that(
            not vector or field.shape[-1:] not in ((), (0,)),
            path,
            f"column {name!r} is {field}; expected a last axis with at least one element",
        )
        return field

    def columns(self, path: str, names: Sequence[str], kind: Kind = ANY) -> list[Field]:
        """Returns the fields of several columns, as ``column`` does."""
        return [self.column(f"{path}[{index}]", name, kind) for index, name in enumerate(names)]

    def that(self, condition: bool, path: str, message: str) -> None:
        """Notes a problem unless the condition holds; raises them, as ``settle`` does, once there are too many."""
        if not condition:
            self._problems.append(Problem(path, message))
            if len(self._problems) > MAX_PROBLEMS:
                self.settle()

    def settle(self) -> None:
        """Raises ConfigError with every problem found, if there was one."""
        if self._problems:
            raise ConfigError(first(self._problems))


# Of the rows, for build().


def dense(columns: Columns, name: str) -> Dense:
    """Returns a column of numbers whose rows all have one shape."""
    column = columns[name]
    if not isinstance(column, Dense):
        raise TypeError(f"rows of column {name!r} differ in shape, or are no numbers")
    return column


def scores(columns: Columns, name: str, at_least: int = 1) -> npt.NDArray[Any]:
    """Returns the values of a dense column whose last axis has at least so many elements.

    Raises:
        BadRows: It has fewer. All rows are bad, as they all have one shape.
    """
    values = dense(columns, name).values
    size = values.shape[-1]
    if size < at_least:
        raise BadRows(
            dict.fromkeys(range(len(values)), f"column {name!r} has {size} elements; expected {at_least} or more")
        )
    return values


def numbers(columns: Columns, name: str) -> Dense | Ragged:
    """Returns a column of numbers, whatever the shapes of its rows."""
    column = columns[name]
    if isinstance(column, (Blobs, RaggedBlobs)):
        raise TypeError(f"column {name!r} holds {column.datatype}, not numbers")
    return column


def with_elements(column: Column, elements: npt.NDArray[Any]) -> Dense | Ragged:
    """Returns a column of numbers whose rows have the shapes of another's.

    Args:
        column: The other, of anything.
        elements: Array of as many elements as it has, in row-major order.
    """
    if isinstance(column, (Ragged, RaggedBlobs)):
        return Ragged(elements, column.shapes)
    return Dense(elements.reshape(len(column), *column.shape))


def with_texts(column: Column, datatype: str, elements: pa.Array) -> Blobs | RaggedBlobs:
    """Returns a column of texts whose rows have the shapes of another's.

    Args:
        column: The other, of anything.
        datatype: "STRING" or "BYTES".
        elements: Binary array of as many elements as it has, in row-major order.
    """
    if isinstance(column, (Ragged, RaggedBlobs)):
        return RaggedBlobs(datatype, elements, column.shapes)
    return Blobs(datatype, elements, column.shape, len(column))


def elementwise(column: Dense | Ragged, function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Dense | Ragged:
    """Returns the column with a function applied to its elements; the function keeps the shape of its argument."""
    return replace(column, values=function(column.values))


def computed(
    column: Dense | Ragged,
    datatype: str,
    function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    at_least: npt.DTypeLike = np.float32,
) -> Dense | Ragged:
    """Returns the column with a function applied to its elements, as ``elementwise`` does, in a floating datatype.

    Args:
        column: The column.
        datatype: Floating datatype of the result.
        function: Gets a copy of the elements, which it may change, in a datatype that holds them and the result.
        at_least: Floating dtype in which it gets them, or a wider one.
    """
    dtype = NUMPY_DTYPES[datatype]
    # FP32 does not hold every INT32 exactly: what is computed with is at least as wide as what comes in.
    wide = np.result_type(column.values.dtype, dtype, at_least)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return elementwise(column, lambda values: function(values.astype(wide)).astype(dtype, copy=False))


def in_place(
    columns: Columns,
    names: Iterable[str],
    function: Callable[[str, Any], Column],
    outputs: Mapping[str, str] | None = None,
) -> Columns:
    """Returns the columns with a function's results in place of the named ones.

    Args:
        columns: The columns.
        names: Which of them the function gets.
        function: It gets a column's name and the column.
        outputs: Names of the results, by the column's. Default: the columns' own.

    Raises:
        BadRows: Those of every column, at once.
    """
    results: dict[str, Column] = {}
    messages: dict[int, str] = {}
    for name in names:
        try:
            results[outputs[name] if outputs else name] = function(name, columns[name])
        except BadRows as bad:  # noqa: PERF203 - a turn is a column; the others may have bad rows of their own
            messages.update(bad.messages)
    if messages:
        raise BadRows(messages)
    return columns.with_columns(results)


def reject(column: Column, bad: npt.NDArray[np.bool_], reason: Callable[[int], str]) -> None:
    """Raises BadRows if some elements of a column are bad.

    Args:
        column: The column.
        bad: Whether an element is bad: an array of all elements, in row-major order.
        reason: Why; called with the position in ``bad`` of the first bad element of each row that has one.
    """
    positions = np.flatnonzero(bad)
    if not positions.size:
        return
    if isinstance(column, (Ragged, RaggedBlobs)):
        rows = np.searchsorted(column.offsets, positions, side="right") - 1
    else:
        rows = positions // (bad.size // len(column))
    bad_rows, first = np.unique(rows, return_index=True)
    raise BadRows({int(row): reason(int(position)) for row, position in zip(bad_rows, positions[first], strict=True)})
