# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What came of trying a configuration, and how long its stages took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from expansion.contract.fields import Field


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        fields: The columns of output rows, in order.
        rows: The output rows, in no particular order.
        errors: The rows that failed, as mappings with element, stage, error_type, message.
        secs: How long each stage took, in order.
    """

    fields: Mapping[str, Field]
    rows: Sequence[Mapping[str, Any]]
    errors: Sequence[Mapping[str, Any]]
    secs: Mapping[str, float]


@dataclass
class Stopwatch:
    """Measures stages, which may come again: their times add up.

    Attributes:
        secs: So far, by the stage's name, in the order in which they began.
    """

    secs: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures the ``with`` block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.secs[name] = self.secs.get(name, 0.0) + time.perf_counter() - start
