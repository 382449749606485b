# Licensed under the Apache License, Version 2.0; see LICENSE.
"""l2_normalize: scale vectors to length 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import FLOATING, Demands, computed, in_place, required_names
from expansion.tensors.columns import Columns, Dense, Ragged


def check(config: hook_pb2.L2Normalize) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)


def fields(config: hook_pb2.L2Normalize, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, which stay the same."""
    demands = Demands(inputs)
    for index, name in enumerate(config.columns):
        demands.column(f"columns[{index}]", name, FLOATING, vector=True)
    demands.settle()
    return dict(inputs)


def build(config: hook_pb2.L2Normalize) -> Callable[[Columns], Columns]:
    """Returns the operation. A vector with a NaN becomes one of NaN."""

    def normalized(_: str, column: Dense | Ragged) -> Dense | Ragged:
        return computed(column, column.datatype, _normalized)

    def l2_normalize(columns: Columns) -> Columns:
        return in_place(columns, config.columns, normalized)

    return l2_normalize


def _normalized(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Divides by the largest element first, so that the squares neither overflow nor vanish; works in place."""
    largest = np.abs(values).max(axis=-1, keepdims=True, initial=0)
    largest[largest == 0] = 1
    values /= largest
    length = np.sqrt(np.square(values).sum(axis=-1, keepdims=True))
    values /= np.maximum(length, 1)  # it is 1 or more, but for zeros
    return values
