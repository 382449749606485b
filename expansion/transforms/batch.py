# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batch: the one element that flows through RunInference, from decoding to encoding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from expansion.tensors.columns import Columns, Indices
from expansion.transforms.isolation import RowError, isolate


@dataclass(frozen=True)
class Failures:
    """Rows that failed in one stage.

    Attributes:
        carried: What goes back with each of them, as in Batch.
        stage: decode, preprocess, inference or postprocess.
        errors: Why, one a row.
        route: As in Batch, when they failed.
    """

    carried: Columns
    stage: str
    errors: tuple[RowError, ...]
    route: str = ""


@dataclass(frozen=True)
class Batch:
    """Rows on their way through RunInference, as columns; and the rows of the batch that have failed so far.

    Attributes:
        carried: What goes back untouched beside predictions and errors.
        features: What the pre hooks and the model read; without columns after inference.
        predictions: What the model and the post hooks made; without columns before inference.
        failures: Rows that are no longer in the columns above.
        route: Which of several models the rows are for: a key, or the name of an arm. Empty where there is one model,
            and before it is known.
        model_version: The version of the model that it went to, where models are refreshed; empty before inference.
    """

    carried: Columns
    features: Columns
    predictions: Columns = field(default_factory=lambda: Columns({}, 0))
    failures: tuple[Failures, ...] = ()
    route: str = ""
    model_version: str = ""

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
        failures = Failures(self.carried.take(np.array(failed)), stage, why, self.route)
        return self.take(kept).with_failures((*self.failures, failures))

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, without the failures."""
        return self.carried.nbytes + self.features.nbytes + self.predictions.nbytes

    def applied(self, stage: str, operation: Callable[[Columns], Columns]) -> Batch:
        """Returns the batch after an operation; rows that fail are among its failures.

        Args:
            stage: "preprocess", of features; "inference", which puts predictions in place of features; or
                "postprocess", of predictions.
            operation: Makes columns of columns, row for row.
        """
        result, errors = isolate(operation, self.predictions if stage == "postprocess" else self.features)
        kept = self.without(errors, stage)
        if stage == "preprocess":
            return replace(kept, features=result)
        return replace(kept, features=Columns({}, len(kept)), predictions=result)

    def without_features(self) -> Batch:
        """Returns the batch as it is after inference when no row was predicted."""
        return replace(self, features=Columns({}, len(self)))

    def with_failures(self, failures: tuple[Failures, ...]) -> Batch:
        """Returns these rows with other failures."""
        return replace(self, failures=failures)

    def take(self, indices: Indices) -> Batch:
        """Returns the rows at ``indices``, in that order, without the failures."""
        carried, features, predictions = self.carried, self.features, self.predictions
        return replace(
            self,
            carried=carried.take(indices),
            features=features.take(indices),
            predictions=predictions.take(indices),
            failures=(),
        )

    def slice(self, start: int, stop: int) -> Batch:
        """Returns rows start to stop, as views, without the failures."""
        carried, features, predictions = (c.slice(start, stop) for c in (self.carried, self.features, self.predictions))
        return replace(self, carried=carried, features=features, predictions=predictions, failures=())

    def compact(self) -> Batch:
        """Returns a copy that keeps nothing but its own rows alive: of a slice, pyarrow would pickle the whole."""
        return self.take(np.arange(len(self))).with_failures(self.failures)

    @staticmethod
    def concat(batches: Sequence[Batch]) -> Batch:
        """Joins batches of one route; a single one is returned as it is."""
        if len(batches) == 1:
            return batches[0]
        full = [batch for batch in batches if len(batch)] or batches[:1]
        return Batch(
            Columns.concat([batch.carried for batch in full]),
            Columns.concat([batch.features for batch in full]),
            Columns.concat([batch.predictions for batch in full]),
            tuple(failures for batch in batches for failures in batch.failures),
            full[0].route,
        )
