# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Operations of MLTransform. Each is one module, named after its field of Operation.operation.

To add an operation: add its message to operation.proto, copy the module that is most like it, and add its name to
``NAMES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.contract.problems import at
from expansion.errors import ConfigError, Problem
from expansion.operations.statistic import Learned, Statistic, WordCount
from expansion.tensors.columns import Columns

NAMES = (
    "scale_to_01",
    "scale_by_min_max",
    "scale_to_z_score",
    "scale_to_gaussian",
    "compute_and_apply_vocabulary",
    "bucketize",
    "apply_buckets",
    "apply_buckets_with_interpolation",
    "tfidf",
    "ngrams",
    "bag_of_words",
    "hash_strings",
    "deduplicate",
    "one_hot",
    "impute",
    "embed",
)


class OperationModule(Protocol):
    """What every module of an operation provides. ``config`` is its own message, as ScaleTo01 is for scale_to_01.py.

    One that works on nulls, as tensors/nulls.py tells them, says ``TAKES_NULLS = True``: if it is the first to read a
    column, rows that are null there come to it, and are no errors.
    """

    def check(self, config: Any) -> Iterator[Problem]:
        """Yields what is wrong with the message by itself; paths are relative to it."""

    def fields(self, config: Any, inputs: Mapping[str, Field]) -> dict[str, Field]:
        """Returns the fields of all columns after the operation, given those before it.

        Raises:
            ConfigError: The operation can't work on these columns; paths are relative to the message.
        """

    def statistics(self, config: Any, inputs: Mapping[str, Field]) -> dict[str, Statistic | WordCount]:
        """Returns what must be learned before the operation can be applied, by names such as "age.range".

        Names begin with that of the column. Never called with fields that ``fields`` does not accept.
        """

    def build(
        self, config: Any, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
    ) -> Callable[[Columns], Columns]:
        """Returns the operation itself, from columns to columns, row for row; they may be Ragged.

        Args:
            config: The message.
            inputs: The fields of the columns before it.
            learned: By the names of ``statistics``.

        Raises:
            SystemicError: ``learned`` is not what ``statistics`` learns.
        """


def operation(message: operation_pb2.Operation) -> tuple[str, Any]:
    """Returns the operation's name and its message.

    Raises:
        ConfigError: There is none.
    """
    name = message.WhichOneof("operation")
    if name is None:
        raise ConfigError([Problem("", f"the operation is empty; expected one of {', '.join(NAMES)}")])
    return name, getattr(message, name)


def module_of(message: operation_pb2.Operation) -> OperationModule:
    """Returns the module of an operation.

    Raises:
        ConfigError: There is none.
    """
    name, _ = operation(message)
    return cast(OperationModule, importlib.import_module(f"{__name__}.{name}"))


def check(message: operation_pb2.Operation) -> Iterator[Problem]:
    """Yields what is wrong with an operation by itself, apart from the model and hooks of embed."""
    try:
        name, config = operation(message)
    except ConfigError as error:
        yield from error.problems
    else:
        yield from at(name, module_of(message).check(config))
