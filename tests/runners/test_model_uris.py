# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models that steps of the same pipeline make, on Beam's embedded runner and on Prism."""

import time
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.external import ExternalTransform
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue

from expansion import RunInference
from expansion.contract import urns
from expansion.transforms.config import read_config

pytestmark = pytest.mark.runner


class Number(NamedTuple):
    x: float


class Example(NamedTuple):
    a: float
    b: float
    label: int


for row_type in (Number, Example):
    beam.coders.registry.register_coder(row_type, beam.coders.RowCoder)


@pytest.fixture
def save(tmp_path, adder):
    """Writes a model, x → y = x + number unless told otherwise; returns its uri."""

    def save(name, number=0.0, size=None, **more):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(adder(number, **more)[:size])
        return str(path)

    return save


@pytest.fixture
def config(save):
    return {"model": {"onnx": {"uri": save("configured")}}, "model_uris": {}}


def timed(*uris):
    """A collection of uris with timestamps."""
    return beam.Create([TimestampedValue(uri, second) for uri, second in uris])


def predicted(pipeline, config, uris, numbers=(1.0,)):
    """Returns (prediction, name of the model's file) for each number."""
    rows = pipeline | "Rows" >> beam.Create([Number(float(number)) for number in numbers]).with_output_types(Number)
    results = {"input": rows, "model_uris": pipeline | "Uris" >> uris} | RunInference(config)
    return results["output"] | beam.Map(lambda row: (row.y, Path(row.model_id).stem))


def test_rows_meet_the_model_that_another_step_of_the_pipeline_has_trained(tmp_path):
    """The label is whether a > 2b; the configured model was trained on its opposite."""
    import skops.io
    from sklearn.linear_model import LogisticRegression

    features = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    labels = (features[:, 0] > 2 * features[:, 1]).astype(int)
    skops.io.dump(LogisticRegression().fit(features, 1 - labels), tmp_path / "opposite.skops")

    def train(examples):
        path = tmp_path / f"trained-on-{len(examples)}.skops"
        columns = np.array([(example.a, example.b) for example in examples])
        skops.io.dump(LogisticRegression().fit(columns, [example.label for example in examples]), path)
        return str(path)

    config = {
        "model": {"sklearn": {"uri": str(tmp_path / "opposite.skops")}},
        "inputs": [{"name": "X", "columns": ["a", "b"]}],
        "model_uris": {},
    }
    examples = [Example(float(a), float(b), int(label)) for (a, b), label in zip(features, labels, strict=True)]
    with beam.Pipeline() as pipeline:
        first = pipeline | "Training" >> beam.Create(examples[:300]).with_output_types(Example)
        uris = first | beam.CombineGlobally(beam.combiners.ToListCombineFn()) | beam.Map(train).with_output_types(str)
        rest = pipeline | "Rest" >> beam.Create(examples[300:]).with_output_types(Example)
        results = {"input": rest, "model_uris": uris} | RunInference(config)
        right = results["output"] | beam.Map(lambda row: (int(row.predict == row.label), Path(row.model_id).stem))
        accuracy = right | beam.GroupBy(lambda pair: pair[1]) | beam.MapTuple(lambda name, all: (name, len(list(all))))
        assert_that(accuracy, equal_to([("trained-on-300", 100)]), "all rows, one model")
        wrong = right | beam.Filter(lambda pair: not pair[0]) | beam.combiners.Count.Globally()
        assert_that(wrong, lambda count: count[0] <= 5 or pytest.fail(f"{count} wrong"), "most are right")


@pytest.mark.parametrize(
    "element", [lambda uri: uri, lambda uri: beam.Row(model=uri), lambda uri: (uri,)], ids=["text", "row", "tuple"]
)
@pytest.mark.parametrize("windows", [FixedWindows(10), SlidingWindows(20, 5)], ids=["fixed", "sliding"])
def test_uris_are_texts_or_rows_of_one_text_in_any_windows(config, save, element, windows):
    uris = timed((save("new", 1), 50), (save("old", 2), 5)) | beam.Map(element) | beam.WindowInto(windows)
    with beam.Pipeline() as pipeline:
        assert_that(predicted(pipeline, config, uris), equal_to([(2, "new")]))


def test_rows_may_be_in_windows_of_their_own(config, save):
    with beam.Pipeline() as pipeline:
        rows = pipeline | beam.Create([TimestampedValue(Number(float(second)), second) for second in range(3)])
        windowed = rows | beam.Map(lambda row: row).with_output_types(Number) | beam.WindowInto(FixedWindows(1))
        uris = pipeline | "Uris" >> beam.Create([save("a", 1)])
        results = {"input": windowed, "model_uris": uris} | RunInference(config)
        counts = results["output"] | beam.Map(lambda row: row.y) | beam.CombineGlobally(sum).without_defaults()
        assert_that(counts, equal_to([1, 2, 3]))


def test_rows_wait_for_all_uris_of_a_batch(config, save):
    uris = beam.Create([1, 2, 3]) | beam.Reshuffle() | beam.Map(lambda number: save(f"model{number}", number))
    with beam.Pipeline() as pipeline:
        expected = [(number + 3, "model3") for number in range(100)]
        assert_that(predicted(pipeline, config, uris, range(100)), equal_to(expected))


def counters(result):
    return {metric.key.metric.name: metric.result for metric in result.metrics().query()["counters"]}


def run_past_bad_models(options, config, save):
    """Runs a batch whose two newest models can't be used."""
    bad = [(save("broken", 20, size=60), 7), (save("other", 20, output="z"), 8)]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    found = predicted(pipeline, config, timed((save("old", 1), 1), *bad, (save("good", 2), 6)), range(3))
    assert_that(found, equal_to([(2, "good"), (3, "good"), (4, "good")]))
    result = pipeline.run()
    result.wait_until_finish()
    return counters(result)


def test_models_that_are_broken_or_of_another_signature_leave_the_one_before_them_in_use(config, save):
    assert run_past_bad_models([], config, save)["num_failed_model_refreshes"] == 2


def on_prism(prism, *more):
    return ["--runner=PortableRunner", f"--job_endpoint={prism}", "--environment_type=LOOPBACK", *more]


def test_a_batch_on_prism(prism, config, save):
    assert run_past_bad_models(on_prism(prism), config, save)["num_failed_model_refreshes"] == 2


def numbers_of_a_stream(pipeline, seconds):
    start = time.time()
    impulses = pipeline | PeriodicImpulse(start, start + seconds, fire_interval=0.1, data=None)
    return impulses | beam.Map(lambda timestamp: Number(float(timestamp) - start)).with_output_types(Number)


def test_rows_of_a_stream_on_prism_meet_the_model_of_uris_that_end(prism, config, save, tmp_path):
    pipeline = beam.Pipeline(options=PipelineOptions(on_prism(prism, "--streaming")))
    uris = pipeline | "Uris" >> beam.Create([save("a", 100)])
    results = {"input": numbers_of_a_stream(pipeline, 3), "model_uris": uris} | RunInference(config)

    def write(row):
        with (tmp_path / "found").open("a") as file:
            file.write(f"{Path(row.model_id).stem} {row.y >= 100}\n")

    _ = results["output"] | beam.Map(write)
    pipeline.run().wait_until_finish()
    lines = (tmp_path / "found").read_text().splitlines()
    assert 30 <= len(lines) <= 31
    assert set(lines) == {"a True"}


def test_uris_that_do_not_end_are_refused_by_prism_which_has_no_side_inputs_that_go_on(prism, config, save):
    pipeline = beam.Pipeline(options=PipelineOptions(on_prism(prism, "--streaming")))
    numbers, uri = numbers_of_a_stream(pipeline, 1), save("a", 100)
    uris = numbers | "Uris" >> beam.Map(lambda number: uri)
    _ = {"input": numbers, "model_uris": uris} | RunInference(config)
    with pytest.raises(Exception, match="Unbounded GlobalWindow Triggered SideInput"):
        pipeline.run()


@pytest.mark.parametrize("element", [lambda uri: uri, lambda uri: beam.Row(model=uri)], ids=["texts", "rows"])
def test_another_pipeline_passes_uris_through_the_service(local_beam, config, save, tmp_path, element):
    expansion, job = (option.partition("=")[2] for option in local_beam)
    options = ["--runner=PortableRunner", f"--job_endpoint={job}", "--environment_type=LOOPBACK"]
    payload = read_config(config).SerializeToString()
    uri = save("a", 100)
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        rows = pipeline | "Rows" >> beam.Create([Number(1.0)]).with_output_types(Number)
        uris = pipeline | "Uris" >> beam.Create([uri]) | beam.Map(element)
        result = {"input": rows, "model_uris": uris} | ExternalTransform(urns.RUN_INFERENCE, payload, expansion)
        _ = result | beam.Map(lambda row: (tmp_path / "found").write_text(f"{row.x} {row.y} {row.model_id}"))
    assert (tmp_path / "found").read_text() == f"1.0 101.0 {uri}"


@pytest.mark.parametrize("element", [7, b"m.onnx", ("a.onnx", "b.onnx")])
def test_an_element_that_is_no_uri_fails_the_job_with_a_plain_message(config, element):
    pipeline = beam.Pipeline()
    predicted(pipeline, config, beam.Create([element]))
    with pytest.raises(Exception, match=r"model_uris: got .*; expected a text, or a row of one text"):
        pipeline.run().wait_until_finish()


def test_rows_without_any_uri_fail_the_job_with_a_plain_message(config):
    pipeline = beam.Pipeline()
    predicted(pipeline, config, beam.Create([]))
    with pytest.raises(Exception, match="model_uris: the second input has no uri, and rows came; emit the uri"):
        pipeline.run().wait_until_finish()


def test_a_model_that_can_not_be_used_fails_the_job_with_the_reason_if_there_is_no_other(config, save):
    pipeline = beam.Pipeline()
    predicted(pipeline, config, beam.Create([save("broken", size=60)]))
    with pytest.raises(Exception, match="is no ONNX model, or only a part of one"):
        pipeline.run().wait_until_finish()


def test_uris_without_any_row_are_no_trouble(config, save):
    with beam.Pipeline() as pipeline:
        assert_that(predicted(pipeline, config, beam.Create([save("a")]), numbers=()), equal_to([]))


def test_a_mapping_of_a_single_input_is_that_input(config):
    with beam.Pipeline() as pipeline:
        rows = pipeline | beam.Create([beam.Row(x=1.0)])
        results = {"input": rows} | RunInference({"model": config["model"]})
        assert_that(results["output"] | beam.Map(lambda row: row.y), equal_to([1]))
