# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which rows go to the model together: bounds of a batch, and buckets of rows of one route and about one length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.errors import ModelUnavailable
from expansion.tensors.columns import Columns, Dense, Indices
from expansion.tensors.sizes import row_bytes, row_lengths
from expansion.transforms.batch import Batch
from expansion.transforms.config import DEFAULT_MAX_BATCH_SIZE
from expansion.transforms.isolation import RowError
from expansion.transforms.routes import Routed, Router


class BatchBounds:
    """How large a batch may be, and from when on it need not wait for more rows.

    Args:
        batching: The configuration; every field of it that is about sizes.
        router: Where rows go. Default: there is one model.
    """

    def __init__(self, batching: Batching, router: Router | None = None):
        self._max_rows = batching.max_batch_size or DEFAULT_MAX_BATCH_SIZE
        # Who lets a batch wait for a time wants it full, and rows that wait for their like are to meet all of it.
        waits = batching.max_batch_duration_secs or (router and router.waits_for_its_like)
        self.min_rows = batching.min_batch_size or (self._max_rows if waits else 1)
        self._router = router
        self._max_weight = batching.max_batch_weight
        self._weight_column = batching.weight_column
        self._length_column = batching.length_column
        # No array, which other versions of NumPy may not unpickle.
        self._boundaries = tuple(batching.length_boundaries)

    def buckets(self, batch: Batch) -> Iterator[tuple[int, Batch]]:
        """Yields the rows of each route and bucket of lengths, with the bucket's number; failures are with the first.

        Rows of routes for which there is no model are among the failures.
        """
        if len(batch) == 0 or not (self._router or self._length_column):
            yield 0, batch
            return
        routed = self._routed(batch)
        if routed.refused:
            batch, routed = _without_refused(batch, routed)
            if len(batch) == 0:
                yield 0, batch
                return
        # Sorted once, rather than looked through for each of what may be as many routes as rows.
        place_of = routed.of_row * (len(self._boundaries) + 1) + self._bucket_of(batch)
        order = np.argsort(place_of, kind="stable")
        places, starts = np.unique(place_of[order], return_index=True)
        failures = batch.failures
        for place, rows in zip(places.tolist(), np.split(order, starts[1:]), strict=True):
            route, bucket = divmod(place, len(self._boundaries) + 1)
            yield bucket, replace(batch.take(rows), failures=failures, route=routed.names[route])
            failures = ()

    def _routed(self, batch: Batch) -> Routed:
        if self._router is None:
            return Routed([""], np.zeros(len(batch), np.int64), {})
        return self._router.routed(batch.features[self._router.column])

    def _bucket_of(self, batch: Batch) -> Indices:
        """Returns the bucket of each row by its length."""
        if not self._length_column:
            return np.zeros(len(batch), np.int64)
        boundaries = np.array(self._boundaries, np.int64)
        return np.searchsorted(boundaries, row_lengths(batch.features[self._length_column]), side="right")

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


def _without_refused(batch: Batch, routed: Routed) -> tuple[Batch, Routed]:
    """Returns the batch with the rows for which there is no model moved to its failures, and where the others go."""
    is_refused = np.isin(routed.of_row, list(routed.refused))
    errors = {
        int(row): RowError(ModelUnavailable.__name__, routed.refused[int(routed.of_row[row])])
        for row in np.flatnonzero(is_refused)
    }
    return batch.without(errors, "inference"), routed._replace(of_row=routed.of_row[~is_refused])
