# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The two ends of RunInference for clients that send TensorBatches: bytes → Batch, Batch → bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import apache_beam as beam
import numpy as np

from expansion.contract.problems import null
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Column, Columns, Dense
from expansion.tensors.nulls import filled
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.ends import ErrorBudget
from expansion.transforms.isolation import RowError
from expansion.transforms.plan import Plan

# Larger results are split: neither gRPC nor the other side's byte arrays take everything that a model makes of a batch.
MAX_RESULT_BYTES = 16 << 20


# Before the name of a carried column, that of another, which says where it was null before it was filled in.
_NULLS_OF = "\0nulls of "


class DecodeTensorBatch(beam.DoFn):  # type: ignore[misc]
    """Views a TensorBatch as a Batch. Nulls are filled in where the plan says so; other rows with a null fail."""

    def __init__(self, plan: Plan):
        config = plan.config.tensor_batch
        self._features = [field.name for field in config.columns]
        self._carried = [*config.opaque_columns, *config.return_columns]
        self._fills = plan.fills

    def process(self, data: bytes) -> Iterator[Batch]:
        """Yields one Batch."""
        columns, nulls = tensor_batch.decode(data)
        features, carried = columns.select(self._features), columns.select(self._carried)
        errors: dict[int, RowError] = {}
        for name, rows in nulls.items():
            if name in self._fills:
                features = features.with_column(name, filled(features[name], rows, self._fills[name]))
            else:
                errors.update(dict.fromkeys(rows.tolist(), RowError("ValueError", null(name))))
        for name in filter(self._fills.__contains__, self._carried):
            is_null = np.zeros(columns.row_count, np.bool_)
            is_null[nulls.get(name, [])] = True
            carried = carried.with_column(_NULLS_OF + name, Dense(is_null))
        yield Batch(carried, features).without(errors, "decode")


class EncodeTensorBatch(beam.DoFn):  # type: ignore[misc]
    """Writes a Batch's predictions, and its failures, as TensorBatches."""

    def __init__(self, plan: Plan):
        self._errors = plan.config.error_handling.output
        self._budget = ErrorBudget(plan.config.error_handling)
        self._plan = plan

    def start_bundle(self) -> None:
        """Begins with no errors."""
        self._budget.start()

    def process(self, batch: Batch) -> Iterator[bytes | beam.pvalue.TaggedOutput]:
        """Yields TensorBatches for the rows, if there are any, and one for each stage in which rows failed."""
        self._budget.count(batch)
        columns = batch.carried.with_columns(batch.predictions)
        of_all = self._plan.same_in_all_rows(batch.route, batch.model_version)
        rows = max(1, MAX_RESULT_BYTES * len(batch) // max(1, columns.nbytes))
        for start in range(0, len(batch), rows):
            part = columns.slice(start, start + rows)
            yield _encoded(part.with_columns(_constants(of_all, part.row_count)))
        for failures in batch.failures:
            yield beam.pvalue.TaggedOutput(self._errors, _encoded(self._error_columns(failures, batch.model_version)))

    def _error_columns(self, failures: Failures, version: str) -> Columns:
        count = len(failures.errors)
        return failures.carried.with_columns(
            {
                "stage": Blobs.constant(failures.stage, count),
                "error_type": Blobs.of("STRING", [error.error_type for error in failures.errors], count),
                "message": Blobs.of("STRING", [error.message for error in failures.errors], count),
                **_constants(self._plan.model_columns(failures.route, version), count),
            }
        )


def _constants(texts: Mapping[str, str], count: int) -> dict[str, Column]:
    return {name: Blobs.constant(text, count) for name, text in texts.items()}


def _encoded(columns: Columns) -> bytes:
    """Writes a TensorBatch in which columns that came with nulls have them again."""
    kept = {name: column for name, column in columns.items() if not name.startswith(_NULLS_OF)}
    nulls = {
        name.removeprefix(_NULLS_OF): np.flatnonzero(column.values)
        for name, column in columns.items()
        if name not in kept and isinstance(column, Dense) and column.values.any()
    }
    return tensor_batch.encode(Columns(kept, columns.row_count), nulls)
