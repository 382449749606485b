# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batch: the one element that flows through a transform, from decoding to encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from expansion.tensors.columns import Columns, Indices

# Workers read the coder of Batches before they read a step, of which the class may be Beam's.
from expansion.transforms import beam_inference  # noqa: F401
from expansion.transforms.isolation import RowError, isolate


@dataclass(frozen=True)
class Failures:
    """Rows that failed in one stage.

    Attributes:
        carried: What goes back with each of them, as in Batch.
        stage: decode, preprocess, inference, transform or postprocess.
        errors: Why, one a row.
        constants: As in Batch, when they failed.
    """

    carried: Columns
    stage: str
    errors: tuple[RowError, ...]
    constants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Rows on their way through a transform, as columns; and the rows of the batch that have failed so far.

    Attributes:
        carried: What goes back untouched beside predictions and errors.
        features: What the pre hooks and the model, or operations, read; without columns after them.
        predictions: What models or operations, and post hooks, have made so far; without columns before them.
        failures: Rows that are no longer in the columns above.
        kept: Those of the features, as they came in, that later models of a chain read.
        route: Which of several models the rows are for: a key, the name of an arm, a uri. Empty where there is one
            model, and before it is known.
        uris: Where the model may be, the newest first, where a second input says so; of these, ``route`` will be one.
        constants: Columns that say the same in every row, output or error: which models it went to.
        row_bytes: Bytes that a carried row takes on average, where they are Python objects, of which columns know none.
    """

    carried: Columns
    features: Columns
    predictions: Columns = field(default_factory=lambda: Columns({}, 0))
    failures: tuple[Failures, ...] = ()
    kept: Columns = field(default_factory=lambda: Columns({}, 0))
    route: str = ""
    uris: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    row_bytes: int = 0

    def __len__(self) -> int:
        """Number of rows that have not failed. Beam counts these as the batch's size."""
        return self.carried.row_count

    def without(self, errors: Mapping[int, RowError], stage: str) -> Batch:
        """Returns the batch with some rows moved to its failures.

        Args:
            errors: Why, by the row's index.
            stage: Where it happened.
        """
        if not errors:
            return self
        failed = sorted(errors)
        kept = np.setdiff1d(np.arange(len(self)), failed)
        why = tuple(errors[row] for row in failed)
        failures = Failures(self.carried.take(np.array(failed)), stage, why, self.constants)
        return self.take(kept).with_failures((*self.failures, failures))

    @property
    def nbytes(self) -> int:
        """Bytes of all columns and carried rows, without the failures."""
        return sum(columns.nbytes for columns in self._columns()) + len(self) * self.row_bytes

    def applied(self, stage: str, operation: Callable[[Columns], Columns]) -> Batch:
        """Returns the batch after an operation; rows that fail are among its failures.

        Args:
            stage: "preprocess" or "transform", of features; "inference", which adds predictions and drops features; or
                "postprocess", of predictions.
            operation: Makes columns of columns, row for row.
        """
        result, errors = isolate(operation, self.predictions if stage == "postprocess" else self.features)
        kept = self.without(errors, stage)
        if stage in ("preprocess", "transform"):
            return replace(kept, features=result)
        if stage == "inference":
            result = result.with_columns({**kept.predictions, **result})
            return replace(kept, features=Columns({}, len(kept)), predictions=result)
        return replace(kept, predictions=result)

    def transformed(self) -> Batch:
        """Returns the batch as it is after the last operation: what was features is predictions."""
        return replace(self, features=Columns({}, len(self)), predictions=self.features)

    def without_features(self) -> Batch:
        """Returns the batch as it is after inference when no row was predicted."""
        return replace(self, features=Columns({}, len(self)))

    def with_constants(self, added: Mapping[str, str]) -> Batch:
        """Returns the batch with more constants, each behind what it said before."""
        before = self.constants
        both = {name: ", ".join(filter(None, [before.get(name), text])) for name, text in added.items()}
        return replace(self, constants={**before, **both})

    def said_of_all(self, arm: str) -> dict[str, str]:
        """Returns what output rows say besides predictions: the route, as column ``arm`` if named; the constants."""
        return {**({arm: self.route} if arm else {}), **self.constants}

    def with_failures(self, failures: tuple[Failures, ...]) -> Batch:
        """Returns these rows with other failures."""
        return replace(self, failures=failures)

    def take(self, indices: Indices) -> Batch:
        """Returns the rows at ``indices``, in that order, without the failures."""
        return self._with_columns(columns.take(indices) for columns in self._columns())

    def slice(self, start: int, stop: int) -> Batch:
        """Returns rows start to stop, as views, without the failures."""
        return self._with_columns(columns.slice(start, stop) for columns in self._columns())

    def compact(self) -> Batch:
        """Returns a copy that keeps its own rows alone alive; a slice keeps the whole."""
        return self.take(np.arange(len(self))).with_failures(self.failures)

    @staticmethod
    def concat(batches: Sequence[Batch]) -> Batch:
        """Joins batches of one route; a single one is returned as it is."""
        if len(batches) == 1:
            return batches[0]
        full = [batch for batch in batches if len(batch)] or batches[:1]
        joined = full[0]._with_columns(map(Columns.concat, zip(*(batch._columns() for batch in full), strict=True)))
        row_bytes = sum(len(batch) * batch.row_bytes for batch in full) // max(1, len(joined))
        failures = tuple(failures for batch in batches for failures in batch.failures)
        return replace(joined, failures=failures, row_bytes=row_bytes)

    def _columns(self) -> tuple[Columns, ...]:
        """Returns everything that has a row for each of the batch's."""
        return self.carried, self.features, self.predictions, self.kept

    def _with_columns(self, columns: Iterable[Columns]) -> Batch:
        """Returns a batch of other rows, without the failures."""
        carried, features, predictions, kept = columns
        return replace(self, carried=carried, features=features, predictions=predictions, kept=kept, failures=())
