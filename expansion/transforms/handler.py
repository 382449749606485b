# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Our models under Beam's own RunInference: loading, sharing and metrics are Beam's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from expansion import models
from expansion.contract._gen import model_pb2
from expansion.errors import ModelUnavailable, SystemicError, first_line
from expansion.models.counted import counted_here
from expansion.models.device_memory import device_memory_bytes
from expansion.models.ensemble import Ensemble
from expansion.models.expected_interface import ExpectedInterface
from expansion.models.newest import NewestModel
from expansion.models.pool import ModelPool
from expansion.models.refresh import RefreshingModel
from expansion.models.runtime import Runtime, cores, worker_processes
from expansion.models.signature import Model
from expansion.models.time_limit import OutOfTime, TimeLimit
from expansion.models.warm_up import warm_up, zeros
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Column, Columns
from expansion.tensors.grouping import uniformly
from expansion.transforms import metrics, routing
from expansion.transforms.batch import Batch
from expansion.transforms.beam_inference import ModelHandler
from expansion.transforms.isolation import RowError
from expansion.transforms.loading import loading, warn_of_missing_gpu
from expansion.transforms.made_by import MadeBy
from expansion.transforms.memory import WithinMemory
from expansion.transforms.signatures import check_like
from expansion.transforms.step_plan import MODEL_ID, MODEL_VERSION, StepPlan

if TYPE_CHECKING:
    from expansion.models.processes import ProcessModel

# Seconds after which the model of a key or at a uri that does not load is tried again.
RETRY_SECS = 60.0


class NotAsDeclaredError(SystemicError):
    """A model returns something else than it is declared to."""


class ColumnarModelHandler(ModelHandler[Batch, Batch, Model]):  # type: ignore[misc]
    """Runs a model over a Batch at a time; a Batch is one element and counts as many examples as it has rows."""

    def __init__(self, plan: StepPlan):
        self._made_by = MadeBy()
        super().__init__(env_vars=routing.env_vars(plan.config))
        self._plan = plan
        self._memory = WithinMemory()
        self._timeout_secs = plan.config.error_handling.timeout_secs
        self._limit = TimeLimit(self._timeout_secs)

    def __repr__(self) -> str:
        # Beam writes it into the pipeline: it must be the same for the same configuration.
        several = self._plan.config.WhichOneof("routing")
        return f"{type(self).__name__}({several or self._plan.model_id_of('')})"

    def load_model(self) -> Model | ModelPool | NewestModel:
        """Loads the model, on the worker, and warms it up; of several, each when it is needed.

        Raises:
            SystemicError: It can't be loaded.
        """
        config = self._plan.config
        warn_of_missing_gpu(config.resource_hints.accelerator)
        if config.HasField("split"):
            return ModelPool(self._load_for_route, len(config.split.arms), count=metrics.count_model)
        if config.HasField("per_key"):
            size = config.per_key.max_models_per_worker or routing.DEFAULT_MAX_MODELS
            return ModelPool(self._load_for_route, size, RETRY_SECS, metrics.count_model)
        if config.HasField("model_uris"):
            return NewestModel(self._load_for_route, RETRY_SECS, metrics.count_refresh)
        with self._loading(""):
            if config.HasField("ensemble"):
                return Ensemble(list(map(self._load, config.ensemble.models)), config.ensemble.weights)
            return self._load(config.model)

    def _loading(self, route: str) -> AbstractContextManager[None]:
        """Has a model that does not load say which one it was, and where."""
        return loading(f"model {self._plan.model_id_of(route)!r}", self._plan.config.environment)

    def _load_for_route(self, route: str) -> Model:
        if self._plan.signature:
            check_like(self._plan.config, route, self._plan.signature, self._plan.places)
        return self._load(self._plan.model_of(route))

    def _load(self, config: model_pb2.Model) -> Model:
        if config.refresh_interval_secs:
            return RefreshingModel(config, partial(self._load_version, config), self._expected)
        return self._load_version(config)

    def _load_version(self, config: model_pb2.Model) -> Model:
        """Loads a model from its files as they are now."""
        inputs = zeros([model_input.field for model_input in self._plan.inputs], config.warm_up_rows)
        outputs = list(self._plan.outputs)
        copies = _copies(config)
        if copies:
            from expansion.models import processes  # which needs a POSIX system, unlike all else

            warm_up_with = (inputs, outputs) if config.warm_up_rows else None
            return processes.connect(config, copies, warm_up_with, note_device_memory=metrics.note_device_memory)
        refreshes = config.refresh_interval_secs > 0
        runtime = Runtime(config.device, config.threads, max(1, cores() // worker_processes()), refreshes)
        model = models.build(config, runtime)
        if config.warm_up_rows:
            warm_up(model, inputs, outputs)
        return model

    def run_inference(
        self, batch: Batch, model: Model | ModelPool | NewestModel, inference_args: Mapping[str, Any] | None = None
    ) -> Sequence[Batch]:
        """Returns the batch with predictions in place of features; rows that fail are among its failures."""
        metrics.batches.inc()
        with metrics.timed("inference"):
            result = self._inferred(batch, model)
        metrics.note_device_memory(device_memory_bytes())
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

    def _inferred(self, batch: Batch, model: Model | ModelPool | NewestModel) -> Batch:
        if not isinstance(model, (ModelPool, NewestModel)):
            return self._answered(batch, model)
        if len(batch) == 0:
            return batch.without_features()
        if isinstance(model, NewestModel):
            return self._answered_by_newest(batch, model)
        try:
            with self._loading(batch.route):
                chosen = model.get(batch.route)
            return self._answered(batch, chosen)
        except ModelUnavailable as error:
            if self._plan.config.HasField("split"):  # whose arms are few, and all to be used
                raise
            reason = RowError(type(error).__name__, first_line(error))
        except NotAsDeclaredError as error:
            if self._plan.config.HasField("split"):
                raise
            model.exclude(batch.route, first_line(error))
            reason = RowError(ModelUnavailable.__name__, first_line(error))
        return batch.without(dict.fromkeys(range(len(batch)), reason), "inference").without_features()

    def _answered_by_newest(self, batch: Batch, newest: NewestModel) -> Batch:
        uri, model = newest.get(batch.uris)
        try:
            return self._answered(replace(batch, route=uri).with_constants({MODEL_ID: uri}), model)
        except NotAsDeclaredError as error:
            newest.exclude(uri, first_line(error))
            others = tuple(other for other in batch.uris if other != uri)
            if not others:
                raise
        return self._answered_by_newest(replace(batch, uris=others), newest)

    def _answered(self, batch: Batch, model: Model) -> Batch:
        current, version = self._current(model)  # for all parts of the batch
        batch = batch.with_constants({MODEL_VERSION: version} if version else {})
        return batch.applied("inference", lambda features: self._infer(current, features, batch.route))

    def _current(self, model: Model) -> tuple[Model, str]:
        """Returns the model in use, and its version; of one that is not refreshed that is empty."""
        if isinstance(model, Ensemble):
            members = list(map(self._current, model.models))
            versions = ", ".join(version for _, version in members if version)
            return model.with_models([member for member, _ in members]), versions
        if not isinstance(model, RefreshingModel):
            return model, ""
        model.expect(self._expected)  # another step may have loaded it
        refreshes, failures = model.take_counts()
        metrics.model_refreshes.inc(refreshes)
        metrics.failed_model_refreshes.inc(failures)
        return model.current, str(model.current.version)

    def _infer(self, model: Model, features: Columns, route: str) -> Columns:
        columns = [name for model_input in self._plan.inputs for name in model_input.columns]

        def run(part: Columns) -> Columns:
            return uniformly(lambda uniform: self._in_time(model, uniform, route), part, columns)

        # Around the groups of one shape, as a row that does not fit is often the only one of its shape.
        return self._memory.run(run, features)

    def _in_time(self, model: Model, features: Columns, route: str) -> Columns:
        """Runs the model, for as long as it may.

        Raises:
            SystemicError: It takes longer.
        """
        if not self._timeout_secs:
            return self._run(model.run, features, route)
        try:
            if not isinstance(model, Ensemble) and _copies(self._plan.model_of(route)):  # where a call can be given up
                run = cast("ProcessModel", model).run
                return self._run(partial(run, timeout_secs=self._timeout_secs), features, route)
            return self._limit.run(counted_here(lambda: self._run(model.run, features, route)))
        except OutOfTime as error:
            raise SystemicError(
                f"model {self._plan.model_id_of(route)} took longer than {self._timeout_secs:g} s for "
                f"{features.row_count} rows; allow more with error_handling.timeout_secs, or make "
                "batching.max_batch_size smaller"
            ) from error

    def _run(self, model_run: Callable[..., dict[str, Column]], features: Columns, route: str) -> Columns:
        inputs = {model_input.field.name: features.select(model_input.columns) for model_input in self._plan.inputs}
        results = model_run(inputs, list(self._plan.outputs))
        predictions = {field.name: results[source] for source, field in self._plan.outputs.items()}
        for field in self._plan.outputs.values():
            column = predictions[field.name]
            if column.datatype != field.datatype or not fits(column.shape, field.shape):
                got = f"{column.datatype}{list(column.shape)}"
                model_id = self._plan.model_id_of(route)
                raise NotAsDeclaredError(f"model {model_id}: output {field.name!r} is {got}, not {field} as declared")
        return Columns(predictions, features.row_count)


def _copies(model: model_pb2.Model) -> int:
    """Returns the number of processes that the model runs in; 0 for the worker's own."""
    return model.model_copies or int(model.large_model)
