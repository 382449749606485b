# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Every exception that this package raises on purpose.

ExpansionError
├── ConfigError      the configuration is wrong; carries every problem found, at expansion
├── BadRows          some rows of a batch can't be processed; carries which, and why
├── RemoteError      a server failed at a request, because of some row in it or by itself
└── SystemicError    nothing of a batch can be processed; fails the bundle, which the runner retries
    ├── DeviceFailed      a GPU failed, for good in this process
    └── ModelUnavailable  one of several models can't be used; where they are by key, it costs the rows of its key
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class ExpansionError(Exception):
    """Root of this package's exceptions."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        path: Field path from the configuration's root, as in ``pre_hooks[0].scale.columns[1]``; empty for the whole.
        message: What is wrong; what was got; what was expected; how to fix it. One line.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(ExpansionError):
    """A configuration is wrong.

    Attributes:
        problems: Every problem found, in the order of the configuration; at least one.
    """

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def reason(self) -> str:
        """What is wrong in one line, without paths: for workers, who read a file that the service has read before."""
        return "; ".join(problem.message for problem in self.problems)


class BadRows(ExpansionError):  # noqa: N818 - it names the rows, not the error
    """Some rows of a batch can't be processed; the others can.

    Attributes:
        messages: Why, by the row's index in the batch that was passed in.
    """

    def __init__(self, messages: Mapping[int, str]):
        self.messages = dict(messages)
        super().__init__("; ".join(f"row {row}: {message}" for row, message in list(self.messages.items())[:3]))


class RemoteError(ExpansionError):
    """A server failed at a request, and does not say whether it did because of some row in it."""


class SystemicError(ExpansionError):
    """Nothing can be processed: a model that does not load, a worker that lacks a package."""


class DeviceFailed(SystemicError):  # noqa: N818 - it is the device that has failed
    """A GPU failed, by a row or by itself. CUDA says the same to whatever this process asks of it from now on.

    Another process can use the GPU, such as the next one of ``large_model``.
    """


class ModelUnavailable(SystemicError):  # noqa: N818 - its name is what error rows say
    """One of several models does not load, or is not like the others."""


def may_be_about_a_row(error: Exception) -> bool:
    """Whether it is an OSError that may be about what was read, not the system: so does Pillow call a damaged image."""
    if not isinstance(error, OSError) or error.errno is not None:
        return False
    return type(error) is OSError or type(error).__module__.partition(".")[0] == "PIL"


def first_line(error: BaseException) -> str:
    """Returns the first line of an exception's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
