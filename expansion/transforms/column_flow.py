# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What becomes of the input's columns on their way through hooks and operations, followed at expansion."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from expansion import hooks
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract.column_names import columns_written
from expansion.contract.fields import Field, Fields
from expansion.contract.problems import at
from expansion.errors import ConfigError
from expansion.operations.chain import Step, first_readers
from expansion.tensors.nulls import Fill
from expansion.tft.graph import Graph


class ColumnFlow:
    """Follows columns.

    Attributes:
        fields: The fields of all columns as far as it has followed them.
        written: The columns that may hold something else than the input's column of that name.
        fills: What a null of the input becomes, by the column, where the first that reads it fills nulls in.
        noted: Columns whose nulls are noted for the operation that first reads them.
    """

    def __init__(self, inputs: Fields):
        self.fields: Fields = dict(inputs)
        self.written: set[str] = set()
        self.fills: dict[str, Fill] = {}
        self.noted: list[str] = []
        self._inputs = inputs
        self._untouched = set(inputs)
        self._read: set[str] = set()

    @property
    def read(self) -> dict[str, Field]:
        """Those of the input's columns that are read as they come in, in the order of the input."""
        return {name: field for name, field in self._inputs.items() if name in self._read}

    def through_hooks(self, path: str, chain: Iterable[Hook]) -> None:
        """Follows the columns through hooks.

        Raises:
            ConfigError: A hook can't work on its columns; what those after it get is unknown.
        """
        for index, hook in enumerate(chain):
            name, message = hooks.operation(hook)
            try:
                after = hooks.module_of(hook).fields(message, self.fields)
            except ConfigError as error:
                raise ConfigError(at(f"{path}[{index}].{name}", error.problems)) from error
            first = self._first_read(hooks.columns_read(hook))
            fills = {column: hooks.null_fill(hook, self._inputs[column]) for column in first}
            self.fills.update({column: fill for column, fill in fills.items() if fill is not None})
            self.noted.extend(column for column in first if column in hooks.nulls_taken(hook))
            self._go_on(after, hooks.columns_written(hook, self.fields, after))

    def through_operations(self, steps: Sequence[Step]) -> None:
        """Follows the columns through operations."""
        readers = first_readers(steps)
        self.noted.extend(column for column in self._first_read(readers) if readers[column].takes_nulls)
        for step in steps:
            self._go_on(step.outputs, columns_written(step.config, step.inputs, step.outputs))

    def through_graph(self, graph: Graph) -> None:
        """Follows the columns through a graph of tensorflow-transform's."""
        self._first_read(graph.takes)
        self._go_on(graph.after(self.fields), graph.makes)

    def _first_read(self, names: Iterable[str]) -> list[str]:
        """Returns those of some columns that are the input's, and that nothing has touched before."""
        first = [name for name in names if name in self._untouched]
        self._untouched.difference_update(first)
        self._read.update(first)
        return first

    def _go_on(self, after: Fields, written: Collection[str]) -> None:
        self.written = {name for name in {*self.written, *written} if name in after}
        self._untouched = {name for name in self._untouched if name in after and name not in written}
        self.fields = after
