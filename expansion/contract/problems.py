# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Building lists of problems with field paths."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Hashable, Iterable, Iterator

from expansion.contract.secrets import redacted_start
from expansion.errors import Problem

# More than anybody reads, and little enough to be worked out, sent and logged while others wait.
MAX_PROBLEMS = 100
# Comparing two texts takes time that grows with the square of their lengths, and clients choose how many there are.
_MAX_COMPARED = 100
_MAX_NAME_CHARACTERS = 64
_ALIKE_CHARACTERS = 3


def at(prefix: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yields the problems with ``prefix`` before their paths."""
    for problem in problems:
        yield Problem(".".join(part for part in (prefix, problem.path) if part), problem.message)


def first(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yields the first problems, MAX_PROBLEMS at most, and one of the whole that says so where there are more.

    No more of them are looked for: a request of 4 MiB may have hundreds of thousands.
    """
    rest = iter(problems)
    yield from itertools.islice(rest, MAX_PROBLEMS)
    if next(rest, None) is not None:
        yield Problem("", f"there are more problems than these {MAX_PROBLEMS}; correct them first")


def repeated(values: Iterable[Hashable]) -> set[int]:
    """Returns the indices of values that are there before as well; in time that grows with their number only."""
    first_at: dict[Hashable, int] = {}
    return {index for index, value in enumerate(values) if first_at.setdefault(value, index) != index}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of a message that suggests what ``name`` may have been meant for.

    Returns:
        "did you mean 'x'?" when something is close, else "expected one of 'x', 'y'", at most 20 of them. Of more than
        100 known names, only those that begin alike are close.
    """
    choices = sorted(known)
    close = difflib.get_close_matches(name, _compared(name, choices), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if not choices:
        return "there is none to choose from"
    listed = ", ".join(repr(choice) for choice in choices[:20])
    return f"expected one of {listed}" + (", …" if len(choices) > 20 else "")


def _compared(name: str, choices: list[str]) -> list[str]:
    if len(name) > _MAX_NAME_CHARACTERS:
        return []
    if len(choices) > _MAX_COMPARED:
        alike = name[:_ALIKE_CHARACTERS]
        choices = [choice for choice in choices if choice.startswith(alike)][:_MAX_COMPARED]
    return [choice for choice in choices if len(choice) <= 2 * _MAX_NAME_CHARACTERS]


def shown(value: object) -> str:
    """Returns a value as messages show it: at most 60 characters, without what looks secret."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes, or lists within lists
        return f"a value of type {type(value).__name__}"
    return redacted_start(text, 60, "...")


def null(column: str) -> str:
    """Returns what is wrong with a row whose feature in a column is null."""
    return f"column {column!r} is null; a feature needs a value"
