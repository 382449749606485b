# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which columns a hook or an operation reads and writes, by the contract's convention for the names of fields."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from expansion.contract.fields import Fields


def columns_read(message: Message) -> list[str]:
    """Returns the columns that a message names in ``column``, ``…_column`` and ``columns``."""
    fields = [field.name for field in message.DESCRIPTOR.fields]
    names = [getattr(message, name) for name in fields if name == "column" or name.endswith("_column")]
    return [name for name in (*names, *getattr(message, "columns", ())) if name]


def columns_written(message: Message, before: Fields, after: Fields) -> set[str]:
    """Returns the columns after a hook or an operation that may hold something else than before it.

    Those that are new or of another type; those that the message names in ``output``, ``…_output`` and ``outputs``; and
    those that it reads, which it may work on in place, unless all its results are in ``output`` or ``outputs``.
    """
    changed = {name for name, field in after.items() if before.get(name) != field}
    named = {name for field in message.DESCRIPTOR.fields for name in _outputs(message, field.name)}
    is_elsewhere = any(True for name in ("output", "outputs") for _ in _outputs(message, name))
    return changed | ((named if is_elsewhere else named | set(columns_read(message))) & set(after))


def _outputs(message: Message, field: str) -> Iterator[str]:
    """Yields the columns that a field of a message names as results."""
    if field == "output" or field.endswith("_output"):
        yield from filter(None, [getattr(message, field, "")])
    elif field == "outputs":
        yield from (getattr(output, "name", output) for output in getattr(message, field, ()))
