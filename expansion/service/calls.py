# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is known of each gRPC call while it is answered: its id, where it comes from, and what became of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from expansion.contract.problems import first
from expansion.errors import Problem

# What becomes of an expansion. The first three are the answers of the service; the others are gRPC statuses.
EXPANDED = "expanded"
REFUSED = "refused"
INTERNAL_ERROR = "internal_error"
EXHAUSTED = "exhausted"
DEADLINE = "deadline"
CANCELLED = "cancelled"
UNAUTHENTICATED = "unauthenticated"
OUTCOMES = (EXPANDED, REFUSED, INTERNAL_ERROR, EXHAUSTED, DEADLINE, CANCELLED, UNAUTHENTICATED)


def new_id() -> str:
    """Returns an id for a call whose client gives it none."""
    return uuid.uuid4().hex[:16]


@dataclass
class Call:
    """A call that is being answered. Who answers it fills in what it was and what became of it.

    Attributes:
        method: gRPC's name of it, as in ``/package.Service/Method``.
        request_id: Finds its lines in the log: the client's metadata ``x-request-id``, or made up.
        peer: The client's address, as gRPC writes it.
        arrived_at: When it reached the service; seconds of ``time.monotonic``.
        code: gRPC's status by name, such as "OK", once it is answered.
        transform: Of an expansion, ``run_inference`` or ``ml_transform``, once it is known.
        preset: Of an expansion, the published preset that it names.
        outcome: Of an expansion, one of OUTCOMES, once it is known.
        problems: What an expansion was refused for, each with the name of the rule that found it.
        sent_bytes: Of an artifact.
    """

    method: str = ""
    request_id: str = field(default_factory=new_id)
    peer: str = ""
    arrived_at: float = field(default_factory=time.monotonic)
    code: str = ""
    transform: str = ""
    preset: str = ""
    outcome: str = ""
    problems: list[tuple[str, Problem]] = field(default_factory=list)
    sent_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Since it arrived, waiting included."""
        return time.monotonic() - self.arrived_at

    def refuse(self, rule: str, problems: Iterable[Problem]) -> list[Problem]:
        """Notes problems, with the rule that found them, and returns them: the first ones, where they are many."""
        found = list(first(problems))
        self.problems.extend((rule, problem) for problem in found)
        return found


_CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


def answering() -> Call | None:
    """Returns the call that this thread answers, if any."""
    return _CURRENT.get()


def current() -> Call:
    """Returns the call that this thread answers; one that nobody looks at where there is none."""
    return answering() or Call()


def set_current(call: Call | None) -> None:
    """Says which call this thread answers."""
    _CURRENT.set(call)
