# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A row of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: What was done, with the numbers of it.
        stock: What Beam's own expansion service did; "–" where there is nothing to compare.
        ours: What ours did.
        holds: Whether it is what it should be.
        seconds: How long it took to measure; the table fills it in.
    """

    what: str
    stock: str
    ours: str
    holds: bool
    seconds: float = 0.0
