# Licensed under the Apache License, Version 2.0; see LICENSE.
"""softmax: turn scores into probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import FLOATING, Demands, required, scores
from expansion.tensors.columns import Columns, Dense


def check(config: hook_pb2.Softmax) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)


def fields(config: hook_pb2.Softmax, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with one of the same datatype and shape for the result."""
    demands = Demands(inputs)
    column = demands.column("column", config.column, FLOATING, vector=True)
    demands.settle()
    output = config.output or config.column
    return {**inputs, output: column.with_name(output)}


def build(config: hook_pb2.Softmax) -> Callable[[Columns], Columns]:
    """Returns the operation."""

    def softmax(columns: Columns) -> Columns:
        values = scores(columns, config.column)
        # FP16 would lose the small terms of a long sum.
        computed = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        with np.errstate(invalid="ignore"):
            powers = np.exp(computed - computed.max(axis=-1, keepdims=True))
            powers /= powers.sum(axis=-1, keepdims=True)
        return columns.with_column(config.output or config.column, Dense(powers.astype(values.dtype, copy=False)))

    return softmax
