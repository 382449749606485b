# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Packages that only workers have: wheels that the service stages, on the embedded runner."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.external import ExternalTransform

from expansion.contract import config, urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
MODELS = """
import their_numbers

class Triples:
    def predict(self, inputs):
        return {"y": inputs["x"] * their_numbers.THREE, "module": [__file__] * len(inputs["x"])}
"""
TRIPLES = {
    "model_class": "their_models.Triples",
    "inputs": [{"name": "x", "datatype": "FP64"}],
    "outputs": [{"name": "y", "datatype": "FP64"}, {"name": "module", "datatype": "STRING"}],
}


class Service:
    """``beam-ml-expansion serve --local-runner``, with temporary files in a folder of its own."""

    def __init__(self, temp, *arguments):
        command = [str(Path(sys.executable).with_name("beam-ml-expansion")), "serve", "--local-runner", "--port=0"]
        environment = {**os.environ, "TMPDIR": str(temp)}
        self.process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True, env=environment)
        self.greeting = ""
        for line in self.process.stdout:
            self.greeting += line
            if line.startswith("LISTENING"):
                self.expansion, self.job = re.search(r"expansion=(\S+) job=(\S+)", line).groups()
                break

    def run(self, configuration, rows, folder):
        """Runs a pipeline whose own steps run in this process; returns its output rows as dicts."""
        parsed = config.parse_mapping(RunInferenceConfig, configuration)
        assert parsed.problems == []
        options = PipelineOptions(runner="PortableRunner", job_endpoint=self.job, environment_type="LOOPBACK")
        with beam.Pipeline(options=options) as pipeline:
            results = (
                pipeline
                | beam.Create([beam.Row(**row) for row in rows])
                | ExternalTransform(urns.RUN_INFERENCE, parsed.config.SerializeToString(), self.expansion)
            )
            lines = results | beam.Map(lambda row: json.dumps(row._asdict()))
            _ = lines | beam.io.WriteToText(str(folder / "rows"), shard_name_template="")
        return [json.loads(line) for line in (folder / "rows").read_text().splitlines()]

    def end(self):
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture
def serve(tmp_path, make_wheel):
    """Starts services whose workers get the package their_models, one that it depends on, and further wheels."""
    (tmp_path / "temp").mkdir()
    models = make_wheel({"their_models.py": MODELS})
    numbers = make_wheel(
        {"their_numbers.py": "THREE = 3"}, "their_numbers-1-py3-none-any.whl", "their_numbers-1.dist-info"
    )
    started = []

    def start(*further, allow=()):
        packages = [f"--worker-package={path}" for path in (models, numbers, *further)]
        allowed = [f"--allow-import={name}" for name in ("their_models", *allow)]
        started.append(Service(tmp_path / "temp", *packages, *allowed))
        return started[-1]

    yield start
    for service in started:
        service.process.kill()


def is_installed(module):
    return importlib.util.find_spec(module) is not None


def test_workers_import_packages_that_the_service_does_not_have(serve, tmp_path):
    assert not is_installed("their_models")
    service = serve()
    assert "with their_models-1.0-py3-none-any.whl\n" in service.greeting
    for x in (1.0, 2.0):  # on the worker that waited, and on the next one
        [row] = service.run({"model": {"custom": TRIPLES, "model_id": "m"}}, [{"x": x}], tmp_path)
        assert row["y"] == 3 * x
        assert Path(row["module"]).is_relative_to(tmp_path / "temp")
    assert not is_installed("their_models")
    assert service.end() == 0
    assert not Path(row["module"]).exists()
    assert list((tmp_path / "temp").glob("beam-ml-expansion-*")) == []


def test_the_sample_package_is_built_and_runs_as_its_readme_configures_it(serve, tmp_path, models):
    sample = ROOT / "examples/custom_hooks"
    subprocess.run(["uv", "build", "--quiet", "--wheel", f"--out-dir={tmp_path}/dist", str(sample)], check=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert not is_installed("trip_hooks")
    [example] = re.findall(r"```yaml\n(.*?)```", (sample / "README.md").read_text(), re.DOTALL)
    configuration = yaml.safe_load(example)
    configuration["model"]["onnx"]["uri"] = str(models / "identity.onnx")
    rows = [
        {"latitude": 40.6413, "longitude": -73.7781, "hour": 0.0},
        {"latitude": 51.47, "longitude": -0.4543, "hour": 6.0},  # London, Heathrow
    ]
    results = serve(wheel, allow=["trip_hooks"]).run(configuration, rows, tmp_path)
    here, far = (row["y"] for row in sorted(results, key=lambda row: row["hour"]))
    assert here == pytest.approx([0, 0, 1], abs=1e-6)
    assert far == pytest.approx([5540, 1, 0], abs=1)
    assert {name for row in results for name in row} == {"latitude", "longitude", "hour", "y", "model_id"}


def test_a_wheel_for_another_interpreter_ends_the_service_with_one_plain_line(make_wheel, tmp_path):
    wheel = make_wheel({}, "their_models-1.0-cp27-cp27m-win32.whl")
    command = [
        sys.executable,
        "-m",
        "expansion.cli",
        "serve",
        "--local-runner",
        "--port=0",
        f"--worker-package={wheel}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: their_models-1.0-cp27-cp27m-win32.whl is for cp27-cp27m-win32, and the local")
    assert len(done.stderr.splitlines()) == 1
