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
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.metrics import Metrics

from expansion.contract.urns import METRICS_NAMESPACE

NAMESPACE = METRICS_NAMESPACE

STAGES = ("decode", "preprocess", "inference", "transform", "postprocess")

rows = Metrics.counter(NAMESPACE, "num_rows")  # that came in, good and bad
batches = Metrics.counter(NAMESPACE, "num_batches")  # that went to the model
batch_wait = Metrics.distribution(NAMESPACE, "batch_wait_milli_secs")  # of a batch for its rows, before the pre hooks
padding = Metrics.distribution(NAMESPACE, "padding_percent")  # of the elements of a padded column
# Of GPUs, that PyTorch has allocated in the process in which the model is, after a batch; none where there is no GPU.
device_memory = Metrics.distribution(NAMESPACE, "device_memory_bytes")
model_refreshes = Metrics.counter(NAMESPACE, "num_model_refreshes")  # newer models that a worker process took into use
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


def note_device_memory(count: int) -> None:
    """Notes the bytes that a process has in use on GPUs, if there are any."""
    if count:
        device_memory.update(count)


def count_errors(stage: str, count: int) -> None:
    """Counts rows that failed in a stage."""
    _errors[stage].inc(count)


def count_model(event: str) -> None:
    """Counts a model of several: "loads", "evictions" or "unavailable"."""
    _models[event].inc()


def count_refresh(event: str) -> None:
    """Counts a newer model: "refreshes" if it was taken into use, "failures" if it can't be."""
    {"refreshes": model_refreshes, "failures": failed_model_refreshes}[event].inc()


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Notes how long a stage took for a batch: "preprocess", "inference", "transform" or "postprocess"."""
    start = time.perf_counter()
    yield
    _milliseconds[stage].update(round(1e3 * (time.perf_counter() - start)))
