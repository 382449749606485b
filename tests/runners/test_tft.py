# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform with engine TFT through the service: its workers learn, write, read and apply."""

import json
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.external import ExternalTransform

from expansion.contract import urns
from expansion.transforms.ml_transform_config import read_config

pytestmark = pytest.mark.runner


class Visit(NamedTuple):
    """A row."""

    key: int
    age: float
    city: str


beam.coders.registry.register_coder(Visit, beam.coders.RowCoder)

VISITS = [Visit(n, float(n % 11), ["Paris", "Rome", "Rome", "Oslo"][n % 4]) for n in range(40)]
OPERATIONS = [
    {"scale_to_01": {"columns": ["age"]}},
    {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["index"]}},
]


@pytest.fixture
def run(serving, tmp_path):
    """Runs MLTransform through a service that trusts one directory; returns what came out, in the order of the keys."""
    with serving(f"--trust-artifact-root={tmp_path}/trusted") as (expansion, job):

        def run(**config):
            payload = read_config({"engine": "TFT", **config}).SerializeToString()
            options = ["--runner=PortableRunner", f"--job_endpoint={job}", "--environment_type=LOOPBACK"]
            with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
                rows = pipeline | beam.Create(VISITS).with_output_types(Visit)
                made = rows | ExternalTransform(urns.ML_TRANSFORM, payload, expansion)
                lines = made | beam.Map(lambda row: json.dumps(row._asdict()))
                _ = lines | beam.io.WriteToText(str(tmp_path / "rows"), shard_name_template="")
            return sorted(map(json.loads, (tmp_path / "rows").open()), key=lambda row: row["key"])

        yield run


def test_workers_of_the_service_learn_and_apply_and_a_trusted_directory_is_read(run, tmp_path):
    written = run(operations=OPERATIONS, write_artifact_location=f"{tmp_path}/trusted/a")
    for row, visit in zip(written, VISITS, strict=True):
        expected = {"Rome": 0, "Paris": 1, "Oslo": 2}[visit.city]
        assert row == {"key": visit.key, "age": pytest.approx(visit.age / 10), "city": visit.city, "index": expected}
    assert sorted(path.suffix for path in Path(tmp_path, "trusted/a").iterdir()) == [".json", ".zip"]
    assert run(read_artifact_location=f"{tmp_path}/trusted/a") == written
    with pytest.raises(RuntimeError, match=r"read_artifact_location: got .*--trust-artifact-root"):
        run(read_artifact_location=f"{tmp_path}/trusted/../a")
