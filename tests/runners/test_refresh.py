# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A model whose file is replaced ten times while a job runs, in a stream on Prism and in a batch in this process."""

import json
import os
import threading
import time
from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.periodicsequence import PeriodicImpulse

from expansion import RunInference
from expansion.models.file_version import file_version

pytestmark = pytest.mark.runner

INTERVAL_SECS = 0.1
SWAPS = 10


class Number(NamedTuple):
    x: float


beam.coders.registry.register_coder(Number, beam.coders.RowCoder)


class Publisher(threading.Thread):
    """Replaces a model's file, in turn by renaming and by overwriting, once rows have come from the version before.

    After the third version comes a corrupt file, and after the sixth a model with another output.

    Attributes:
        numbers: What each version adds, by its name.
    """

    def __init__(self, path, adder, results):
        super().__init__(daemon=True)
        self._path, self._adder, self._results = path, adder, results
        self.numbers = {}
        self._publish(adder(0), 0)

    def run(self):
        self._wait_for_rows()
        for number in range(1, SWAPS + 1):
            if number == 4:
                self._spoil(self._adder(100)[:60])
            if number == 7:
                self._spoil(self._adder(100, output="z"))
            self._publish(self._adder(number), number)
            self._wait_for_rows()
        self._path.with_suffix(".done").touch()

    def _publish(self, content, number):
        if number % 2 or not self.numbers:
            new = self._path.with_suffix(".new")
            new.write_bytes(content)
            os.replace(new, self._path)
        else:
            self._path.write_bytes(content)
        self.numbers[str(file_version(str(self._path)))] = number

    def _spoil(self, content):
        """Writes what is not to be used, and leaves it there until it must have been noticed."""
        self._path.write_bytes(content)
        time.sleep(6 * INTERVAL_SECS)

    def _wait_for_rows(self):
        newest = list(self.numbers)[-1]
        for _ in range(200):
            if any(row["version"] == newest for row in rows_in(self._results)):
                return
            time.sleep(0.05)


def rows_in(results):
    """Returns the rows that have been written; the last line may not be whole yet."""
    lines = results.read_text().split("\n")[:-1] if results.exists() else []
    return [json.loads(line) for line in lines]


class Write(beam.DoFn):
    """Appends rows to a file as they come."""

    def __init__(self, path):
        self._path = str(path)

    def process(self, row):
        line = json.dumps({"x": row.x, "y": row.y, "id": row.model_id, "version": row.model_version})
        with open(self._path, "a") as file:
            file.write(line + "\n")


def infer_and_write(numbers, path, results):
    model = {"onnx": {"uri": str(path)}, "model_id": "adder", "refresh_interval_secs": INTERVAL_SECS}
    configuration = {"model": model, "batching": {"max_batch_size": 4}, "error_handling": {"output": "errors"}}
    inferred = numbers | RunInference(configuration)
    _ = inferred["output"] | beam.ParDo(Write(results))
    _ = inferred["errors"] | beam.Map(lambda row: pytest.fail(f"an error: {row}"))


def counters(result):
    return {m.key.metric.name: m.result for m in result.metrics().query()["counters"]}


def check(rows, publisher, result):
    """Every row's prediction is that of the version that it names, all versions were used, two files were refused."""
    assert {row["id"] for row in rows} == {"adder"}
    assert {row["version"] for row in rows} == set(publisher.numbers)
    assert all(row["y"] == row["x"] + publisher.numbers[row["version"]] for row in rows)
    found = counters(result)
    assert found["num_model_refreshes"] == SWAPS
    assert found["num_failed_model_refreshes"] == 2


def until_there(path):
    """Yields a number every few milliseconds until there is a file."""
    count = 0
    while not os.path.exists(path):
        yield Number(x=float(count))
        count += 1
        time.sleep(0.005)


def test_ten_versions_in_a_batch(tmp_path, adder):
    """The source is slow: it ends once the last version has been used."""
    path, results = tmp_path / "model.onnx", tmp_path / "results"
    publisher = Publisher(path, adder, results)
    pipeline = beam.Pipeline()
    numbers = (
        pipeline | beam.Create([str(path.with_suffix(".done"))]) | beam.FlatMap(until_there).with_output_types(Number)
    )
    infer_and_write(numbers, path, results)
    publisher.start()
    result = pipeline.run()
    result.wait_until_finish()
    rows = rows_in(results)
    xs = sorted(row["x"] for row in rows)
    assert xs == [float(x) for x in range(len(xs))]  # none is lost, none is there twice
    assert counters(result)["num_rows"] == len(xs)
    check(rows, publisher, result)


def test_ten_versions_in_a_stream_on_prism(prism, tmp_path, adder):
    path, results = tmp_path / "model.onnx", tmp_path / "results"
    publisher = Publisher(path, adder, results)
    options = ["--runner=PortableRunner", f"--job_endpoint={prism}", "--environment_type=LOOPBACK", "--streaming"]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    start, seconds, per_second = time.time(), 12, 20
    impulses = PeriodicImpulse(
        start_timestamp=start, stop_timestamp=start + seconds, fire_interval=1 / per_second, data=None
    )
    numbers = impulses | beam.Map(
        lambda timestamp: Number(x=float(round((float(timestamp) - start) * per_second)))
    ).with_output_types(Number)
    infer_and_write(pipeline | numbers, path, results)
    publisher.start()
    result = pipeline.run()
    result.wait_until_finish()
    publisher.join()
    rows = rows_in(results)
    xs = sorted(row["x"] for row in rows)
    assert xs == [float(x) for x in range(len(xs))]  # none is lost, none is there twice
    assert len(xs) in (seconds * per_second, seconds * per_second + 1)
    check(rows, publisher, result)
