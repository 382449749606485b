# Licensed under the Apache License, Version 2.0; see LICENSE.
"""impute: fill in what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import NUMPY_DTYPES, Field, is_floating, is_numeric
from expansion.errors import Problem
from expansion.hooks.demands import Demands, elementwise, finite, holds, required_names
from expansion.tensors.columns import Blobs, Column, Columns, RaggedBlobs
from expansion.tensors.nulls import Fill

TAKES_RAGGED = True


def check(config: hook_pb2.Impute) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    yield from finite("value", config.value)


def fields(config: hook_pb2.Impute, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, which stay the same."""
    demands = Demands(inputs)
    columns = demands.columns("columns", config.columns)
    known = [field for field in columns if field.name in inputs]
    for field in known:
        demands.that(
            not is_numeric(field.datatype) or holds(field.datatype, config.value),
            "value",
            f"got {config.value:g}, which column {field.name!r} can't hold, for it is {field.datatype}",
        )
    numeric = [is_numeric(field.datatype) for field in known]
    demands.that(not config.value or not known or any(numeric), "value", "no column is a number; set text instead")
    demands.that(
        not config.text or not known or not all(numeric), "text", "no column is STRING or BYTES; set value instead"
    )
    demands.settle()
    return dict(inputs)


def null_fill(config: hook_pb2.Impute, field: Field) -> Fill | None:
    """Returns what nulls of the input become in a column that no earlier hook reads or changes.

    Returns:
        The value of each element of a row, in the column's datatype; None if a row's size varies, so that nulls stay.
    """
    if -1 in field.shape:
        return None
    if field.datatype == "STRING":
        return config.text
    if field.datatype == "BYTES":
        return config.text.encode()
    fill: Fill = NUMPY_DTYPES[field.datatype].type(config.value).item()
    return fill


def build(config: hook_pb2.Impute) -> Callable[[Columns], Columns]:
    """Returns the operation, which fills in NaN; nulls of the input are filled in before, where it is decoded."""

    def imputed(column: Column) -> Column:
        if isinstance(column, (Blobs, RaggedBlobs)) or not is_floating(column.datatype):
            return column
        return elementwise(column, lambda values: np.where(np.isnan(values), values.dtype.type(config.value), values))

    def impute(columns: Columns) -> Columns:
        return columns.with_columns({name: imputed(columns[name]) for name in config.columns})

    return impute
