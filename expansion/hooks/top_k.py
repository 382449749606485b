# Licensed under the Apache License, Version 2.0; see LICENSE.
"""top_k: find the k largest scores and their indices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import NUMERIC, Demands, required, scores
from expansion.tensors.columns import Columns, Dense


def check(config: hook_pb2.TopK) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    yield from required("indices_output", config.indices_output)
    if config.k < 1:
        yield Problem("k", f"got {config.k}; expected 1 or more")
    if config.indices_output and config.indices_output == _values_output(config):
        yield Problem("indices_output", f"{config.indices_output!r} is where the values go; choose another name")


def fields(config: hook_pb2.TopK, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with one for the values and an INT64 one for the indices, both k long in the last axis."""
    demands = Demands(inputs)
    column = demands.column("column", config.column, NUMERIC, vector=True)
    size = column.shape[-1] if column.shape else config.k
    demands.that(
        config.k <= size or size == -1,
        "k",
        f"got {config.k}; expected at most {size}, the size of the last axis of {config.column!r}",
    )
    demands.settle()
    shape = (*column.shape[:-1], config.k)
    values = Field(_values_output(config), column.datatype, shape)
    return {**inputs, values.name: values, config.indices_output: Field(config.indices_output, "INT64", shape)}


def build(config: hook_pb2.TopK) -> Callable[[Columns], Columns]:
    """Returns the operation. NaN counts as larger than any number, as it does in numpy."""

    def top_k(columns: Columns) -> Columns:
        values = scores(columns, config.column, at_least=config.k)
        # A stable ascending sort of the mirrored axis, read from its end: of equals the lower index comes first.
        ascending = np.argsort(values[..., ::-1], axis=-1, kind="stable")
        indices = values.shape[-1] - 1 - ascending[..., : -config.k - 1 : -1]
        largest = np.take_along_axis(values, indices, axis=-1)
        return columns.with_columns(
            {_values_output(config): Dense(largest), config.indices_output: Dense(indices.astype(np.int64, copy=False))}
        )

    return top_k


def _values_output(config: hook_pb2.TopK) -> str:
    return config.values_output or config.column
