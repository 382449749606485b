# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which rows go to the model together: bounds of a batch, and buckets of rows of about one length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.tensors.columns import Columns, Dense
from expansion.tensors.sizes import row_bytes, row_lengths
from expansion.transforms.batch import Batch
from expansion.transforms.config import DEFAULT_MAX_BATCH_SIZE


class BatchBounds:
    """How large a batch may be, and from when on it need not wait for more rows.

    Args:
        batching: The configuration; every field of it that is about sizes.
    """

    def __init__(self, batching: Batching):
        self._max_rows = batching.max_batch_size or DEFAULT_MAX_BATCH_SIZE
        # Who lets a batch wait for a time wants it full.
        self.min_rows = batching.min_batch_size or (self._max_rows if batching.max_batch_duration_secs else 1)
        self._max_weight = batching.max_batch_weight
        self._weight_column = batching.weight_column
        self._length_column = batching.length_column
        self._boundaries = np.array(batching.length_boundaries, np.int64)

    def buckets(self, batch: Batch) -> Iterator[tuple[int, Batch]]:
        """Yields the rows of each bucket, with its number; failures are with the first."""
        if not self._length_column or len(batch) == 0:
            yield 0, batch
            return
        bucket_of = np.searchsorted(self._boundaries, row_lengths(batch.features[self._length_column]), side="right")
        failures = batch.failures
        for bucket in np.unique(bucket_of):
            part = batch.take(np.flatnonzero(bucket_of == bucket))
            yield int(bucket), part.with_failures(failures)
            failures = ()

    def split(self, batch: Batch) -> Iterator[Batch]:
        """Yields parts of at most the largest size and weight, all but the last full; failures are with the first."""
        ends = self._ends(batch)
        if len(ends) == 1:
            yield batch
            return
        for index, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            part = batch.slice(start, end)
            yield part if index else part.with_failures(batch.failures)

    def is_full(self, rows: int, weight: float) -> bool:
        """Whether so many rows of this weight, all together, need not wait for more."""
        return rows >= self.min_rows or 0 < self._max_weight <= weight

    def weight(self, batch: Batch) -> float:
        """Returns the weight of all rows; 0 where there is no limit."""
        return float(self._weights(batch.features).sum()) if self._max_weight else 0.0

    def cut(self, batch: Batch) -> tuple[list[Batch], Batch | None]:
        """Returns the parts of a batch that need not wait for more rows, and the last one, if it has to."""
        *full, last = self.split(batch)
        if self.is_full(len(last), self.weight(last)):
            return [*full, last], None
        return full, last

    def _ends(self, batch: Batch) -> list[int]:
        """Returns where each part ends, in rows; the last one is the end of the batch."""
        rows = len(batch)
        if not self._max_weight:
            return [*range(self._max_rows, rows, self._max_rows), rows]
        # heaviest[i] is the weight of rows 0 to i; parts are taken greedily, each at least one row.
        heaviest = np.cumsum(self._weights(batch.features))
        ends, start = [], 0
        while start < rows:
            before = heaviest[start - 1] if start else 0
            by_weight = int(np.searchsorted(heaviest, before + self._max_weight, side="right"))
            start = min(max(by_weight, start + 1), start + self._max_rows, rows)
            ends.append(start)
        return ends or [0]

    def _weights(self, features: Columns) -> npt.NDArray[np.float64]:
        if not self._weight_column:
            return row_bytes(features).astype(np.float64)
        column = features[self._weight_column]
        assert isinstance(column, Dense)  # noqa: S101 - a numeric scalar column, as the plan made sure
        # NaN and negative weights are of rows that are to fail elsewhere, or nowhere. What is heavier than a batch may
        # be weighs a little more than one, so that no sum is infinite.
        weights = np.nan_to_num(np.asarray(column.values, np.float64))
        return np.clip(weights, 0.0, self._max_weight + 1.0)
