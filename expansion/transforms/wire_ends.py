# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The two ends of RunInference for clients that send TensorBatches: bytes → Batch, Batch → bytes."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam

from expansion.contract.problems import null
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.ends import ErrorBudget
from expansion.transforms.isolation import RowError
from expansion.transforms.plan import MODEL_ID, Plan

# Larger results are split: neither gRPC nor the other side's byte arrays take everything that a model makes of a batch.
MAX_RESULT_BYTES = 16 << 20


class DecodeTensorBatch(beam.DoFn):  # type: ignore[misc]
    """Views a TensorBatch as a Batch. Rows with a null feature fail."""

    def __init__(self, plan: Plan):
        config = plan.config.tensor_batch
        self._features = [field.name for field in config.columns]
        self._carried = [*config.opaque_columns, *config.return_columns]

    def process(self, data: bytes) -> Iterator[Batch]:
        """Yields one Batch."""
        columns, nulls = tensor_batch.decode(data)
        batch = Batch(columns.select(self._carried), columns.select(self._features))
        errors = {row: RowError("ValueError", null(name)) for row, name in nulls.items()}
        yield batch.without(errors, "decode")


class EncodeTensorBatch(beam.DoFn):  # type: ignore[misc]
    """Writes a Batch's predictions, and its failures, as TensorBatches."""

    def __init__(self, plan: Plan):
        self._errors = plan.config.error_handling.output
        self._budget = ErrorBudget(plan.config.error_handling)
        self._model_id = plan.model_id

    def start_bundle(self) -> None:
        """Begins with no errors."""
        self._budget.start()

    def process(self, batch: Batch) -> Iterator[bytes | beam.pvalue.TaggedOutput]:
        """Yields TensorBatches for the rows, if there are any, and one for each stage in which rows failed."""
        self._budget.count(batch)
        columns = batch.carried.with_columns(batch.predictions)
        rows = max(1, MAX_RESULT_BYTES * len(batch) // max(1, columns.nbytes))
        for start in range(0, len(batch), rows):
            part = columns.slice(start, start + rows)
            yield tensor_batch.encode(part.with_column(MODEL_ID, Blobs.constant(self._model_id, part.row_count)))
        for failures in batch.failures:
            yield beam.pvalue.TaggedOutput(self._errors, tensor_batch.encode(self._error_columns(failures)))

    def _error_columns(self, failures: Failures) -> Columns:
        count = len(failures.errors)
        return failures.carried.with_columns(
            {
                "stage": Blobs.constant(failures.stage, count),
                "error_type": Blobs.of("STRING", [error.error_type for error in failures.errors], count),
                "message": Blobs.of("STRING", [error.message for error in failures.errors], count),
                MODEL_ID: Blobs.constant(self._model_id, count),
            }
        )
