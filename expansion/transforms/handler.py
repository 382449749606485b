# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Our models under Beam's own RunInference: loading, sharing and metrics are Beam's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from expansion import models
from expansion.errors import SystemicError
from expansion.models.signature import Model
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Columns
from expansion.tensors.grouping import uniformly
from expansion.transforms.batch import Batch
from expansion.transforms.plan import Plan


class ColumnarModelHandler(ModelHandler[Batch, Batch, Model]):  # type: ignore[misc]
    """Runs a model over a Batch at a time; a Batch is one element and counts as many examples as it has rows."""

    def __init__(self, plan: Plan):
        super().__init__()
        self._plan = plan

    def __repr__(self) -> str:
        # Beam writes it into the pipeline: it must be the same for the same configuration.
        return f"{type(self).__name__}({self._plan.model_id})"

    def load_model(self) -> Model:
        """Loads the model, on the worker.

        Raises:
            SystemicError: It can't be loaded.
        """
        module = models.module_of(self._plan.config.model)
        return module.build(models.framework(self._plan.config.model)[1])

    def run_inference(
        self, batch: Batch, model: Model, inference_args: Mapping[str, Any] | None = None
    ) -> Sequence[Batch]:
        """Returns the batch with predictions in place of features; rows that fail are among its failures."""
        return [batch.inferred(lambda features: self._infer(model, features))]

    def get_num_bytes(self, batch: Batch) -> int:
        """Returns the bytes of the features."""
        return batch.features.nbytes

    def should_skip_batching(self) -> bool:
        """True: elements are batches already."""
        return True

    def _infer(self, model: Model, features: Columns) -> Columns:
        columns = [name for model_input in self._plan.inputs for name in model_input.columns]
        return uniformly(lambda uniform: self._run(model, uniform), features, columns)

    def _run(self, model: Model, features: Columns) -> Columns:
        inputs = {model_input.field.name: features.select(model_input.columns) for model_input in self._plan.inputs}
        results = model.run(inputs, list(self._plan.outputs))
        predictions = {field.name: results[source] for source, field in self._plan.outputs.items()}
        for field in self._plan.outputs.values():
            column = predictions[field.name]
            if column.datatype != field.datatype or not fits(column.shape, field.shape):
                got = f"{column.datatype}{list(column.shape)}"
                raise SystemicError(
                    f"model {self._plan.model_id}: output {field.name!r} is {got}, not {field} as declared"
                )
        return Columns(predictions, features.row_count)
