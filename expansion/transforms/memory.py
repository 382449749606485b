# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Running batches that do not fit in memory in smaller parts, and giving memory back."""

from __future__ import annotations

import ctypes
import logging

import pyarrow as pa

from expansion.errors import BadRows, first_line
from expansion.tensors.columns import Columns
from expansion.transforms.isolation import Operation

_LOG = logging.getLogger(__name__)
# Of malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 4 << 20  # smaller ones come and go so often that it would take a fifth more time
_RECEIVED_BYTES = 8 << 20  # giving back takes a few milliseconds


def give_back() -> None:
    """Gives memory that was freed back to the system, after something large: allocators keep it for their threads."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU C library
    if trim is not None:
        trim(0)


def give_back_large_blocks() -> None:
    """Has the GNU C library give large blocks back to the system as soon as they are freed, from now on.

    It keeps them otherwise, of up to 32 MiB, in an arena for each of up to eight threads a core: of bundles that each
    merge some megabytes of words, several hundred megabytes stay for none of them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BYTES)


class Received:
    """Gives memory back now and then while messages are worked on.

    gRPC makes a message of many small blocks. What they took stays with the allocator, which does not give back by
    itself what is freed in the middle: of large messages that is as much again.
    """

    _seen_bytes = _RECEIVED_BYTES  # so that the first one is followed by what it came with

    def add(self, count: int) -> None:
        """Counts bytes of a message that were worked on."""
        self._seen_bytes += count
        if self._seen_bytes > _RECEIVED_BYTES:
            self._seen_bytes = 0
            give_back()


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
