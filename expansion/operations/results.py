# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where an operation's results go: `columns` and `outputs`, which all operations' messages have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import NUMERIC, Demands, Kind, computed, in_place, required_names
from expansion.operations.positions import Positions
from expansion.tensors.columns import Column, Columns, Dense, Ragged


class OfColumns(Protocol):
    """A message of an operation on columns, each by itself."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the results; none where they take the columns' places."""


def check_names(config: OfColumns) -> Iterator[Problem]:
    """Yields what is wrong with the names of columns and results."""
    yield from required_names("columns", config.columns)
    if not config.outputs:
        return
    yield from required_names("outputs", config.outputs)
    if len(config.outputs) != len(config.columns):
        reason = f"got {len(config.outputs)}, for columns {len(config.columns)}"
        yield Problem("outputs", f"{reason}; expected a name for each column, or none to replace them")


def outputs_of(config: OfColumns) -> dict[str, str]:
    """Returns the name of each column's result, by the column's."""
    return dict(zip(config.columns, config.outputs or config.columns, strict=True))


def result_fields(
    config: OfColumns,
    inputs: Mapping[str, Field],
    kind: Kind,
    result: Callable[[Field], Field],
    demands: Demands | None = None,
) -> dict[str, Field]:
    """Returns the fields of all columns after an operation.

    Args:
        config: The message.
        inputs: The fields before it.
        kind: Datatypes that the operation takes.
        result: Returns the field of a column's result, under any name.
        demands: With what was found wrong before. Default: nothing.

    Raises:
        ConfigError: With what is found wrong now, too.
    """
    demands = demands or Demands(inputs)
    found = demands.columns("columns", config.columns, kind)
    demands.settle()
    outputs = outputs_of(config)
    return {**inputs, **{outputs[field.name]: result(field).with_name(outputs[field.name]) for field in found}}


def demand_axes(demands: Demands, names: Sequence[str], allowed: Sequence[int], expected: str) -> None:
    """Notes a problem for each column whose rows have another number of axes; ``expected`` says what they should be."""
    for index, name in enumerate(names):
        field = demands.inputs.get(name)
        demands.that(
            field is None or len(field.shape) in allowed,
            f"columns[{index}]",
            f"column {name!r} is {field}; expected {expected}",
        )


def applied(config: OfColumns, columns: Columns, function: Callable[[str, Any], Column]) -> Columns:
    """Returns the columns with a function's results; it gets a column's name and the column.

    Raises:
        BadRows: Those of every column, at once.
    """
    return in_place(columns, config.columns, function, outputs_of(config))


def scaled_field(field: Field) -> Field:
    """Returns the field of a column that is scaled: FP64 where it is that, else FP32."""
    return Field(field.name, "FP64" if field.datatype == "FP64" else "FP32", field.shape)


def scaled(
    column: Dense | Ragged, function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> Dense | Ragged:
    """Returns the column with a function applied to its elements in FP64, in the datatype of ``scaled_field``."""
    return computed(column, scaled_field(Field("", column.datatype)).datatype, function, np.float64)


class Elementwise(OfColumns, Protocol):
    """A message of an operation that may tell positions of arrays apart."""

    @property
    def elementwise(self) -> bool:
        """Whether it does."""


def positions_of(config: Elementwise, field: Field) -> Positions:
    """Returns the shape of a row of a column whose positions are told apart; None where all elements are alike."""
    return field.shape if config.elementwise else None


def elementwise_fields(
    config: Elementwise, inputs: Mapping[str, Field], result: Callable[[Field], Field]
) -> dict[str, Field]:
    """Returns the fields after an operation on numbers that may tell positions of arrays apart.

    Raises:
        ConfigError: Also where they are to be, and a column's rows may differ in shape.
    """
    demands = Demands(inputs)
    for index, name in enumerate(config.columns):
        field = inputs.get(name, Field(name, ""))
        demands.that(
            not config.elementwise or -1 not in field.shape,
            f"columns[{index}]",
            f"column {name!r} is {field}; elementwise needs rows of one known shape: reshape or pad it before",
        )
    return result_fields(config, inputs, NUMERIC, result, demands)
