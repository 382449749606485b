# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What an operator allows holds for what data names: pipelines of others through a service with --allow-uri-prefix."""

from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.external import ExternalTransform
from apache_beam.transforms.window import TimestampedValue

from expansion.contract import urns
from expansion.transforms.config import read_config

pytestmark = pytest.mark.runner


class Visit(NamedTuple):
    key: str
    x: float


beam.coders.registry.register_coder(Visit, beam.coders.RowCoder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, adder):
    """A directory with one that is allowed, which has models and a link, and a model outside of that."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "allowed").mkdir()
    for name, number in (("allowed/first", 0), ("allowed/good", 1), ("secret", 9)):
        (folder / f"{name}.onnx").write_bytes(adder(number))
    (folder / "allowed/link.onnx").symlink_to(folder / "secret.onnx")
    return folder


@pytest.fixture(scope="module")
def service(serving, folder):
    """A service and a runner; gives the addresses of both."""
    with serving(f"--allow-uri-prefix={folder}/allowed") as addresses:
        yield addresses


@pytest.fixture
def run(service, tmp_path):
    """Runs visits, and uris where there are some, through the service; returns what came of each key, and counters."""
    expansion, job = service
    options = PipelineOptions(["--runner=PortableRunner", f"--job_endpoint={job}", "--environment_type=LOOPBACK"])

    def run(config, visits, uris=None):
        pipeline = beam.Pipeline(options=options)
        inputs = {"input": pipeline | "Visits" >> beam.Create(visits).with_output_types(Visit)}
        if uris:
            inputs["model_uris"] = pipeline | "Uris" >> beam.Create(uris).with_output_types(str)
        payload = read_config({"error_handling": {"output": "errors"}, **config}).SerializeToString()
        results = inputs if uris else inputs["input"]
        results = results | ExternalTransform(urns.RUN_INFERENCE, payload, expansion)
        found = results["output"] | beam.Map(lambda row: f"{row.key}\t{row.y}\t{row.model_id}")
        wrong = results["errors"] | "w" >> beam.Map(lambda row: f"{row.element.key}\t{row.error_type}\t{row.message}")
        for name, lines in (("found", found), ("wrong", wrong)):
            _ = lines | f"write {name}" >> beam.io.WriteToText(str(tmp_path / name), shard_name_template="")
        result = pipeline.run()
        result.wait_until_finish()
        counters = {metric.key.metric.name: metric.result for metric in result.metrics().query()["counters"]}
        return *((tmp_path / name).read_text().splitlines() for name in ("found", "wrong")), counters

    return run


def test_uris_in_data_that_lead_elsewhere_are_refreshes_that_are_refused(run, folder):
    config = {"model": {"onnx": {"uri": f"{folder}/allowed/first.onnx"}}, "model_uris": {}}
    good = f"{folder}/allowed/good.onnx"
    bad = [
        f"{folder}/secret.onnx",
        f"file://{folder}/secret.onnx",
        f"{folder}/allowed/../secret.onnx",
        f"{folder}/allowed/link.onnx",
        "/proc/self/environ",
        "http://169.254.169.254/latest/meta-data",
        "gs://other/model.onnx",
    ]
    uris = [TimestampedValue(good, 1), *(TimestampedValue(uri, 2 + number) for number, uri in enumerate(bad))]
    found, wrong, counters = run(config, [Visit("a", 1.0), Visit("b", 2.0)], uris)
    assert sorted(found) == [f"a\t2.0\t{good}", f"b\t3.0\t{good}"]
    assert wrong == []
    assert counters["num_failed_model_refreshes"] == len(bad)


def test_rows_whose_key_leads_elsewhere_are_error_rows(run, folder):
    template = f"{folder}/allowed/{{key}}.onnx"
    config = {"model": {"onnx": {"uri": template}}, "per_key": {"column": "key", "signature_key": "first"}}
    keys = ["first", "good", "link", "../secret", "good"]
    found, wrong, _ = run(config, [Visit(key, 1.0) for key in keys])
    assert sorted(line.split("\t")[0] for line in found) == ["first", "good", "good"]
    reasons = {key: (error_type, message) for key, error_type, message in (line.split("\t") for line in wrong)}
    assert {error_type for error_type, _ in reasons.values()} == {"ModelUnavailable"}
    assert "link.onnx" in reasons["link"][1]
    assert "which is in no place that this service allows; expected one below" in reasons["link"][1]
    assert "can't be a part of a uri" in reasons["../secret"][1]


def test_a_pipeline_whose_configuration_leads_elsewhere_is_not_built(run, folder):
    uris = {"a": f"{folder}/allowed/first.onnx", "b": f"{folder}/secret.onnx"}
    config = {"model": {"onnx": {}}, "per_key": {"column": "key", "uris": uris}}
    with pytest.raises(RuntimeError, match=r"per_key\.uris\.b: got .*which is in no place that this service allows"):
        run(config, [Visit("a", 1.0)])
