# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Running batches that do not fit in memory in smaller parts."""

from __future__ import annotations

import logging

from expansion.errors import BadRows, first_line
from expansion.tensors.columns import Columns
from expansion.transforms.isolation import Operation

_LOG = logging.getLogger(__name__)


class WithinMemory:
    """Runs an operation on batches; one that raises MemoryError is run in halves, and so is what comes after it.

    The number of rows that was too many is remembered, so that later batches do not fail first; but not if it was one
    row's fault. Used by several threads, which may overwrite each other's finding: the next batch corrects it.
    """

    def __init__(self) -> None:
        self._max_rows: int | None = None
        self._has_fitted = False

    def run(self, operation: Operation, columns: Columns) -> Columns:
        """Applies an operation that makes one row of each row.

        Raises:
            BadRows: Some rows do not fit in memory by themselves, and others do, or did in an earlier batch.
            MemoryError: No row fits.
        """
        results: list[Columns] = []
        too_large: dict[int, str] = {}
        before, start = self._max_rows, 0
        limit, grows = before or columns.row_count, False
        while start < columns.row_count:
            size = min(limit, columns.row_count - start)
            try:
                results.append(operation(columns.slice(start, start + size)))
            except MemoryError as error:
                if size > 1:
                    limit, grows = size // 2, False
                    self._max_rows = limit
                    _LOG.warning("%d rows do not fit in memory; trying %d at a time", size, limit)
                    continue
                # Too large by itself, it says nothing of how many others fit: they are tried in ever larger parts.
                self._max_rows, grows = before, True
                too_large[start] = f"out of memory with this row alone: {first_line(error)}"
                if len(too_large) == columns.row_count and not (self._has_fitted and columns.row_count == 1):
                    raise
            except BadRows as bad:
                raise BadRows({start + row: message for row, message in bad.messages.items()}) from bad
            else:
                self._has_fitted = True
                limit = min(2 * limit, before or columns.row_count) if grows else limit
            start += size
        if too_large:
            raise BadRows(too_large)
        return Columns.concat(results)
