# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The steps between decoding and encoding, each a DoFn from Batch to Batch."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from expansion import hooks
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.tensors.columns import Columns, Dense, Ragged
from expansion.transforms import metrics
from expansion.transforms.batch import Batch
from expansion.transforms.batching import BatchBounds
from expansion.transforms.isolation import Operation
from expansion.transforms.loading import loading
from expansion.transforms.memory import WithinMemory
from expansion.transforms.routes import Router
from expansion.transforms.step_plan import MODEL_ID, StepPlan

# Fields of hooks, by when they are applied.
_FIELDS = {"preprocess": "pre_hooks", "postprocess": "post_hooks"}
# Of all routes and buckets, the rows that wait: a bundle may be as large as a job.
MAX_WAITING_BYTES = 256 << 20


@dataclass
class _Waiting:
    """Rows of one bucket that wait for more.

    Attributes:
        batches: What has come.
        rows: Its rows, all together.
        weight: Its weight.
        nbytes: Its bytes.
        earliest: The earliest timestamp of what has come.
        since: When the first of them came, in seconds of a monotonic clock.
    """

    batches: list[Batch] = field(default_factory=list)
    rows: int = 0
    weight: float = 0.0
    nbytes: int = 0
    earliest: Timestamp = MAX_TIMESTAMP
    since: float = field(default_factory=time.monotonic)


class Rebatch(beam.DoFn):  # type: ignore[misc]
    """Joins and splits batches into ones of the size that the model likes, by slicing columns.

    Rows wait for more of their bucket and route until there are enough, the bundle ends, or all that wait are too much
    to keep in memory.
    """

    def __init__(self, batching: Batching, router: Router | None = None):
        self._bounds = BatchBounds(batching, router)

    def start_bundle(self) -> None:
        """Begins with nothing waiting."""
        self._waiting: dict[tuple[str, int], _Waiting] = defaultdict(_Waiting)
        self._waiting_bytes = 0

    def process(
        self, batch: Batch, timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> Iterator[TimestampedValue[Batch]]:
        """Yields every batch that is full, at the earliest timestamp of what it was made of."""
        for number, part in self._bounds.buckets(batch):
            bucket = part.route, number
            waiting = self._keep(bucket, part, timestamp)
            if self._bounds.is_full(waiting.rows, waiting.weight):
                yield from self._full(bucket)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            yield from (TimestampedValue(part, earliest) for part, earliest in self._rest())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields what is left."""
        yield from (WindowedValue(part, earliest, (GlobalWindow(),)) for part, earliest in self._rest())

    def _rest(self) -> Iterator[tuple[Batch, Timestamp]]:
        """Yields all that waits, with its timestamp, and begins anew."""
        waiting_for, self._waiting, self._waiting_bytes = self._waiting, defaultdict(_Waiting), 0
        for waiting in waiting_for.values():
            for part in self._bounds.split(Batch.concat(waiting.batches)):
                _note_wait(waiting)
                yield part, waiting.earliest

    def _keep(self, bucket: tuple[str, int], batch: Batch, timestamp: Timestamp) -> _Waiting:
        """Has a batch wait; returns all that waits with it."""
        waiting = self._waiting[bucket]
        waiting.batches.append(batch)
        waiting.rows += len(batch)
        waiting.weight += self._bounds.weight(batch)
        waiting.nbytes += batch.nbytes
        waiting.earliest = min(waiting.earliest, timestamp)
        self._waiting_bytes += batch.nbytes
        return waiting

    def _full(self, bucket: tuple[str, int]) -> Iterator[TimestampedValue[Batch]]:
        waiting = self._waiting.pop(bucket)
        self._waiting_bytes -= waiting.nbytes
        full, rest = self._bounds.cut(Batch.concat(waiting.batches))
        if rest is not None:
            self._keep(bucket, rest, waiting.earliest)
        for part in full:
            _note_wait(waiting)
            yield TimestampedValue(part, waiting.earliest)


def _note_wait(waiting: _Waiting) -> None:
    metrics.batch_wait.update(round(1e3 * (time.monotonic() - waiting.since)))


class BeginStep(beam.DoFn):  # type: ignore[misc]
    """Gives a batch the features of the next model, and says which one it is.

    Args:
        step: What is known of the model.
        kept: Names of the features to keep for later models; None if this is a later one itself.
    """

    def __init__(self, step: StepPlan, kept: Sequence[str] | None):
        self._step = step
        self._kept = kept

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Yields the batch."""
        if self._kept is not None:
            batch = replace(batch, kept=batch.features.select(self._kept))
            yield batch.with_constants({MODEL_ID: self._step.model_id_of(batch.route)} if batch.route else {})
            return
        known = {**batch.kept, **batch.predictions}
        read = {name: known[name] for name in self._step.reads if name in known}
        batch = replace(batch, features=Columns(read, len(batch)))
        yield batch.with_constants({MODEL_ID: self._step.model_id_of("")})


class ApplyHooks(beam.DoFn):  # type: ignore[misc]
    """Applies a chain of hooks to a batch's features or predictions.

    Args:
        chain: The hooks, in order.
        stage: "preprocess", on features; or "postprocess", on predictions.
        environment: Where they run, as the configuration names it, for messages. Default: it names nothing.
    """

    def __init__(self, chain: Iterable[Hook], stage: str, environment: str = ""):
        self._chain = [hook.SerializeToString(deterministic=True) for hook in chain]
        self._stage = stage
        self._environment = environment

    def setup(self) -> None:
        """Builds the operations, on the worker.

        Raises:
            SystemicError: One of them can't be built there.
        """
        built = map(self._built, range(len(self._chain)))
        self._operations = [partial(WithinMemory().run, _noting_padding(operation)) for operation in built]

    def _built(self, index: int) -> Operation:
        hook = Hook.FromString(self._chain[index])
        path = f"{_FIELDS[self._stage]}[{index}].{hook.WhichOneof('operation')}"
        with loading(path, self._environment):
            return hooks.build(hook)

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Yields the batch; rows that fail are among its failures."""
        with metrics.timed(self._stage):
            for operation in self._operations:
                batch = batch.applied(self._stage, operation)
        yield batch


def _noting_padding(operation: Operation) -> Operation:
    """Returns the operation; it notes how much of each column that gets one size for all rows is padding."""

    def noting(before: Columns) -> Columns:
        after = operation(before)
        for name, column in before.items():
            padded = after.get(name)
            if isinstance(column, Ragged) and isinstance(padded, Dense) and padded.values.size:
                metrics.padding.update(round(100 * (1 - column.values.size / padded.values.size)))
        return after

    return noting
