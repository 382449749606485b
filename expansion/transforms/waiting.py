# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batching across bundles, for streams of few rows: batches wait in Beam's state for enough rows or for long enough."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

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
from expansion.transforms.routes import Router


class RebatchAcrossBundles(beam.PTransform):  # type: ignore[misc]
    """Joins and splits batches as Rebatch does; rows wait for max_batch_duration_secs at most.

    The watermark is held at the earliest row that waits, and for no longer than it does. Rows that one instance of this
    step gets wait together, and a worker process has as many as it runs bundles at a time: across instances there would
    be one place for all rows to go through.
    """

    def __init__(self, batching: Batching, router: Router | None = None):
        super().__init__()
        self._batching = batching
        self._router = router

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Returns the batches, in the global window."""
        keyed = batches | "Buckets" >> beam.ParDo(_ByBucket(self._batching, self._router)).with_output_types(
            tuple[bytes, Batch]
        )
        return keyed | "Wait" >> beam.ParDo(Wait(self._batching)).with_output_types(Batch)


class _ByBucket(beam.DoFn):  # type: ignore[misc]
    def __init__(self, batching: Batching, router: Router | None):
        self._bounds = BatchBounds(batching, router)

    def setup(self) -> None:
        self._instance = uuid.uuid4().bytes

    def process(self, batch: Batch) -> Iterator[tuple[bytes, Batch]]:
        for bucket, part in self._bounds.buckets(batch):
            yield self._instance + bucket.to_bytes(4, "big") + part.route.encode(), part


class _Waiting(NamedTuple):
    """What is known of the rows that wait.

    Attributes:
        rows: Their number.
        weight: Their weight, all together.
        earliest: The earliest timestamp of what they came in, or an earlier one.
        since: When the first of them came, or earlier, in seconds since the epoch.
    """

    rows: int
    weight: float
    earliest: Timestamp
    since: float


_WAITING_CODER = coders.TupleCoder(
    [coders.VarIntCoder(), coders.FloatCoder(), coders.TimestampCoder(), coders.FloatCoder()]
)


class Wait(beam.DoFn):  # type: ignore[misc]
    """Joins and splits the batches of one key: of one instance of the step before, and of one bucket and route."""

    BATCHES = beam.DoFn.StateParam(BagStateSpec("batches", BatchCoder()))
    WAITING = beam.DoFn.StateParam(ReadModifyWriteStateSpec("waiting", _WAITING_CODER))
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
        waiting: Any = WAITING,
        time_is_up: Any = TIME_IS_UP_TIMER,
        input_ends: Any = INPUT_ENDS_TIMER,
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields what is full; the rest waits."""
        batch = element[1]
        before = _Waiting(*waiting.read()) if waiting.read() else None
        now = _extended(before, len(batch), self._bounds.weight(batch), timestamp)
        if before is None:
            input_ends.set(GlobalWindow().max_timestamp())
        if before is None or timestamp < before.earliest:
            # This timer holds the watermark at the timestamp of the element that sets it: the earliest has to.
            time_is_up.set(now.since + self._seconds)
        batches.add(batch)
        waiting.write(tuple(now))
        if not self._bounds.is_full(now.rows, now.weight):
            return
        full, rest = self._bounds.cut(Batch.concat(list(batches.read())))
        batches.clear()
        if rest is None:
            _forget(waiting, time_is_up, input_ends)
        else:
            batches.add(rest.compact())
            is_new = len(rest) <= len(batch)  # all of it came just now; otherwise the times from before hold for it
            after = _extended(None if is_new else before, 0, 0.0, timestamp)
            waiting.write((len(rest), self._bounds.weight(rest), after.earliest, after.since))
            if is_new:
                time_is_up.set(after.since + self._seconds)
        yield from _stamped(full, now)

    @on_timer(TIME_IS_UP)  # type: ignore[untyped-decorator]
    def on_time_is_up(
        self, batches: Any = BATCHES, waiting: Any = WAITING, input_ends: Any = INPUT_ENDS_TIMER
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields what waits."""
        # No key comes back once its worker has gone: its timers would be kept until the input ends.
        yield from self._all(batches, waiting, input_ends)

    @on_timer(INPUT_ENDS)  # type: ignore[untyped-decorator]
    def on_input_ends(
        self, batches: Any = BATCHES, waiting: Any = WAITING, time_is_up: Any = TIME_IS_UP_TIMER
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields what waits."""
        # The other timer would hold the watermark, and the end of the job, for rows that wait no more.
        yield from self._all(batches, waiting, time_is_up)

    def _all(self, batches: Any, waiting: Any, other_timer: Any) -> Iterator[TimestampedValue[Batch]]:
        if not waiting.read():
            return
        now, there = _Waiting(*waiting.read()), Batch.concat(list(batches.read()))
        batches.clear()
        _forget(waiting, other_timer)
        yield from _stamped(self._bounds.split(there), now)


def _extended(before: _Waiting | None, rows: int, weight: float, timestamp: Timestamp) -> _Waiting:
    """Returns what is known once more rows have come, with this timestamp."""
    if before is None:
        return _Waiting(rows, weight, timestamp, time.time())
    return _Waiting(before.rows + rows, before.weight + weight, min(before.earliest, timestamp), before.since)


def _forget(waiting: Any, *timers: Any) -> None:
    """Clears what is known, and timers."""
    waiting.clear()
    for timer in timers:
        timer.clear()


def _stamped(parts: Iterable[Batch], waiting: _Waiting) -> Iterator[TimestampedValue[Batch]]:
    waited = round(1e3 * max(0.0, time.time() - waiting.since))
    for part in parts:
        metrics.batch_wait.update(waited)
        yield TimestampedValue(part, waiting.earliest)
