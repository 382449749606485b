# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batching, errors, time-outs, memory and metrics, on Beam's embedded runner."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from expansion import RunInference

pytestmark = pytest.mark.runner

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
import their_package  # noqa: E402 - where workers find it too


class Number(NamedTuple):
    key: int
    x: float


class Numbers(NamedTuple):
    key: int
    x: Sequence[float]


for row_type in (Number, Numbers):
    beam.coders.registry.register_coder(row_type, beam.coders.RowCoder)


@pytest.fixture(autouse=True)
def calls():
    their_package.CALLS.clear()
    return their_package.CALLS


def config(name, shape=(), **more):
    field = {"datatype": "FP64", "shape": list(shape)}
    model = {
        "model_class": f"their_package.{name}",
        "inputs": [{"name": "x", **field}],
        "outputs": [{"name": "y", **field}],
    }
    return {"model": {"custom": model}, "error_handling": {"output": "errors"}, **more}


def run(rows, configuration, check=None):
    """Runs a pipeline; returns what its metrics say: by name, a counter's value or a distribution."""
    pipeline = beam.Pipeline()
    results = (
        pipeline | beam.Create(rows, reshuffle=False).with_output_types(type(rows[0])) | RunInference(configuration)
    )
    if check:
        check(results)
    result = pipeline.run()
    result.wait_until_finish()
    queried = result.metrics().query()
    found = {metric.key.metric.name: metric.committed for metric in queried["counters"]}
    found.update({metric.key.metric.name: metric.committed for metric in queried["distributions"]})
    return found


def test_model_calls_stay_within_the_bound_when_rows_make_the_model_raise(calls):
    count, batch, every = 100_000, 256, 100
    rows = [Number(key, -1.0 if key % every == 7 else 1.0) for key in range(count)]

    def check(results):
        assert_that(results["output"] | beam.combiners.Count.Globally(), equal_to([count - count // every]))
        bad = results["errors"] | beam.Map(lambda row: (row.element.key, row.stage, row.error_type, row.message))
        expected = [(key, "inference", "RuntimeError", "negative") for key in range(7, count, every)]
        assert_that(bad, equal_to(expected), "errors")

    run(rows, config("Counted", batching={"max_batch_size": batch}), check)
    batches, bad = math.ceil(count / batch), count // every
    assert len(calls) <= batches + 2 * bad * (math.log2(batch / (bad / batches)) + 2)


def test_a_model_that_raises_for_every_row_fails_the_job_after_a_few_calls(calls):
    with pytest.raises(Exception, match="negative"):
        run([Number(key, -1.0) for key in range(1000)], config("Counted"))
    assert len(calls) <= 4 * (math.log2(1000) + 5)  # the runner tries a bundle four times at most


def test_a_model_that_does_not_load_fails_the_job_with_the_reason_and_is_tried_three_times_at_most(calls):
    with pytest.raises(Exception, match=r"their_package.Unloadable did not load: OSError: the weights are gone"):
        run([Number(key, 1.0) for key in range(1000)], config("Unloadable"))
    assert 1 <= len(calls) <= 3


def test_too_many_errors_fail_the_job_and_say_how_many():
    handling = {"output": "errors", "max_error_rate": 0.1, "min_rows": 10}
    rows = [Number(key, -1.0 if key % 4 == 1 else 1.0) for key in range(100)]
    with pytest.raises(Exception, match=r"25 of 100 rows of a bundle failed; error_handling.max_error_rate is 0.1"):
        run(rows, config("Counted", error_handling=handling))


def test_fewer_rows_than_min_rows_never_fail_the_job():
    handling = {"output": "errors", "max_error_rate": 0.1}
    rows = [Number(key, -1.0 if key == 1 else 1.0) for key in range(5)]
    metrics = run(rows, config("Counted", error_handling=handling))
    assert metrics["num_errors_inference"] == 1


def test_a_call_that_takes_too_long_fails_with_what_to_do():
    handling = {"output": "errors", "timeout_secs": 0.2}
    with pytest.raises(Exception, match=r"took longer than 0.2 s for 2 rows; allow more with error_handling.timeout"):
        run([Number(0, 1.0), Number(1, 1.0)], config("Sleeps", error_handling=handling))


def test_a_batch_that_does_not_fit_in_memory_is_halved_and_loses_nothing(calls):
    rows = [Number(key, float(key)) for key in range(16)]

    def check(results):
        values = results["output"] | beam.Map(lambda row: (row.key, row.y))
        assert_that(values, equal_to([(key, 2.0 * key) for key in range(16)]))

    run(rows, config("NeedsMemory"), check)
    assert calls == [16, 8, 4, 4, 4, 4]


def test_a_batch_weighs_no_more_than_the_configuration_allows(calls):
    rows = [Number(key, float(key % 4)) for key in range(40)]
    run(rows, config("Counted", batching={"max_batch_weight": 6, "weight_column": "x"}))
    assert sum(calls) == 40
    assert max(calls) == 5  # weights 0 + 1 + 2 + 3 + 0


def test_rows_of_unequal_length_meet_only_rows_of_their_bucket(calls):
    rows = [Numbers(key, [1.0] * (key % 8 + 1)) for key in range(80)]
    batching = {"length_column": "x", "length_boundaries": [4, 6], "min_batch_size": 1000}
    hooks = [{"pad": {"columns": ["x"], "longest": True}}]

    def check(results):
        sizes = results["output"] | beam.Map(lambda row: (len(row.x), len(row.y)))
        padded = {1: 3, 2: 3, 3: 3, 4: 5, 5: 5, 6: 8, 7: 8, 8: 8}
        assert_that(sizes | beam.Distinct(), equal_to(list(padded.items())))

    metrics = run(rows, config("Counted", (-1,), batching=batching, pre_hooks=hooks), check)
    assert sorted(calls) == [20, 30, 30]
    assert metrics["padding_percent"].count == 3


def test_rows_wait_across_bundles_until_a_batch_is_full_or_the_input_ends(calls):
    rows = [Number(key, float(key)) for key in range(10)]
    batching = {"max_batch_size": 4, "max_batch_duration_secs": 600}

    def check(results):
        values = results["output"] | beam.Map(lambda row: (row.key, row.y))
        assert_that(values, equal_to([(key, 2.0 * key) for key in range(10)]))

    run(rows, config("Counted", batching=batching), check)
    assert max(calls) == 4
    assert sum(calls) == 10


def test_metrics_say_what_happened(calls):
    rows = [Number(key, -1.0 if key == 3 else 1.0) for key in range(10)]
    hooks = [{"scale": {"columns": ["x"], "affine": {"factor": 2}}}]
    configuration = config("Counted", batching={"max_batch_size": 5}, pre_hooks=hooks)
    configuration["model"]["warm_up_rows"] = 3
    metrics = run(rows, {**configuration, "post_hooks": [{"scale": {"columns": ["y"], "affine": {}}}]})
    assert calls[0] == 3  # the warm-up, which is counted nowhere
    assert metrics["num_rows"] == 10
    assert metrics["num_batches"] == 2
    assert metrics["num_errors_inference"] == 1
    assert metrics["num_inferences"] == 10
    assert (metrics["inference_request_batch_size"].count, metrics["inference_request_batch_size"].max) == (2, 5)
    assert metrics["inference_request_batch_byte_size"].sum == 10 * 8
    for name in ("batch_wait_milli_secs", "preprocess_milli_secs", "inference_milli_secs", "postprocess_milli_secs"):
        assert metrics[name].count == 2
    assert metrics["load_model_latency_milli_secs"].count == 1
    assert "model_byte_size" in metrics


def test_a_large_model_gives_the_same_predictions_from_a_process_of_its_own(double_onnx):
    rows = [Numbers(key, [float(key)]) for key in range(20)]

    def check(results):
        assert_that(
            results["output"] | beam.Map(lambda row: (row.key, row.y)), equal_to([(k, [2.0 * k]) for k in range(20)])
        )

    model = {"onnx": {"uri": double_onnx}, "large_model": True, "warm_up_rows": 2}
    metrics = run(rows, {"model": model, "error_handling": {"output": "errors"}}, check)
    assert metrics["num_inferences"] == 20
