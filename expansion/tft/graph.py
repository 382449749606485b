# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What tensorflow-transform's graphs take and make, worked out at expansion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.column_names import columns_read, columns_written
from expansion.contract.fields import VARIABLE_LENGTH, Field, Fields, is_floating
from expansion.contract.problems import at
from expansion.errors import ConfigError, Problem
from expansion.operations.chain import Step, first_readers, steps_of


@dataclass(frozen=True)
class Graph:
    """What a graph takes, and what becomes of a row's columns.

    Attributes:
        takes: The columns that it reads, as they are before it, but of the datatypes that it takes: FP32, INT64, STRING
            and BYTES.
        makes: The columns that it makes, or puts in the places of others.
        drops: The columns that rows do not have after it.
        directory: Where Beam's MLTransform has left it; empty where it is of an artifact of this package's.
    """

    takes: Fields
    makes: Fields
    drops: tuple[str, ...] = ()
    directory: str = ""

    def after(self, inputs: Fields) -> dict[str, Field]:
        """Returns the fields of all columns after the graph, given those before it."""
        return {**{name: field for name, field in inputs.items() if name not in self.drops}, **self.makes}


def graph_of(chain: Sequence[Operation], inputs: Fields) -> Graph:
    """Returns the graph of a chain of operations.

    Args:
        chain: Operations in which ``check`` finds nothing wrong.
        inputs: The fields of the columns before the first of them.

    Raises:
        ConfigError: An operation can't work on its columns; paths begin with "operations".
    """
    steps = steps_of(chain, inputs)
    problems = list(_not_taken(steps, inputs))
    if problems:
        raise ConfigError(problems)
    takes = taken({name: inputs[name] for name in inputs if name in first_readers(steps)})
    steps = steps_of(chain, {**inputs, **takes})
    written: set[str] = set()
    for step in steps:
        written |= columns_written(step.config, step.inputs, step.outputs)
    after = steps[-1].outputs if steps else inputs
    makes = {name: field for name, field in after.items() if name in written}
    return Graph(takes, makes, tuple(name for name in inputs if name not in after))


def taken(fields: Fields) -> dict[str, Field]:
    """Returns fields as tensorflow-transform takes them: FP32, INT64 and strings. What it can't take stays as it is."""
    return {name: replace(field, datatype=_datatype(field.datatype)) for name, field in fields.items()}


def _datatype(datatype: str) -> str:
    if datatype in VARIABLE_LENGTH or datatype == "UINT64":
        return datatype
    return "FP32" if is_floating(datatype) else "INT64"


def _not_taken(steps: Sequence[Step], inputs: Fields) -> Iterator[Problem]:
    """Yields a problem for each column that tensorflow-transform can't take, at the operation that first reads it."""
    readers = first_readers(steps)
    for index, step in enumerate(steps):
        for position, name in enumerate(columns_read(step.config)):
            if readers.get(name) is step:
                yield from at(f"operations[{index}].{step.name}.columns[{position}]", _reasons(inputs[name]))


def _reasons(field: Field) -> Iterator[Problem]:
    if field.datatype == "UINT64":
        yield Problem("", f"column {field.name!r} is {field}, which engine TFT does not take; cast it to INT64 before")
    if -1 in field.shape and len(field.shape) > 1:
        reason = f"column {field.name!r} is {field}; engine TFT takes arrays of unequal sizes with one axis only"
        yield Problem("", f"{reason}; reshape or pad it before")
