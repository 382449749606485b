# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What both kinds of ends need to know, and what they do with rows that failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import ErrorHandling, RunInferenceConfig
from expansion.contract.fields import Fields
from expansion.errors import ExpansionError
from expansion.tensors.nulls import Fill
from expansion.transforms import metrics
from expansion.transforms.batch import Batch, Failures

DEFAULT_MIN_ROWS = 100


class EndsPlan(Protocol):
    """What the ends need to know of what is between them."""

    @property
    def config(self) -> RunInferenceConfig | MLTransformConfig:
        """The configuration: what comes in, and what becomes of rows that fail."""

    @property
    def features(self) -> Fields:
        """The input's columns that are read, as they come in."""

    @property
    def fills(self) -> Mapping[str, Fill]:
        """What a null of the input becomes, by the feature."""

    @property
    def noted(self) -> Collection[str]:
        """Features whose nulls are noted in a column beside; nulls of all others are errors."""

    @property
    def predictions(self) -> Fields:
        """The columns of Batch.predictions that output rows have."""

    @property
    def dropped(self) -> Collection[str]:
        """The input's columns that output rows do not have."""

    @property
    def constants(self) -> Mapping[str, str]:
        """The columns that say the same in every row, and what they say at first."""

    @property
    def arm(self) -> str:
        """The column that says which arm of a split a row went to; empty where there is none."""

    @property
    def max_rows(self) -> int:
        """Rows to pack into a batch, at most."""

    @property
    def max_element_bytes(self) -> int:
        """Bytes of a row's features, at most; 0 for any."""


class ErrorBudget:
    """Counts the rows of a bundle, and fails the job when more of them failed than may."""

    def __init__(self, handling: ErrorHandling):
        self._wanted = bool(handling.output)
        self._max_rate = handling.max_error_rate if handling.HasField("max_error_rate") else 1.0
        self._min_rows = handling.min_rows or DEFAULT_MIN_ROWS
        self.start()

    def start(self) -> None:
        """Begins a bundle."""
        self._rows = self._failed = 0
        self._last: Failures | None = None

    def count(self, batch: Batch) -> None:
        """Counts a batch's rows and failures.

        Raises:
            ExpansionError: A row failed and there is no output for errors, or too many have.
        """
        failed = 0
        for failures in batch.failures:
            metrics.count_errors(failures.stage, len(failures.errors))
            failed += len(failures.errors)
            self._last = failures
        metrics.rows.inc(len(batch) + failed)
        if failed and not self._wanted:
            _fail_the_job(batch.failures[0])
        self._rows += len(batch) + failed
        self._failed += failed
        if self._last and self._rows >= self._min_rows and self._failed > self._max_rate * self._rows:
            raise ExpansionError(
                f"{self._failed} of {self._rows} rows of a bundle failed; error_handling.max_error_rate is "
                f"{self._max_rate:g}. One of the last: {_first(self._last)}"
            )


def _fail_the_job(failures: Failures) -> None:
    raise ExpansionError(
        f"{len(failures.errors)} row(s) failed in {failures.stage}; the first: {_first(failures)}. "
        "To go on without such rows, set error_handling.output to the name of a second output for them."
    )


def _first(failures: Failures) -> str:
    error = failures.errors[0]
    return f"{error.error_type}: {error.message}"
