# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clients that know nothing of this project but what its service says: Beam's own YAML, Python, Java and Go."""

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import onnxruntime
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.external import SchemaAwareExternalTransform
from apache_beam.transforms.external_transform_provider import ExternalTransformProvider

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
OURS = r"^beamml:schematransform:(?:preset:)?(\w+):v1$"
GO = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
MISFIT = "shape [3] does not fit model input 'pixels', which takes [64]; reshape or pad the column in a pre hook"


class Digit(NamedTuple):
    id: int
    pixels: Sequence[float]


beam.coders.registry.register_coder(Digit, beam.coders.RowCoder)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A directory with the data and the model of the Digits samples; among bad.csv's digits one has three pixels."""
    folder = tmp_path_factory.mktemp("demo")
    runpy.run_path(str(ROOT / "examples/digits/prepare.py"))["main"](folder)
    (folder / "bad.csv").write_text((folder / "digits_test.csv").read_text() + "9999,0,1,2,3\n")
    return folder


@pytest.fixture(scope="module")
def example(demo):
    """Returns a file of the examples as it is for the demo's directory, and as a path."""

    def example(path, **changes):
        text = (ROOT / "examples" / path).read_text().replace("build/demo", str(demo))
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        copy = demo / path.replace("/", "_")
        copy.write_text(text)
        return copy

    return example


@pytest.fixture(scope="module")
def service(serving, example):
    """A service with the examples' preset and a runner; gives the address of each."""
    with serving(f"--config={example('yaml/server.yaml')}") as addresses:
        yield addresses


@pytest.fixture(scope="module")
def expected(demo):
    """What ONNX Runtime itself makes of the digits: predictions by id, as texts."""
    with (demo / "digits_test.csv").open(newline="") as file:
        ids, pixels = zip(*((row[0], row[2:]) for row in list(csv.reader(file))[1:]), strict=True)
    session = onnxruntime.InferenceSession(str(demo / "digits.onnx"))
    (scores,) = session.run(["probabilities"], {"pixels": np.array(pixels, np.float32) / 16})
    return dict(zip(ids, map(str, scores.argmax(axis=1).tolist()), strict=True))


def rows_of(path):
    """Returns the rows of a CSV file, or of its parts."""
    parts = [path] if path.exists() else sorted(path.parent.glob(f"{path.name}-*"))
    assert parts != []
    return [row for part in parts for row in csv.reader(part.read_text().splitlines())]


def run(*command, **options):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def run_yaml(pipeline, job):
    """Runs a pipeline in a process of its own, as Beam YAML imports TensorFlow where it is installed."""
    options = ["--runner=PortableRunner", f"--job_endpoint={job}", "--environment_type=LOOPBACK"]
    command = [sys.executable, "-m", "apache_beam.yaml.main", f"--yaml_pipeline_file={pipeline}", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def results_of(transform, digits, job, tmp_path, column="predicted"):
    """Returns a column of what a transform makes of digits in Python, by id."""
    options = PipelineOptions(runner="PortableRunner", job_endpoint=job, environment_type="LOOPBACK")
    with beam.Pipeline(options=options) as pipeline:
        results = pipeline | beam.Create(digits).with_output_types(Digit) | transform
        lines = results | beam.Map(lambda row: json.dumps([row.id, getattr(row, column)]))
        _ = lines | beam.io.WriteToText(str(tmp_path / "rows"), shard_name_template="")
    return dict(json.loads(line) for line in (tmp_path / "rows").read_text().splitlines())


@pytest.fixture
def digits(demo):
    """The first hundred digits, and what is predicted of them."""
    with (demo / "digits_test.csv").open(newline="") as file:
        return [Digit(int(row[0]), [float(pixel) for pixel in row[2:]]) for row in list(csv.reader(file))[1:101]]


def test_yaml_gets_predictions_and_errors_as_its_users_write_it(service, demo, example, expected):
    expansion, job = service
    run_yaml(example("yaml/digits.yaml", **{"localhost:8097": expansion, "digits_test.csv": "bad.csv"}), job)
    assert {row[0]: row[1] for row in rows_of(demo / "yaml_predictions")} == expected
    assert rows_of(demo / "yaml_errors") == [["9999", "inference", *MISFIT.split(",")]]


def test_yaml_calls_a_preset_of_which_it_knows_the_name_only(service, demo, example, expected):
    expansion, job = service
    changes = {"localhost:8097": expansion, "yaml_predictions": "preset_predictions"}
    run_yaml(example("yaml/preset.yaml", **changes), job)
    assert {row[0]: row[1] for row in rows_of(demo / "preset_predictions")} == expected


def test_pythons_provider_has_a_class_for_each_transform(service, demo, digits, expected, tmp_path):
    expansion, job = service
    provider = ExternalTransformProvider(expansion, urn_pattern=OURS)
    assert {name for name, _ in provider.get_available()} == {"RunInference", "MlTransform", "Digits"}
    assert "Classifies handwritten digits" in provider.Digits.__doc__
    infer = provider.RunInference(
        model={"onnx": {"uri": str(demo / "digits.onnx")}},
        pre_hooks=[{"scale": {"columns": ["pixels"], "affine": {"factor": 0.0625}}}],
        post_hooks=[{"argmax": {"column": "probabilities", "output": "predicted"}}],
        batching={"max_batch_size": 10},
    )
    found = results_of(infer, digits, job, tmp_path)
    assert {str(id): str(digit) for id, digit in found.items()} == {
        str(digit.id): expected[str(digit.id)] for digit in digits
    }


def test_pythons_provider_prepares_data_as_well(service, digits, tmp_path):
    expansion, job = service
    prepare = ExternalTransformProvider(expansion, urn_pattern=OURS).MlTransform(
        operations=[{"scale_to_01": {"columns": ["id"], "outputs": ["scaled"]}}],
        write_artifact_location=str(tmp_path / "artifact"),
    )
    found = results_of(prepare, digits, job, tmp_path, "scaled")
    highest = max(digit.id for digit in digits)
    assert found == {digit.id: pytest.approx((digit.id - 1) / (highest - 1)) for digit in digits}


def test_pythons_schema_aware_transform_calls_a_preset(service, digits, expected, tmp_path):
    expansion, job = service
    identifier = "beamml:schematransform:preset:digits:v1"
    transform = SchemaAwareExternalTransform(identifier, expansion, rearrange_based_on_discovery=True)
    found = results_of(transform, digits, job, tmp_path)
    assert found == {digit.id: expected[str(digit.id)] for digit in digits}


def test_python_learns_what_is_wrong_with_a_configuration(service, demo, digits):
    transform = ExternalTransformProvider(service[0], urn_pattern=OURS).RunInference(
        model={"onnx": {"uri": str(demo / "digits.onnx")}}, pre_hooks=[{"select": {"columns": ["pixel"]}}]
    )
    with pytest.raises(RuntimeError, match=r"pre_hooks\[0\].select.columns\[0\]: .*did you mean 'pixels'\?"):
        _ = beam.Pipeline() | beam.Create(digits).with_output_types(Digit) | transform


@pytest.mark.parametrize("transform", ["run_inference", "preset:digits"])
def test_java_calls_a_schema_transform_with_beams_own_classes(
    service, java_samples, demo, example, expected, tmp_path, transform
):
    expansion, job = service
    config = example("digits/onnx.yaml") if transform == "run_inference" else tmp_path / "preset.yaml"
    with config.open("a") as file:
        file.write("error_handling: {output: errors}\n")
    java = ["java", "-cp", f"{java_samples}/lib/*", "io.github.beamml.samples.SchemaTransforms"]
    options = [f"--transform=beamml:schematransform:{transform}:v1", f"--config={config}", f"--output={tmp_path}"]
    run(*java, *options, f"--input={demo}/bad.csv", f"--expansionService={expansion}", f"--jobEndpoint={job}")
    assert dict(rows_of(tmp_path / "predictions.csv")[1:]) == expected
    assert rows_of(tmp_path / "errors.csv")[1:] == [["9999", "inference", MISFIT]]


@pytest.mark.skipif(GO is None, reason="Go is not installed")
def test_go_calls_a_schema_transform_on_prism(service, prism, demo, expected, tmp_path):
    program = tmp_path / "digits"
    run(GO, "build", "-C", str(ROOT / "examples/go"), "-o", str(program), ".")
    options = [f"--input={demo}/bad.csv", f"--model_uri={demo}/digits.onnx", f"--output={tmp_path}/go"]
    runner = ["--runner=universal", f"--endpoint={prism}", "--environment_type=LOOPBACK"]
    run(str(program), *options, f"--expansion_service={service[0]}", *runner)
    assert {row[0]: row[1] for row in rows_of(tmp_path / "go_predictions.csv")} == expected
    assert rows_of(tmp_path / "go_errors.csv") == [["9999", "inference", *MISFIT.split(",")]]
