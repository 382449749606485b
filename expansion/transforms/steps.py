# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The steps between decoding and encoding, each a DoFn from Batch to Batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from expansion import hooks
from expansion.contract._gen.hook_pb2 import Hook
from expansion.transforms.batch import Batch


class Rebatch(beam.DoFn):  # type: ignore[misc]
    """Joins and splits batches into ones of the size that the model likes, by slicing columns.

    Args:
        min_batch_size: A smaller batch waits for more rows until the bundle ends.
        max_batch_size: No batch is larger.
    """

    def __init__(self, min_batch_size: int, max_batch_size: int):
        self._min_batch_size = min_batch_size
        self._max_batch_size = max_batch_size

    def start_bundle(self) -> None:
        """Begins with nothing waiting."""
        self._waiting: list[Batch] = []
        self._earliest: Timestamp | None = None

    def process(
        self, batch: Batch, timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields every batch that is full, at the earliest timestamp of what it was made of."""
        self._waiting.append(batch)
        self._earliest = timestamp if self._earliest is None else min(self._earliest, timestamp)
        if sum(map(len, self._waiting)) < self._min_batch_size:
            return
        joined = Batch.concat(self._waiting)
        earliest, self._waiting, self._earliest = self._earliest, [], None
        for part in _split(joined, self._max_batch_size):
            if len(part) < self._min_batch_size:
                self._waiting, self._earliest = [part], earliest
            else:
                yield TimestampedValue(part, earliest)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields what is left."""
        if self._waiting:
            yield WindowedValue(Batch.concat(self._waiting), self._earliest, (GlobalWindow(),))


def _split(batch: Batch, size: int) -> Iterator[Batch]:
    """Yields parts of at most ``size`` rows; the first has the failures."""
    if len(batch) <= size:
        yield batch
        return
    for start in range(0, len(batch), size):
        part = batch.slice(start, start + size)
        yield part if start else Batch(part.carried, part.features, part.predictions, batch.failures)


class ApplyHooks(beam.DoFn):  # type: ignore[misc]
    """Applies a chain of hooks to a batch's features or predictions.

    Args:
        chain: The hooks, in order.
        stage: "preprocess", on features; or "postprocess", on predictions.
    """

    def __init__(self, chain: Iterable[Hook], stage: str):
        self._chain = list(chain)
        self._stage = stage

    def setup(self) -> None:
        """Builds the operations, on the worker."""
        self._operations = [hooks.build(hook) for hook in self._chain]

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Yields the batch; rows that fail are among its failures."""
        for operation in self._operations:
            if self._stage == "preprocess":
                batch = batch.with_features(self._stage, operation)
            else:
                batch = batch.with_predictions(self._stage, operation)
        yield batch
