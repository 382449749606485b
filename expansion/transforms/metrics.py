# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a job reports of itself, in Beam's own metrics system, and so in the Java ``PipelineResult`` too.

Beam's RunInference reports, under its own names: ``num_inferences`` (rows that reached the model, good and bad),
``inference_request_batch_size`` (rows of a model batch), ``inference_request_batch_byte_size``,
``inference_batch_latency_micro_secs``, ``load_model_latency_milli_secs``, ``model_byte_size`` (growth of the worker's
resident memory while the model was loaded) and ``failed_batches_counter``. Here are those that it lacks, in the same
namespace; those of remote models are in expansion/models/remote_calls.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from apache_beam.metrics import Metrics
from apache_beam.runners.worker import statesampler

from expansion.contract.urns import METRICS_NAMESPACE

NAMESPACE = METRICS_NAMESPACE

_T = TypeVar("_T")

STAGES = ("decode", "preprocess", "inference", "postprocess")

rows = Metrics.counter(NAMESPACE, "num_rows")  # that came in, good and bad
batches = Metrics.counter(NAMESPACE, "num_batches")  # that went to the model
batch_wait = Metrics.distribution(NAMESPACE, "batch_wait_milli_secs")  # of a batch for its rows, before the pre hooks
padding = Metrics.distribution(NAMESPACE, "padding_percent")  # of the elements of a padded column
device_memory = Metrics.distribution(NAMESPACE, "device_memory_bytes")  # of GPUs that PyTorch has in use, after a batch
model_refreshes = Metrics.counter(NAMESPACE, "num_model_refreshes")  # new versions that a worker process took into use
failed_model_refreshes = Metrics.counter(NAMESPACE, "num_failed_model_refreshes")  # and those that it refused

# Of several models (per_key, split): how often one was loaded, let go for another, and found not to load. Keys are in
# rows, never here: a name of a metric for each key would be too many.
_models = {
    "loads": Metrics.counter(NAMESPACE, "num_model_loads"),
    "evictions": Metrics.counter(NAMESPACE, "num_model_evictions"),
    "unavailable": Metrics.counter(NAMESPACE, "num_models_unavailable"),
}

_errors = {stage: Metrics.counter(NAMESPACE, f"num_errors_{stage}") for stage in STAGES}
_milliseconds = {stage: Metrics.distribution(NAMESPACE, f"{stage}_milli_secs") for stage in STAGES[1:]}


def count_errors(stage: str, count: int) -> None:
    """Counts rows that failed in a stage."""
    _errors[stage].inc(count)


def count_model(event: str) -> None:
    """Counts a model of several: "loads", "evictions" or "unavailable"."""
    _models[event].inc()


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Notes how long a stage took for a batch: "preprocess", "inference" or "postprocess"."""
    start = time.perf_counter()
    yield
    _milliseconds[stage].update(round(1e3 * (time.perf_counter() - start)))


def counted_here(function: Callable[..., _T]) -> Callable[..., _T]:
    """Returns the function, for another thread to call: what it counts is counted for this thread's step and bundle.

    Beam knows of its own threads what they work for, and drops what is counted in any other.
    """
    tracker = statesampler.get_current_tracker()
    if tracker is None:
        return function
    here = _Here(tracker.current_state())

    def counted(*arguments: Any) -> _T:
        statesampler.set_current_tracker(here)
        try:
            return function(*arguments)
        finally:
            statesampler.set_current_tracker(None)

    return counted


class _Here:
    """Stands for Beam's StateSampler, which changes with what its own thread does; this one stays where it was made."""

    def __init__(self, state: Any):
        self._state = state

    def current_state(self) -> Any:
        return self._state

    def update_metric(self, name: Any, value: Any) -> None:
        if self._state.metrics_container is not None:
            self._state.metrics_container.get_metric_cell(name).update(value)
