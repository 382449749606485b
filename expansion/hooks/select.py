# Licensed under the Apache License, Version 2.0; see LICENSE.
"""select: keep some columns, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import Demands, required_names
from expansion.tensors.columns import Columns

TAKES_RAGGED = True


def check(config: hook_pb2.Select) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)


def fields(config: hook_pb2.Select, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields of the named columns, in the order named."""
    demands = Demands(inputs)
    kept = demands.columns("columns", config.columns)
    demands.settle()
    return {field.name: field for field in kept}


def build(config: hook_pb2.Select) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    names = list(config.columns)
    return lambda columns: columns.select(names)
