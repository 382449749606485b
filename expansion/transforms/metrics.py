# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a job reports of itself, in Beam's own metrics system, and so in the Java ``PipelineResult`` too.

Beam's RunInference reports, under its own names: ``num_inferences`` (rows that reached the model, good and bad),
``inference_request_batch_size`` (rows of a model batch), ``inference_request_batch_byte_size``,
``inference_batch_latency_micro_secs``, ``load_model_latency_milli_secs``, ``model_byte_size`` (growth of the worker's
resident memory while the model was loaded) and ``failed_batches_counter``. Here are those that it lacks, in the same
namespace.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.metrics import Metrics

# The namespace of Beam's RunInference where its handler names none.
NAMESPACE = "RunInference"

STAGES = ("decode", "preprocess", "inference", "postprocess")

rows = Metrics.counter(NAMESPACE, "num_rows")  # that came in, good and bad
batches = Metrics.counter(NAMESPACE, "num_batches")  # that went to the model
batch_wait = Metrics.distribution(NAMESPACE, "batch_wait_milli_secs")  # of a batch for its rows, before the pre hooks
padding = Metrics.distribution(NAMESPACE, "padding_percent")  # of the elements of a padded column
device_memory = Metrics.distribution(NAMESPACE, "device_memory_bytes")  # of GPUs that PyTorch has in use, after a batch
model_refreshes = Metrics.counter(NAMESPACE, "num_model_refreshes")  # new versions that a worker process took into use
failed_model_refreshes = Metrics.counter(NAMESPACE, "num_failed_model_refreshes")  # and those that it refused

_errors = {stage: Metrics.counter(NAMESPACE, f"num_errors_{stage}") for stage in STAGES}
_milliseconds = {stage: Metrics.distribution(NAMESPACE, f"{stage}_milli_secs") for stage in STAGES[1:]}


def count_errors(stage: str, count: int) -> None:
    """Counts rows that failed in a stage."""
    _errors[stage].inc(count)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Notes how long a stage took for a batch: "preprocess", "inference" or "postprocess"."""
    start = time.perf_counter()
    yield
    _milliseconds[stage].update(round(1e3 * (time.perf_counter() - start)))
