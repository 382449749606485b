# Licensed under the Apache License, Version 2.0; see LICENSE.
"""threshold: compare scores with a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import NUMERIC, Demands, elementwise, finite, numbers, required
from expansion.tensors.columns import Columns

_DEFAULT = 0.5

TAKES_RAGGED = True


def check(config: hook_pb2.Threshold) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    yield from finite("value", config.value)


def fields(config: hook_pb2.Threshold, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with a BOOL one of the same shape for the result."""
    demands = Demands(inputs)
    scores = demands.column("column", config.column, NUMERIC)
    demands.settle()
    output = config.output or config.column
    return {**inputs, output: Field(output, "BOOL", scores.shape)}


def build(config: hook_pb2.Threshold) -> Callable[[Columns], Columns]:
    """Returns the operation. NaN is not ≥ any number."""
    value = config.value if config.HasField("value") else _DEFAULT

    def threshold(columns: Columns) -> Columns:
        with np.errstate(over="ignore"):  # a threshold beyond what FP16 holds is an infinite one
            result = elementwise(numbers(columns, config.column), lambda scores: scores >= value)
        return columns.with_column(config.output or config.column, result)

    return threshold
