# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The two ends of a transform for rows of a Beam schema: rows → Batch, Batch → rows."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import BoundedWindow, GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from expansion.tensors.columns import Column, Columns, Dense
from expansion.tensors.nulls import nulls_of, zero
from expansion.tensors.rows import to_column
from expansion.tensors.sizes import row_bytes
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.ends import EndsPlan, ErrorBudget
from expansion.transforms.isolation import RowError
from expansion.transforms.made_by import MadeBy

# Name of the only carried column: WindowedValues of the rows themselves, which Python never copies or encodes.
_ROW = "row"

# Of what varies in size in the rows that become one Batch: about as much as one row may have of features.
MAX_PACKED_BYTES = 64 << 20
# What a row takes besides that: objects for itself, its values, window and timestamp.
_OBJECT_BYTES = 500
_OF_ONE_SIZE = (bool, int, float, np.number, np.bool_, Timestamp)


class _Once(tuple[Any, ...]):
    """The windows of a Batch. Beam would repeat them for each window of the row that filled it up.

    ``apache_beam/runners/common.py``, ``_OutputHandler``: ``windowed_value.windows *= len(…)``.
    """

    def __mul__(self, times: Any) -> _Once:
        return self


class _Pack(beam.DoFn):  # type: ignore[misc]
    """Collects what comes until there is enough for a Batch."""

    def __init__(self, plan: EndsPlan):
        self._made_by = MadeBy()
        self._features = dict(plan.features)
        self._fills = plan.fills
        self._noted = plan.noted
        self._says = plan.constants
        self._max_rows = plan.max_rows
        self._max_element_bytes = plan.max_element_bytes

    def start_bundle(self) -> None:
        """Begins with nothing."""
        self._waiting: list[Any] = []
        self._nbytes = 0
        self._sized: list[str] | None = None

    def finish_bundle(self) -> Iterable[WindowedValue]:
        """Returns what is left."""
        return self._batches()

    @abstractmethod
    def _batches(self) -> Iterable[WindowedValue]:
        """Returns Batches of what is waiting, of which nothing waits any more."""

    def _keep(self, waiting: Any, row: Any, names: Iterable[str]) -> Iterable[WindowedValue]:
        """Has something wait, of which the row has values of these names; returns Batches when there is enough."""
        if self._sized is None:  # a bundle's rows are alike
            self._sized = [name for name in names if not isinstance(getattr(row, name, None), _OF_ONE_SIZE)]
        self._waiting.append(waiting)
        for name in self._sized:
            self._nbytes += _nbytes(getattr(row, name, None))
        return self._batches() if len(self._waiting) >= self._max_rows or self._nbytes >= MAX_PACKED_BYTES else ()

    def _take(self) -> list[Any]:
        taken, self._waiting, self._nbytes = self._waiting, [], 0
        return taken

    def _batch(self, rows: Sequence[Any], carried: Columns, row_bytes: int = 0) -> Batch:
        columns: dict[str, Column] = {}
        errors: dict[int, RowError] = {}
        for name, field in self._features.items():
            values = [getattr(row, name, None) for row in rows]
            fill = self._fills.get(name)
            if name in self._noted:
                fill = zero(field)
                columns[nulls_of(name)] = Dense(np.array([value is None for value in values], np.bool_))
            columns[name], bad = to_column(values, field, fill)
            errors.update({index: RowError("ValueError", message) for index, message in bad.items()})
        batch = Batch(carried, Columns(columns, len(rows)), constants=self._says, row_bytes=row_bytes)
        errors.update(self._too_large(batch.features))
        return batch.without(errors, "decode")

    def _too_large(self, features: Columns) -> dict[int, RowError]:
        if not self._max_element_bytes or features.nbytes <= self._max_element_bytes:
            return {}
        sizes = row_bytes(features)
        limit = self._max_element_bytes
        return {
            int(row): RowError("ValueError", f"{sizes[row]} bytes of features; batching.max_element_bytes is {limit}")
            for row in np.flatnonzero(sizes > limit)
        }


class PackRows(_Pack):
    """Collects rows into Batches; each row carries its own windows, timestamp and pane.

    Args:
        plan: What to do.
        by_window: Whether a batch is of rows of one window, and in it. Default: rows of all windows are together, in
            the global window.
    """

    def __init__(self, plan: EndsPlan, by_window: bool = False):
        super().__init__(plan)
        self._by_window = by_window

    def process(self, _: Any, row: WindowedValue = beam.DoFn.WindowedValueParam) -> Iterable[WindowedValue]:
        """Returns Batches when enough rows have come. It asks for no window: Beam calls it once for all of a row's."""
        value = row.value
        names = getattr(value, "_fields", ()) or getattr(value, "__dict__", ())  # of a NamedTuple, of other classes
        return self._keep(row, value, names)

    def _batches(self) -> Iterable[WindowedValue]:
        row_bytes = _OBJECT_BYTES + self._nbytes // max(1, len(self._waiting))
        rows = self._take()
        places = _by_window(rows) if self._by_window else {GlobalWindow(): rows} if rows else {}
        # Their windows are named, as Beam would assign them by the rows' own WindowFn otherwise.
        for window, placed in places.items():
            carried = np.empty(len(placed), object)
            carried[:] = placed
            columns = Columns({_ROW: Dense(carried)}, len(placed))
            batch = self._batch([row.value for row in placed], columns, row_bytes)
            yield WindowedValue(batch, min(placed, key=attrgetter("timestamp_micros")).timestamp, _Once((window,)))


class PackFeatures(_Pack):
    """Collects the features of rows into Batches in the global window that carry nothing: who learns needs no more."""

    def process(self, row: Any) -> Iterable[WindowedValue]:
        """Returns a Batch when enough rows have come. It asks for the row alone, which Beam gives in half the time."""
        return self._keep(row, row, self._features)

    def _batches(self) -> Iterable[WindowedValue]:
        rows = self._take()
        if rows:
            window = GlobalWindow()
            yield WindowedValue(self._batch(rows, Columns({}, len(rows))), window.max_timestamp(), _Once((window,)))


def _nbytes(value: Any) -> int:
    """Returns about how many bytes a value of a row takes, beyond what every object does."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, (list, tuple)):
        return 8 * len(value) + (0 if not value or isinstance(value[0], _OF_ONE_SIZE) else sum(map(_nbytes, value)))
    return int(getattr(value, "nbytes", 0))


def _by_window(rows: Iterable[WindowedValue]) -> dict[BoundedWindow, list[WindowedValue]]:
    places: dict[BoundedWindow, list[WindowedValue]] = {}
    for row in rows:
        for window in row.windows:
            alone = WindowedValue(row.value, row.timestamp, (window,), row.pane_info)
            places.setdefault(window, []).append(alone)
    return places


class UnpackRows(beam.DoFn):  # type: ignore[misc]
    """Makes an output row of every row of a Batch, an error row of every failure, in the windows that each came in."""

    def __init__(self, plan: EndsPlan, input_names: Sequence[str]):
        self._names = [name for name in input_names if name not in plan.dropped]
        self._predictions = list(plan.predictions)
        self._errors = plan.config.error_handling.output
        self._budget = ErrorBudget(plan.config.error_handling)
        self._arm = plan.arm

    def start_bundle(self) -> None:
        """Begins with no errors."""
        self._budget.start()

    def process(self, batch: Batch) -> Iterator[WindowedValue | beam.pvalue.TaggedOutput]:
        """Yields WindowedValues of beam.Row."""
        self._budget.count(batch)
        # Those that replace a column of the input have its place.
        predictions = [batch.predictions[name].to_rows() for name in self._predictions] if len(batch) else []
        of_all = batch.said_of_all(self._arm)
        rows = _rows(batch.carried)
        columns: dict[str, Iterable[Any]] = {name: map(attrgetter(name), _values(rows)) for name in self._names}
        columns.update(zip(self._predictions, predictions, strict=False))
        columns.update((name, itertools.repeat(text)) for name, text in of_all.items())
        names = [*columns]
        for carried, *values in zip(rows, *columns.values(), strict=False):
            yield carried.with_value(beam.Row(**dict(zip(names, values, strict=True))))
        for failures in batch.failures:
            yield from self._error_rows(failures)

    def _error_rows(self, failures: Failures) -> Iterator[beam.pvalue.TaggedOutput]:
        for carried, error in zip(_rows(failures.carried), failures.errors, strict=True):
            row = beam.Row(
                element=carried.value,
                stage=failures.stage,
                error_type=error.error_type,
                message=error.message,
                **failures.constants,
            )
            yield beam.pvalue.TaggedOutput(self._errors, carried.with_value(row))


def _values(rows: Iterable[WindowedValue]) -> Iterator[Any]:
    return (row.value for row in rows)


def _rows(carried: Columns) -> list[WindowedValue]:
    column = carried[_ROW]
    return list(column.values) if isinstance(column, Dense) else []
