# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Our models under Beam's own RunInference: loading, sharing and metrics are Beam's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from apache_beam.ml.inference.base import ModelHandler

from expansion import models
from expansion.errors import SystemicError
from expansion.models.expected_interface import ExpectedInterface
from expansion.models.refresh import RefreshingModel
from expansion.models.runtime import Runtime, cores, worker_processes
from expansion.models.signature import Model
from expansion.models.time_limit import OutOfTime, TimeLimit
from expansion.models.warm_up import warm_up, zeros
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Column, Columns
from expansion.tensors.grouping import uniformly
from expansion.transforms import metrics
from expansion.transforms.batch import Batch
from expansion.transforms.memory import WithinMemory
from expansion.transforms.plan import Plan

if TYPE_CHECKING:
    from expansion.models.processes import ProcessModel


class ColumnarModelHandler(ModelHandler[Batch, Batch, Model]):  # type: ignore[misc]
    """Runs a model over a Batch at a time; a Batch is one element and counts as many examples as it has rows."""

    def __init__(self, plan: Plan):
        super().__init__(env_vars=dict(sorted(plan.config.model.env_vars.items())))
        self._plan = plan
        self._copies = plan.config.model.model_copies or int(plan.config.model.large_model)
        self._memory = WithinMemory()
        self._timeout_secs = plan.config.error_handling.timeout_secs
        self._limit = TimeLimit(self._timeout_secs)

    def __repr__(self) -> str:
        # Beam writes it into the pipeline: it must be the same for the same configuration.
        return f"{type(self).__name__}({self._plan.model_id})"

    def load_model(self) -> Model:
        """Loads the model, on the worker, and warms it up.

        Raises:
            SystemicError: It can't be loaded.
        """
        config = self._plan.config.model
        if not config.refresh_interval_secs:
            return self._build()
        return RefreshingModel(config, self._build, self._expected)

    def run_inference(
        self, batch: Batch, model: Model, inference_args: Mapping[str, Any] | None = None
    ) -> Sequence[Batch]:
        """Returns the batch with predictions in place of features; rows that fail are among its failures."""
        metrics.batches.inc()
        if isinstance(model, RefreshingModel):
            model.expect(self._expected)  # another step may have loaded it
            refreshes, failures = model.take_counts()
            metrics.model_refreshes.inc(refreshes)
            metrics.failed_model_refreshes.inc(failures)
            model = model.current  # for all parts of the batch
            batch = replace(batch, model_version=str(model.version))
        with metrics.timed("inference"):
            result = batch.applied("inference", lambda features: self._infer(model, features))
        _note_device_memory()
        return [result]

    def get_num_bytes(self, batch: Batch) -> int:
        """Returns the bytes of the features."""
        return batch.features.nbytes

    def get_metrics_namespace(self) -> str:
        """Returns the namespace that our own metrics have too."""
        return metrics.NAMESPACE

    def should_skip_batching(self) -> bool:
        """True: elements are batches already."""
        return True

    @cached_property
    def _expected(self) -> ExpectedInterface:
        inputs = [model_input.field for model_input in self._plan.inputs]
        declared = frozenset(output.source for output in self._plan.config.outputs if output.datatype)
        return ExpectedInterface(inputs, self._plan.outputs, declared)

    def _build(self) -> Model:
        config = self._plan.config.model
        inputs = zeros([model_input.field for model_input in self._plan.inputs], config.warm_up_rows)
        outputs = list(self._plan.outputs)
        if self._copies:
            from expansion.models import processes  # which needs a POSIX system, unlike all else

            return processes.connect(config, self._copies, (inputs, outputs) if config.warm_up_rows else None)
        refreshes = config.refresh_interval_secs > 0
        runtime = Runtime(config.device, config.threads, max(1, cores() // worker_processes()), refreshes)
        model = models.module_of(config).build(models.framework(config)[1], runtime)
        if config.warm_up_rows:
            warm_up(model, inputs, outputs)
        return model

    def _infer(self, model: Model, features: Columns) -> Columns:
        columns = [name for model_input in self._plan.inputs for name in model_input.columns]

        def run(part: Columns) -> Columns:
            return uniformly(lambda uniform: self._in_time(model, uniform), part, columns)

        # Around the groups of one shape, as a row that does not fit is often the only one of its shape.
        return self._memory.run(run, features)

    def _in_time(self, model: Model, features: Columns) -> Columns:
        """Runs the model, for as long as it may.

        Raises:
            SystemicError: It takes longer.
        """
        if not self._timeout_secs:
            return self._run(model.run, features)
        try:
            if self._copies:  # where a call can be given up
                run = cast("ProcessModel", model).run
                return self._run(partial(run, timeout_secs=self._timeout_secs), features)
            return self._limit.run(lambda: self._run(model.run, features))
        except OutOfTime as error:
            raise SystemicError(
                f"model {self._plan.model_id} took longer than {self._timeout_secs:g} s for {features.row_count} rows; "
                "allow more with error_handling.timeout_secs, or make batching.max_batch_size smaller"
            ) from error

    def _run(self, model_run: Callable[..., dict[str, Column]], features: Columns) -> Columns:
        inputs = {model_input.field.name: features.select(model_input.columns) for model_input in self._plan.inputs}
        results = model_run(inputs, list(self._plan.outputs))
        predictions = {field.name: results[source] for source, field in self._plan.outputs.items()}
        for field in self._plan.outputs.values():
            column = predictions[field.name]
            if column.datatype != field.datatype or not fits(column.shape, field.shape):
                got = f"{column.datatype}{list(column.shape)}"
                raise SystemicError(
                    f"model {self._plan.model_id}: output {field.name!r} is {got}, not {field} as declared"
                )
        return Columns(predictions, features.row_count)


def _note_device_memory() -> None:
    """Notes the memory of GPUs that this process has allocated, where a framework that is loaded can say."""
    # Another thread may be about to import it: then it has no such attribute yet.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and getattr(cuda, "is_initialized", bool)():
        metrics.device_memory.update(sum(int(cuda.memory_allocated(gpu)) for gpu in range(cuda.device_count())))
