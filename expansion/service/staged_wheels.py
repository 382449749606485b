# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The wheels that an operator has workers get: files, and this package itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from expansion.service import own_wheel, wheels
from expansion.service.wheels import Wheel


def read_all(specs: Iterable[str]) -> tuple[Wheel, ...]:
    """Reads, or makes, and checks wheels that workers are to have together.

    Args:
        specs: Each a path, or "beam-ml-expansion[EXTRA,…]".

    Raises:
        WheelError: One can't be read or is no wheel, there is no such extra, or two are of one project.
    """
    found = tuple(_wheel(spec) for spec in specs)
    wheels.require_distinct(found)
    return found


def _wheel(spec: str) -> Wheel:
    extras = own_wheel.extras_of(spec)
    return wheels.read(Path(spec)) if extras is None else own_wheel.build(extras)
