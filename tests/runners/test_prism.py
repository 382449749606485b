# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Java sample, and a stream of few rows, on Prism: Beam's local runner for batch and streaming."""

import time
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.periodicsequence import PeriodicImpulse

from expansion import RunInference

pytestmark = pytest.mark.runner


class Number(NamedTuple):
    x: float


beam.coders.registry.register_coder(Number, beam.coders.RowCoder)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_java_sample_predicts_what_the_embedded_runner_does_row_by_row(
    prism, start_digits, embedded, rows_of, demo, tmp_path, streaming
):
    options = [f"--modelUri={demo}/digits.onnx", f"--input={demo}/digits_test.csv", f"--output={tmp_path}"]
    sample = start_digits(prism, *options, f"--streaming={str(streaming).lower()}")
    _, alarm = sample.communicate()
    assert sample.returncode == 0, alarm[-4000:]
    predictions = rows_of(tmp_path / "predictions.csv")
    assert len(predictions) == 898
    assert predictions == embedded
    assert rows_of(tmp_path / "errors.csv") == []


def test_rows_of_a_slow_stream_wait_for_each_other_and_not_for_the_end_of_the_stream(prism, tmp_path, models):
    """Ten rows a second for four seconds: batches of a thousand would never be full; none waits longer than 0.5 s."""
    options = ["--runner=PortableRunner", f"--job_endpoint={prism}", "--environment_type=LOOPBACK", "--streaming"]
    batching = {"max_batch_size": 1000, "max_batch_duration_secs": 0.5}
    config = {"model": {"onnx": {"uri": str(models / "identity_scalar.onnx")}}, "batching": batching}
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    start = time.time()
    impulses = PeriodicImpulse(start_timestamp=start, stop_timestamp=start + 4, fire_interval=0.1, data=None)
    results = (
        pipeline
        | impulses
        | beam.Map(lambda timestamp: Number(x=float(timestamp) - start)).with_output_types(Number)
        | RunInference(config)
    )
    _ = (
        results["output"]
        | beam.Map(lambda row: row.y)
        | beam.WindowInto(beam.window.FixedWindows(1))
        | beam.CombineGlobally(beam.combiners.CountCombineFn()).without_defaults()
        | beam.Map(lambda count: Path(tmp_path, f"{time.time_ns()}").write_text(str(count)))
    )
    result = pipeline.run()
    result.wait_until_finish()
    counts = [int(path.read_text()) for path in sorted(tmp_path.iterdir())]
    assert 40 <= sum(counts) <= 41
    assert len(counts) >= 4  # a window a second: the watermark went on while rows came
    metrics = {m.key.metric.name: m.result for m in result.metrics().query()["counters"]}
    assert 3 <= metrics["num_batches"] <= 20


def test_rows_that_wait_when_the_stream_ends_are_run_at_once_and_do_not_keep_the_job_from_ending(prism, models):
    options = ["--runner=PortableRunner", f"--job_endpoint={prism}", "--environment_type=LOOPBACK", "--streaming"]
    batching = {"max_batch_size": 1000, "max_batch_duration_secs": 60}
    config = {"model": {"onnx": {"uri": str(models / "identity_scalar.onnx")}}, "batching": batching}
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    start = time.time()
    impulses = PeriodicImpulse(start_timestamp=start, stop_timestamp=start + 1, fire_interval=0.1, data=None)
    _ = (
        pipeline
        | impulses
        | beam.Map(lambda timestamp: Number(x=float(timestamp) - start)).with_output_types(Number)
        | RunInference(config)
    )
    result = pipeline.run()
    result.wait_until_finish()
    assert time.time() - start < 45
    metrics = {m.key.metric.name: m.result for m in result.metrics().query()["counters"]}
    assert 10 <= metrics["num_inferences"] <= 11
