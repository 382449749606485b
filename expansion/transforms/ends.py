# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What both kinds of ends do with rows that failed."""

from __future__ import annotations

from expansion.contract._gen.run_inference_pb2 import ErrorHandling
from expansion.errors import ExpansionError
from expansion.transforms import metrics
from expansion.transforms.batch import Batch, Failures

DEFAULT_MIN_ROWS = 100


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
