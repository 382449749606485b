# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How much clients may ask for: the defaults, and what else an operator may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from expansion.contract._gen.server_pb2 import Limits
from expansion.errors import Problem

DEFAULT_LIMITS = Limits(
    max_request_bytes=4 << 20,
    max_components=10_000,
    max_depth=16,
    workers=8,
    max_waiting_calls=248,
    deadline_secs=60,
    drain_secs=30,
)
# Each waiting call has a thread. Protobuf reads no message that is nested in more than 100 levels, and a level of a
# schema is up to three of them.
_MAX_LIMITS: Mapping[str, float] = {
    "max_request_bytes": 1 << 30,
    "max_depth": 32,
    "workers": 256,
    "max_waiting_calls": 2048,
}
_MAX_LIMIT = 1_000_000


def check(limits: Limits) -> Iterator[Problem]:
    """Yields what is wrong with limits."""
    for field, value in limits.ListFields():
        most = _MAX_LIMITS.get(field.name, _MAX_LIMIT)
        if not 0 <= value <= most:
            yield Problem(field.name, f"got {value:g}; expected at most {most:g}, or 0 for the default")


def filled(limits: Limits) -> Limits:
    """Returns limits with every default filled in; zero is the default, also where it is written."""
    full = Limits()
    full.CopyFrom(DEFAULT_LIMITS)
    full.MergeFrom(limits)
    return full
