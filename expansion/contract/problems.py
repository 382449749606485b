# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Building lists of problems with field paths."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from expansion.errors import Problem


def at(prefix: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yields the problems with ``prefix`` before their paths."""
    for problem in problems:
        yield Problem(".".join(part for part in (prefix, problem.path) if part), problem.message)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of a message that suggests what ``name`` may have been meant for.

    Returns:
        "did you mean 'x'?" when something is close, else "expected one of 'x', 'y'", at most 20 of them.
    """
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if not choices:
        return "there is none to choose from"
    listed = ", ".join(repr(choice) for choice in choices[:20])
    return f"expected one of {listed}" + (", …" if len(choices) > 20 else "")


def shown(value: object) -> str:
    """Returns a value as messages show it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def null(column: str) -> str:
    """Returns what is wrong with a row whose feature in a column is null."""
    return f"column {column!r} is null; a feature needs a value"
