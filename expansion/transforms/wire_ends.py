# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The two ends of a transform for clients that send TensorBatches: bytes → Batch, Batch → bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np

from expansion.contract.problems import null
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Column, Columns, Dense, Indices
from expansion.tensors.nulls import filled, is_null, nulls_of, tells_nulls
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.compressed import decompress
from expansion.transforms.ends import EndsPlan, ErrorBudget
from expansion.transforms.isolation import RowError
from expansion.transforms.made_by import MadeBy
from expansion.transforms.memory import Received

# Larger results are split: neither gRPC nor the other side's byte arrays take everything that a model makes of a batch.
MAX_RESULT_BYTES = 16 << 20


class DecodeTensorBatch(beam.DoFn):  # type: ignore[misc]
    """Views a TensorBatch as a Batch.

    Nulls of features are filled in or noted where the plan says so; other rows with a null in a feature fail.

    Args:
        plan: What to do.
        carries: Whether the batch carries what goes back; without it nothing can be encoded of it.
    """

    def __init__(self, plan: EndsPlan, carries: bool = True):
        self._made_by = MadeBy()
        wire = plan.config.tensor_batch
        self._features = list(plan.features)
        self._opaque = list(wire.opaque_columns) if carries else []
        self._returned = list(wire.return_columns) if carries else []
        self._fills = plan.fills
        self._noted = plan.noted
        self._says = plan.constants

    def process(self, data: bytes) -> Iterator[Batch]:
        """Yields one Batch."""
        columns, nulls = tensor_batch.decode(data)
        features, errors = columns.select(self._features), dict[int, RowError]()
        for name, rows in nulls.items():
            if name in self._fills:
                features = features.with_column(name, filled(features[name], rows, self._fills[name]))
            elif name in self._opaque or (name in features and name not in self._noted):
                errors.update(dict.fromkeys(rows.tolist(), RowError("ValueError", null(name))))

        def told(names: Iterable[str]) -> dict[str, Column]:
            return {nulls_of(name): _told(nulls.get(name), columns.row_count) for name in names}

        carried = columns.select([*self._opaque, *self._returned]).with_columns(told(self._returned))
        batch = Batch(carried, features.with_columns(told(self._noted)), constants=self._says)
        yield batch.without(errors, "decode")


class DecodeTensorBatchAfter(DecodeTensorBatch):
    """DecodeTensorBatch of a compressed one, once there is a side input that a later step needs."""

    def setup(self) -> None:
        """Begins with nothing received."""
        self._received = Received()

    def process(self, data: bytes, awaited: Any) -> Iterator[Batch]:  # type: ignore[override]
        """Yields one Batch."""
        self._received.add(len(data))
        return super().process(decompress(data))


def _told(nulls: Indices | None, count: int) -> Dense:
    """Returns the column that says which rows are null."""
    are_null = np.zeros(count, np.bool_)
    are_null[[] if nulls is None else nulls] = True
    return Dense(are_null)


class EncodeTensorBatch(beam.DoFn):  # type: ignore[misc]
    """Writes what became of a Batch's rows, and its failures, as TensorBatches."""

    def __init__(self, plan: EndsPlan):
        self._errors = plan.config.error_handling.output
        self._budget = ErrorBudget(plan.config.error_handling)
        self._results = list(plan.predictions)
        self._dropped = list(plan.dropped)
        self._arm = plan.arm

    def start_bundle(self) -> None:
        """Begins with no errors."""
        self._budget.start()

    def process(self, batch: Batch) -> Iterator[bytes | beam.pvalue.TaggedOutput]:
        """Yields TensorBatches for the rows, if there are any, and one for each stage in which rows failed."""
        self._budget.count(batch)
        if len(batch):
            yield from self._good_rows(batch)
        for failures in batch.failures:
            yield beam.pvalue.TaggedOutput(self._errors, _encoded(_error_columns(failures)))

    def _good_rows(self, batch: Batch) -> Iterator[bytes]:
        results = batch.predictions.select(self._results)
        # A column that is sent back may be replaced, and the result is not null where the column was.
        replaced = {*map(nulls_of, self._results), *self._dropped}
        carried = batch.carried.select([name for name in batch.carried if name not in replaced])
        columns = carried.with_columns(results)
        of_all = batch.said_of_all(self._arm)
        rows = max(1, MAX_RESULT_BYTES * len(batch) // max(1, columns.nbytes))
        for start in range(0, len(batch), rows):
            part = columns.slice(start, start + rows)
            yield _encoded(part.with_columns(_constants(of_all, part.row_count)))


def _error_columns(failures: Failures) -> Columns:
    count = len(failures.errors)
    return failures.carried.with_columns(
        {
            "stage": Blobs.constant(failures.stage, count),
            "error_type": Blobs.of("STRING", [error.error_type for error in failures.errors], count),
            "message": Blobs.of("STRING", [error.message for error in failures.errors], count),
            **_constants(failures.constants, count),
        }
    )


def _constants(texts: Mapping[str, str], count: int) -> dict[str, Column]:
    return {name: Blobs.constant(text, count) for name, text in texts.items()}


def _encoded(columns: Columns) -> bytes:
    """Writes a TensorBatch in which columns that came with nulls have them again."""
    kept = columns.select([name for name in columns if not tells_nulls(name)])
    nulls = {name: rows for name in kept if (rows := np.flatnonzero(is_null(columns, name))).size}
    return tensor_batch.encode(kept, nulls)
