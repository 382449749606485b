# Licensed under the Apache License, Version 2.0; see LICENSE.
"""rename: give columns other names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import Demands
from expansion.tensors.columns import Columns

TAKES_RAGGED = True


def check(config: hook_pb2.Rename) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.columns:
        yield Problem("columns", "missing; expected at least one old name with its new one")
    taken: dict[str, str] = {}
    for old, new in sorted(config.columns.items()):
        if not new:
            yield Problem(_path(old), "empty; expected the column's new name")
        elif new in taken:
            yield Problem(_path(old), f"{new!r} is also the new name of column {taken[new]!r}; names must differ")
        taken[new] = old


def fields(config: hook_pb2.Rename, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields under their new names, in the order they had."""
    demands = Demands(inputs)
    for old, new in sorted(config.columns.items()):
        demands.column(_path(old), old)
        free = new not in inputs or new in config.columns
        demands.that(
            free, _path(old), f"there is a column {new!r} already; choose another name, or rename that one too"
        )
    demands.settle()
    renamed = [field.with_name(config.columns.get(name, name)) for name, field in inputs.items()]
    return {field.name: field for field in renamed}


def build(config: hook_pb2.Rename) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    names = dict(config.columns)

    def rename(columns: Columns) -> Columns:
        return Columns({names.get(name, name): column for name, column in columns.items()}, columns.row_count)

    return rename


def _path(old: str) -> str:
    return f"columns[{old!r}]"
