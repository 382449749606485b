# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Hooks: operations on columns, before and after a model. Each is one module, named after its field of Hook.operation.

To add a hook: add its message to hook.proto, copy the module that is most like it, and add its name to ``NAMES``.
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from expansion.contract import column_names
from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field, Fields
from expansion.contract.permissions import Permission
from expansion.errors import ConfigError, Problem
from expansion.tensors.columns import Columns
from expansion.tensors.grouping import uniformly
from expansion.tensors.nulls import Fill

_Answer = TypeVar("_Answer")

NAMES = (
    "select",
    "cast",
    "scale",
    "reshape",
    "pad",
    "one_hot",
    "concat",
    "softmax",
    "argmax",
    "top_k",
    "labels",
    "threshold",
    "rename",
    "decode_image",
    "tokenize",
    "decode_tokens",
    "standardize",
    "impute",
    "hash",
    "bucketize",
    "l2_normalize",
    "round",
    "custom",
    "ml_transform",
)


class HookModule(Protocol):
    """What every module of this package provides. ``config`` is the hook's own message, as Scale is for scale.py.

    Beyond these, a module may answer what the functions of the same names below ask: ``permissions``, ``null_fill``,
    ``nulls_taken``, ``columns_read`` and ``columns_written``.
    """

    def check(self, config: Any) -> Iterator[Problem]:
        """Yields what is wrong with the message by itself; paths are relative to it."""

    def fields(self, config: Any, inputs: Mapping[str, Field]) -> dict[str, Field]:
        """Returns the fields of all columns after the hook, given those before it.

        Raises:
            ConfigError: The hook can't work on these columns; paths are relative to the message.
        """

    def build(self, config: Any) -> Callable[[Columns], Columns]:
        """Returns the operation itself. Called on workers, and never with a config in which ``check`` finds problems.

        No column that it reads is Ragged: where rows differ in shape it is called for each shape, unless the module
        says ``TAKES_RAGGED = True`` because it does better with all rows at once.

        The operation's result has the columns that ``fields`` says. It raises BadRows for the rows that it can't
        process, all of them at once. NaN is data and passes through. There is at least one row.
        """


def columns_read(hook: hook_pb2.Hook) -> list[str]:
    """Returns what a hook reads."""
    return _asked("columns_read", column_names.columns_read, hook)


def columns_written(hook: hook_pb2.Hook, before: Fields, after: Fields) -> set[str]:
    """Returns the columns after a hook that may hold something else than before it."""
    return _asked("columns_written", column_names.columns_written, hook, before, after)


def nulls_taken(hook: hook_pb2.Hook) -> set[str]:
    """Returns the columns whose nulls, told as in tensors/nulls.py, a hook works on if it is the first to read them."""
    return _asked("nulls_taken", lambda message: set(), hook)


def build(hook: hook_pb2.Hook) -> Callable[[Columns], Columns]:
    """Returns the hook's operation, for columns that may be Ragged."""
    _, message = operation(hook)
    module = module_of(hook)
    built = module.build(message)
    if getattr(module, "TAKES_RAGGED", False):
        return built
    return lambda columns: uniformly(built, columns, columns_read(hook))


def permissions(hook: hook_pb2.Hook) -> Iterator[Permission]:
    """Yields what the operator of a service must allow before workers do it: nothing, for most hooks."""
    yield from _asked("permissions", lambda message: (), hook)


def null_fill(hook: hook_pb2.Hook, field: Field) -> Fill | None:
    """Returns what nulls of the input become in a column that the hook is the first to read; None leaves them nulls."""
    return _asked("null_fill", lambda message, field: None, hook, field)


def _asked(question: str, default: Callable[..., _Answer], hook: hook_pb2.Hook, *arguments: Any) -> _Answer:
    """Returns what a hook's module answers; of one that does not know the question, the default's answer."""
    _, message = operation(hook)
    answer: Callable[..., _Answer] = getattr(module_of(hook), question, default)
    return answer(message, *arguments)


def operation(hook: hook_pb2.Hook) -> tuple[str, Any]:
    """Returns the name of the hook's operation and its message.

    Raises:
        ConfigError: The hook has none.
    """
    name = hook.WhichOneof("operation")
    if name is None:
        raise ConfigError([Problem("", f"the hook is empty; expected one of {', '.join(NAMES)}")])
    return name, getattr(hook, name)


def module_of(hook: hook_pb2.Hook) -> HookModule:
    """Returns the module of the hook's operation.

    Raises:
        ConfigError: The hook has none.
    """
    name, _ = operation(hook)
    # Not `from typing import cast`: importing the hook of that name binds it in this package.
    return typing.cast(HookModule, importlib.import_module(f"{__name__}.{name}"))
