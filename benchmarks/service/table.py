# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The rows of the table, and how they are run and shown."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Iterable
from dataclasses import replace

from benchmarks.service.row import Row

# Modules of this package, in the order of the table. Each has run(short: bool) -> Row | list[Row].
# In the short form, for `make test`, no row depends on a clock.
ROWS = (
    *("attacks", "urns", "places", "malformed", "fuzz"),
    *("throughput", "same_graph", "growth", "start", "drain", "crash", "stalled"),
)


def measure(name: str, short: bool) -> list[Row]:
    """Runs a row's module.

    Args:
        name: One of ``ROWS``.
        short: Whether to take small sizes, and to judge counts, growth and correctness only.

    Returns:
        Its rows. One that raises is a row that does not hold.
    """
    began = time.monotonic()
    try:
        rows = importlib.import_module(f"{__package__}.{name}").run(short)
    except Exception as error:
        traceback.print_exc()
        rows = Row(name, "–", f"{type(error).__name__}: {error}", False)
    rows = [rows] if isinstance(rows, Row) else list(rows)
    seconds = round((time.monotonic() - began) / max(len(rows), 1), 1)
    return [replace(row, seconds=seconds) for row in rows]


def text_of(rows: Iterable[Row]) -> str:
    """Returns the table as Markdown."""
    cells = [("What", "Stock", "Ours", "Holds", "Seconds")]
    cells += [(row.what, row.stock, row.ours, "yes" if row.holds else "NO", f"{row.seconds:.0f}") for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
