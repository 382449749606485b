# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The two ends of RunInference for rows of a Beam schema: rows → Batch, Batch → rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import BoundedWindow, GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PaneInfo, WindowedValue

from expansion.tensors.columns import Column, Columns, Dense
from expansion.tensors.rows import to_column
from expansion.tensors.sizes import row_bytes
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.config import DEFAULT_MAX_BATCH_SIZE, DEFAULT_MAX_ELEMENT_BYTES
from expansion.transforms.ends import ErrorBudget
from expansion.transforms.isolation import RowError
from expansion.transforms.plan import Plan

# Name of the only carried column: WindowedValues of the rows themselves, which Python never copies or encodes.
_ROW = "row"


class PackRows(beam.DoFn):  # type: ignore[misc]
    """Collects rows into Batches, in the global window; each row carries its own windows, timestamp and pane."""

    def __init__(self, plan: Plan):
        self._features = plan.features
        self._fills = plan.fills
        batching = plan.config.batching
        self._max_rows = batching.max_batch_size or DEFAULT_MAX_BATCH_SIZE
        self._max_element_bytes = batching.max_element_bytes or DEFAULT_MAX_ELEMENT_BYTES

    def start_bundle(self) -> None:
        """Begins with no rows."""
        self._rows: list[WindowedValue] = []

    def process(
        self,
        row: Any,
        timestamp: Timestamp = beam.DoFn.TimestampParam,
        window: BoundedWindow = beam.DoFn.WindowParam,
        pane: PaneInfo = beam.DoFn.PaneInfoParam,
    ) -> Iterator[WindowedValue]:
        """Yields a Batch when enough rows have come."""
        last = self._rows[-1] if self._rows else None
        if last is not None and _is_same(last, row, timestamp, window, pane):
            last.windows += (window,)
            return
        if len(self._rows) >= self._max_rows:
            yield self._batch_in_global_window()
            self._rows = []
        self._rows.append(WindowedValue(row, timestamp, (window,), pane))

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields what is left."""
        if self._rows:
            yield self._batch_in_global_window()

    def _batch_in_global_window(self) -> WindowedValue:
        # Named, as Beam would assign windows by the rows' own WindowFn otherwise.
        earliest = min(row.timestamp for row in self._rows)
        return WindowedValue(self._batch(), earliest, (GlobalWindow(),))

    def _batch(self) -> Batch:
        columns: dict[str, Column] = {}
        errors: dict[int, RowError] = {}
        for name, field in self._features.items():
            values = [getattr(row.value, name, None) for row in self._rows]
            columns[name], bad = to_column(values, field, self._fills.get(name))
            errors.update({index: RowError("ValueError", message) for index, message in bad.items()})
        carried = np.empty(len(self._rows), object)
        carried[:] = self._rows
        batch = Batch(Columns({_ROW: Dense(carried)}, len(carried)), Columns(columns, len(carried)))
        errors.update(self._too_large(batch.features))
        return batch.without(errors, "decode")

    def _too_large(self, features: Columns) -> dict[int, RowError]:
        if features.nbytes <= self._max_element_bytes:
            return {}
        sizes = row_bytes(features)
        limit = self._max_element_bytes
        return {
            int(row): RowError("ValueError", f"{sizes[row]} bytes of features; batching.max_element_bytes is {limit}")
            for row in np.flatnonzero(sizes > limit)
        }


def _is_same(last: WindowedValue, row: Any, timestamp: Timestamp, window: BoundedWindow, pane: PaneInfo) -> bool:
    """Whether this is the row that came last, in another of its windows.

    Beam calls a DoFn that asks for the window once for each window of an element, with the very same object. Two
    elements that happen to be one object, with the same timestamp and pane, are together the same as one element in
    both windows.
    """
    return last.value is row and last.timestamp == timestamp and last.pane_info == pane and window not in last.windows


class UnpackRows(beam.DoFn):  # type: ignore[misc]
    """Makes an output row of every row of a Batch, an error row of every failure, in the windows that each came in."""

    def __init__(self, plan: Plan, input_names: Sequence[str]):
        self._names = list(input_names)
        self._predictions = list(plan.predictions)
        self._errors = plan.config.error_handling.output
        self._budget = ErrorBudget(plan.config.error_handling)
        self._plan = plan

    def start_bundle(self) -> None:
        """Begins with no errors."""
        self._budget.start()

    def process(self, batch: Batch) -> Iterator[WindowedValue | beam.pvalue.TaggedOutput]:
        """Yields WindowedValues of beam.Row."""
        self._budget.count(batch)
        predictions = [batch.predictions[name].to_rows() for name in self._predictions] if len(batch) else []
        of_all = self._plan.same_in_all_rows(batch.route, batch.model_version)
        for carried, *values in zip(_rows(batch.carried), *predictions, strict=True):
            row = {name: getattr(carried.value, name) for name in self._names}
            row.update(zip(self._predictions, values, strict=True))
            row.update(of_all)
            yield carried.with_value(beam.Row(**row))
        for failures in batch.failures:
            yield from self._error_rows(failures, batch.model_version)

    def _error_rows(self, failures: Failures, version: str) -> Iterator[beam.pvalue.TaggedOutput]:
        model_columns = self._plan.model_columns(failures.route, version)
        for carried, error in zip(_rows(failures.carried), failures.errors, strict=True):
            row = beam.Row(
                element=carried.value,
                stage=failures.stage,
                error_type=error.error_type,
                message=error.message,
                **model_columns,
            )
            yield beam.pvalue.TaggedOutput(self._errors, carried.with_value(row))


def _rows(carried: Columns) -> list[WindowedValue]:
    column = carried[_ROW]
    return list(column.values) if isinstance(column, Dense) else []
