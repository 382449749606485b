# Licensed under the Apache License, Version 2.0; see LICENSE.
"""argmax: find the index of the largest score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import NUMERIC, Demands, required, scores
from expansion.tensors.columns import Columns, Dense


def check(config: hook_pb2.Argmax) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)


def fields(config: hook_pb2.Argmax, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with an INT64 one that lacks the last axis for the result."""
    demands = Demands(inputs)
    column = demands.column("column", config.column, NUMERIC, vector=True)
    demands.settle()
    output = config.output or config.column
    return {**inputs, output: Field(output, "INT64", column.shape[:-1])}


def build(config: hook_pb2.Argmax) -> Callable[[Columns], Columns]:
    """Returns the operation. NaN counts as larger than any number, as it does in numpy."""

    def argmax(columns: Columns) -> Columns:
        indices = scores(columns, config.column).argmax(axis=-1)
        return columns.with_column(config.output or config.column, Dense(indices.astype(np.int64, copy=False)))

    return argmax
