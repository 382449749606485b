# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Rows of a Beam schema through RunInference, on Beam's embedded runner."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import window
from apache_beam.utils.timestamp import Timestamp

from expansion import RunInference
from expansion.errors import ConfigError

pytestmark = pytest.mark.runner


class Flower(NamedTuple):
    """A row with features, and with a field that is none."""

    key: int
    a: float
    b: float
    c: float
    d: float
    note: str


class Vector(NamedTuple):
    """A row with an array of any length."""

    key: int
    x: Sequence[float]


class Sparse(NamedTuple):
    """A row in which anything but the key may be null."""

    key: int
    x: Optional[Sequence[float]]  # noqa: UP045 - Beam does not read the other spelling
    note: Optional[str]  # noqa: UP045


for row_type in (Flower, Vector, Sparse):
    beam.coders.registry.register_coder(row_type, beam.coders.RowCoder)


def iris_config(path, **more):
    return {
        "model": {"sklearn": {"uri": path, "methods": ["predict", "predict_proba"]}, "model_id": "iris"},
        "inputs": [{"name": "X", "columns": ["a", "b", "c", "d"]}],
        "error_handling": {"output": "errors"},
        **more,
    }


def double_config(path, **more):
    return {"model": {"onnx": {"uri": path}, "model_id": "double"}, "error_handling": {"output": "errors"}, **more}


def flowers(rows):
    return [Flower(key, *map(float, row), f"n{key}") for key, row in enumerate(rows)]


def test_output_rows_keep_the_inputs_columns_and_add_predictions_and_model_id(iris_skops, iris_rows):
    import skops.io

    model = skops.io.load(iris_skops)
    expected = [(key, f"n{key}", int(label), "iris") for key, label in enumerate(model.predict(iris_rows))]
    probabilities = model.predict_proba(iris_rows)

    def check(rows):
        for row in rows:
            np.testing.assert_allclose(row.predict_proba, probabilities[row.key], atol=1e-12)

    with beam.Pipeline() as pipeline:
        rows = pipeline | beam.Create(flowers(iris_rows)).with_output_types(Flower)
        output = (rows | RunInference(iris_config(iris_skops)))["output"]
        assert_that(output, check, "probabilities")
        assert_that(output | beam.Map(lambda r: (r.key, r.note, r.predict, r.model_id)), equal_to(expected))


def test_a_row_that_makes_the_model_raise_is_an_error_row_and_the_others_are_not_lost(iris_skops, iris_rows):
    rows = iris_rows.copy()
    rows[[3, 77], 1] = np.nan

    def describe(row):
        return row.element.key, row.stage, row.error_type, row.model_id

    with beam.Pipeline() as pipeline:
        results = (
            pipeline | beam.Create(flowers(rows)).with_output_types(Flower) | RunInference(iris_config(iris_skops))
        )
        assert_that(results["output"] | beam.Map(lambda row: row.key), equal_to(sorted({*range(150)} - {3, 77})))
        expected = [(key, "inference", "ValueError", "iris") for key in (3, 77)]
        assert_that(results["errors"] | "d" >> beam.Map(describe), equal_to(expected), "errors")


def test_without_error_handling_a_bad_row_fails_the_job_and_says_how_to_go_on(iris_skops):
    config = iris_config(iris_skops)
    del config["error_handling"]
    pipeline = beam.Pipeline()
    rows = pipeline | beam.Create(flowers([[1, 2, 3, float("nan")]])).with_output_types(Flower)
    results = rows | RunInference(config)
    assert list(results) == ["output"]
    with pytest.raises(Exception, match=r"set error_handling\.output"):
        pipeline.run()


def test_rows_of_unequal_length_are_each_run_in_their_own_shape(double_onnx):
    vectors = [Vector(key, [float(key)] * (key % 4 + 1)) for key in range(20)]
    with beam.Pipeline() as pipeline:
        results = pipeline | beam.Create(vectors).with_output_types(Vector) | RunInference(double_config(double_onnx))
        expected = [(vector.key, [2 * value for value in vector.x]) for vector in vectors]
        assert_that(results["output"] | beam.Map(lambda row: (row.key, list(row.y))), equal_to(expected))


def test_a_null_in_a_feature_is_an_error_row_and_a_null_elsewhere_is_data(double_onnx):
    rows = [Sparse(0, [1.0], None), Sparse(1, None, "n")]
    with beam.Pipeline() as pipeline:
        results = pipeline | beam.Create(rows).with_output_types(Sparse) | RunInference(double_config(double_onnx))
        assert_that(results["output"] | beam.Map(lambda row: (row.key, row.note)), equal_to([(0, None)]))
        errors = results["errors"] | "d" >> beam.Map(lambda row: (row.element.key, row.stage, row.message))
        assert_that(errors, equal_to([(1, "decode", "column 'x' is null; a feature needs a value")]), "errors")


def test_an_element_above_max_element_bytes_is_an_error_row(double_onnx):
    vectors = [Vector(0, [1.0] * 4), Vector(1, [1.0] * 5)]
    config = double_config(double_onnx, batching={"max_element_bytes": 32})
    with beam.Pipeline() as pipeline:
        results = pipeline | beam.Create(vectors).with_output_types(Vector) | RunInference(config)
        assert_that(results["output"] | beam.Map(lambda row: row.key), equal_to([0]))
        assert_that(results["errors"] | "d" >> beam.Map(lambda row: row.element.key), equal_to([1]), "errors")


def test_an_empty_pcollection_gives_empty_outputs(double_onnx):
    with beam.Pipeline() as pipeline:
        results = pipeline | beam.Create([]).with_output_types(Vector) | RunInference(double_config(double_onnx))
        assert_that(results["output"], equal_to([]))
        assert_that(results["errors"], equal_to([]), "errors")


@pytest.mark.parametrize(
    "windowing",
    [window.FixedWindows(10), window.SlidingWindows(10, 5), window.Sessions(3)],
    ids=["fixed", "sliding", "sessions"],
)
def test_windows_and_timestamps_come_back_as_they_were(double_onnx, windowing):
    class Placed(beam.DoFn):
        def process(self, row, timestamp=beam.DoFn.TimestampParam, place=beam.DoFn.WindowParam):
            yield row.key, timestamp, place

    expected = [
        (key, Timestamp(key * 2), place)
        for key in range(12)
        for place in windowing.assign(window.WindowFn.AssignContext(Timestamp(key * 2)))
    ]
    with beam.Pipeline() as pipeline:
        rows = (
            pipeline
            | beam.Create([Vector(key, [float(key)]) for key in range(12)]).with_output_types(Vector)
            | beam.Map(lambda row: window.TimestampedValue(row, row.key * 2)).with_output_types(Vector)
            | beam.WindowInto(windowing)
        )
        # Small batches, so that some are full in the middle of a bundle and others end with it.
        output = (rows | RunInference(double_config(double_onnx, batching={"max_batch_size": 5})))["output"]
        placed = output | beam.ParDo(Placed()) | "Global" >> beam.WindowInto(window.GlobalWindows())
        assert_that(placed, equal_to(expected))


def test_sliding_windows_cost_one_inference_for_each_element(double_onnx):
    vectors = [Vector(key, [float(key)]) for key in range(12)]
    with beam.Pipeline() as pipeline:
        rows = (
            pipeline
            | beam.Create(vectors).with_output_types(Vector)
            | beam.Map(lambda row: window.TimestampedValue(row, row.key)).with_output_types(Vector)
            | beam.WindowInto(window.SlidingWindows(10, 1))
        )
        _ = rows | RunInference(double_config(double_onnx))
    counters = pipeline.result.metrics().query(beam.metrics.MetricsFilter().with_name("num_inferences"))["counters"]
    assert sum(counter.committed for counter in counters) == 12


@pytest.mark.parametrize(
    ("batching", "sizes"),
    [({"max_batch_size": 4}, [2, 4, 4]), ({}, [10])],
)
def test_batches_are_as_large_as_the_configuration_allows(double_onnx, batching, sizes):
    vectors = [Vector(key, [float(key)]) for key in range(10)]
    with beam.Pipeline() as pipeline:
        rows = pipeline | beam.Create(vectors, reshuffle=False).with_output_types(Vector)
        _ = rows | RunInference(double_config(double_onnx, batching=batching))
    metrics = pipeline.result.metrics().query(beam.metrics.MetricsFilter().with_name("inference_request_batch_size"))
    [distribution] = metrics["distributions"]
    assert distribution.committed.sum == 10
    assert distribution.committed.max == max(sizes)
    assert distribution.committed.count == len(sizes)


def test_a_hundred_thousand_rows_of_which_one_in_a_hundred_is_bad_are_all_accounted_for(iris_skops, iris_rows):
    count = 100_000
    features = np.tile(iris_rows, (count // len(iris_rows) + 1, 1))[:count]
    features[::100, 2] = np.nan
    rows = flowers(features)
    with beam.Pipeline() as pipeline:
        results = pipeline | beam.Create(rows).with_output_types(Flower) | RunInference(iris_config(iris_skops))
        assert_that(results["output"] | beam.combiners.Count.Globally(), equal_to([count - count // 100]))
        bad = results["errors"] | "keys" >> beam.Map(lambda row: row.element.key)
        assert_that(bad, equal_to(list(range(0, count, 100))), "errors")


def test_a_column_that_the_input_lacks_is_refused_before_the_pipeline_runs(iris_skops):
    config = iris_config(iris_skops, inputs=[{"name": "X", "columns": ["a", "b", "c", "dd"]}])
    pipeline = beam.Pipeline()
    with pytest.raises(ConfigError) as error:
        _ = pipeline | beam.Create([]).with_output_types(Flower) | RunInference(config)
    assert "inputs[0].columns" in str(error.value)
    assert "'dd'" in str(error.value)


def test_a_null_that_impute_fills_in_is_still_a_null_in_the_output_row(models):
    config = double_config(str(models / "identity_string.onnx"))
    hooks = [{"impute": {"columns": ["note"], "text": "unknown"}}]
    inputs = [{"name": "x", "columns": ["note"]}]
    rows = [Sparse(0, None, "a"), Sparse(1, None, None), Sparse(2, None, "")]
    with beam.Pipeline() as pipeline:
        results = (
            pipeline
            | beam.Create(rows, reshuffle=False).with_output_types(Sparse)
            | RunInference({**config, "pre_hooks": hooks, "inputs": inputs})
        )
        found = results["output"] | beam.Map(lambda row: (row.key, row.note, row.y))
        assert_that(found, equal_to([(0, "a", "a"), (1, None, "unknown"), (2, "", "")]))
