# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A chain of operations: what each works on, and in which order they learn and are applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expansion import operations
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.column_names import columns_read, columns_written
from expansion.contract.fields import Fields
from expansion.contract.problems import at
from expansion.errors import ConfigError
from expansion.operations import OperationModule
from expansion.operations.statistic import Learned, Statistic, WordCount
from expansion.tensors.columns import Columns


@dataclass(frozen=True)
class Step:
    """One operation at its place in a chain.

    Attributes:
        name: Its name, such as "scale_to_01".
        config: Its message.
        module: Its module.
        inputs: The fields of the columns before it.
        outputs: The fields of the columns after it.
        statistics: What it learns, by name.
        learns_in: The phase in which it learns: what it reads can be made before. Phases are counted from 0.
        applies_from: The first phase in which it can be applied; that after the one in which it learns.
    """

    name: str
    config: Any
    module: OperationModule
    inputs: Fields
    outputs: Fields
    statistics: Mapping[str, Statistic | WordCount]
    learns_in: int
    applies_from: int

    @property
    def takes_nulls(self) -> bool:
        """Whether it works on nulls, which are told in columns beside (tensors/nulls.py); else they are bad rows."""
        return bool(getattr(self.module, "TAKES_NULLS", False))

    def build(self, learned: Mapping[str, Learned]) -> Callable[[Columns], Columns]:
        """Returns the operation itself.

        Raises:
            SystemicError: ``learned`` is not what ``statistics`` learns.
        """
        return self.module.build(self.config, self.inputs, learned)


def steps_of(chain: Iterable[Operation], inputs: Fields) -> list[Step]:
    """Works out what each operation of a chain works on.

    Args:
        chain: Operations in which ``check`` finds nothing wrong.
        inputs: The fields of the columns before the first of them.

    Raises:
        ConfigError: An operation can't work on its columns; paths begin with "operations". Those after it are not
            looked at, as what they get is unknown.
    """
    steps: list[Step] = []
    made_in: dict[str, int] = {}  # the phase from which on a column is what it is now
    fields = inputs
    for index, message in enumerate(chain):
        name, config = operations.operation(message)
        module = operations.module_of(message)
        try:
            after = module.fields(config, fields)
        except ConfigError as error:
            raise ConfigError(at(f"operations[{index}].{name}", error.problems)) from error
        statistics = module.statistics(config, fields)
        read = max((made_in.get(column, 0) for column in columns_read(config)), default=0)
        made = read + 1 if statistics else read
        steps.append(Step(name, config, module, fields, after, statistics, read, made))
        made_in.update(dict.fromkeys(columns_written(config, fields, after), made))
        fields = after
    return steps


@dataclass(frozen=True)
class Lesson:
    """One thing to be learned.

    Attributes:
        step: Index of the step that learns it.
        name: Its name in the step.
        how: What learns it.
        phase: When.
    """

    step: int
    name: str
    how: Statistic | WordCount
    phase: int


def first_readers(steps: Sequence[Step]) -> dict[str, Step]:
    """Returns the columns that a chain reads as they come in, each with the step that first does."""
    found: dict[str, Step] = {}
    untouched = set(steps[0].inputs) if steps else set()
    for step in steps:
        read = untouched.intersection(columns_read(step.config))
        found.update(dict.fromkeys(sorted(read), step))
        untouched = (untouched - read - columns_written(step.config, step.inputs, step.outputs)) & set(step.outputs)
    return found


def columns_around(chain: Sequence[Operation], inputs: Fields) -> tuple[Fields, Fields]:
    """Returns the columns that a chain reads as they come in, and what becomes of those, with what is added."""
    readers = first_readers(steps_of(chain, inputs))
    before = {name: field for name, field in inputs.items() if name in readers}
    steps = steps_of(chain, before)
    return before, steps[-1].outputs if steps else before


def lessons_of(steps: Sequence[Step]) -> list[Lesson]:
    """Returns everything that a chain learns, in the order of its steps."""
    return [
        Lesson(index, name, statistic, step.learns_in)
        for index, step in enumerate(steps)
        for name, statistic in step.statistics.items()
    ]
