# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batching across bundles, for streams of few rows: batches wait in Beam's state for enough rows or for long enough."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.transforms import metrics
from expansion.transforms.batch import Batch
from expansion.transforms.batch_coder import BatchCoder
from expansion.transforms.batching import BatchBounds


class RebatchAcrossBundles(beam.PTransform):  # type: ignore[misc]
    """Joins and splits batches as Rebatch does; rows wait for max_batch_duration_secs at most.

    The watermark is held at the earliest row that waits, and for no longer than it does. Rows of one worker process
    wait together: across processes there would be one place for all of them to go through.
    """

    def __init__(self, batching: Batching):
        super().__init__()
        self._batching = batching

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Returns the batches, in the global window."""
        keyed = batches | "Buckets" >> beam.ParDo(_ByBucket(self._batching)).with_output_types(tuple[bytes, Batch])
        return keyed | "Wait" >> beam.ParDo(_Wait(self._batching)).with_output_types(Batch)


class _ByBucket(beam.DoFn):  # type: ignore[misc]
    def __init__(self, batching: Batching):
        self._bounds = BatchBounds(batching)

    def setup(self) -> None:
        self._worker = uuid.uuid4().bytes

    def process(self, batch: Batch) -> Iterator[tuple[bytes, Batch]]:
        for bucket, part in self._bounds.buckets(batch):
            yield self._worker + bucket.to_bytes(4, "big"), part


class _Wait(beam.DoFn):  # type: ignore[misc]
    BATCHES = beam.DoFn.StateParam(BagStateSpec("batches", BatchCoder()))
    ROWS = beam.DoFn.StateParam(ReadModifyWriteStateSpec("rows", coders.VarIntCoder()))
    EARLIEST = beam.DoFn.StateParam(ReadModifyWriteStateSpec("earliest", coders.TimestampCoder()))
    SINCE = beam.DoFn.StateParam(ReadModifyWriteStateSpec("since", coders.FloatCoder()))  # seconds since the epoch
    TIME_IS_UP = TimerSpec("time_is_up", TimeDomain.REAL_TIME)
    INPUT_ENDS = TimerSpec("input_ends", TimeDomain.WATERMARK)
    TIME_IS_UP_TIMER = beam.DoFn.TimerParam(TIME_IS_UP)
    INPUT_ENDS_TIMER = beam.DoFn.TimerParam(INPUT_ENDS)

    def __init__(self, batching: Batching):
        self._bounds = BatchBounds(batching)
        self._seconds = batching.max_batch_duration_secs

    def process(
        self,
        element: tuple[bytes, Batch],
        timestamp: Timestamp = beam.DoFn.TimestampParam,
        batches: Any = BATCHES,
        rows: Any = ROWS,
        earliest: Any = EARLIEST,
        since: Any = SINCE,
        time_is_up: Any = TIME_IS_UP_TIMER,
        input_ends: Any = INPUT_ENDS_TIMER,
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields full batches once there are rows enough for one."""
        _, batch = element
        batches.add(batch)
        rows.write((rows.read() or 0) + len(batch))
        if since.read() is None:
            since.write(time.time())
            input_ends.set(GlobalWindow().max_timestamp())
        if earliest.read() is None or timestamp < earliest.read():
            earliest.write(timestamp)
            # This timer holds the watermark at the timestamp of the element that sets it: the earliest has to.
            time_is_up.set(since.read() + self._seconds)
        if rows.read() >= self._bounds.min_rows:
            time_is_up.clear()
            input_ends.clear()
            yield from _join(self._bounds, batches, rows, earliest, since)

    @on_timer(TIME_IS_UP)  # type: ignore[untyped-decorator]
    def on_time_is_up(
        self,
        batches: Any = BATCHES,
        rows: Any = ROWS,
        earliest: Any = EARLIEST,
        since: Any = SINCE,
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields what waits."""
        yield from _join(self._bounds, batches, rows, earliest, since)

    @on_timer(INPUT_ENDS)  # type: ignore[untyped-decorator]
    def on_input_ends(
        self,
        batches: Any = BATCHES,
        rows: Any = ROWS,
        earliest: Any = EARLIEST,
        since: Any = SINCE,
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields what waits."""
        yield from _join(self._bounds, batches, rows, earliest, since)


def _join(bounds: BatchBounds, batches: Any, rows: Any, earliest: Any, since: Any) -> Iterator[TimestampedValue[Batch]]:
    """Yields what waits, if anything does, and forgets it."""
    waiting = list(batches.read())
    if not waiting:
        return
    timestamp, waited = earliest.read(), time.time() - since.read()
    for state in (batches, rows, earliest, since):
        state.clear()
    for part in bounds.split(Batch.concat(waiting)):
        metrics.batch_wait.update(round(1e3 * waited))
        yield TimestampedValue(part, timestamp)
