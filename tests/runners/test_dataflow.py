# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Jobs as Dataflow would get them, translated by its own runners and never submitted: where each step runs, on what."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.transforms.external import ExternalTransform

from expansion import RunInference
from expansion.contract import config, urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
L4 = "type:nvidia-l4;count:1;install-nvidia-driver"
ACCELERATOR = "beam:resources:accelerator:v1"
GPU_IMAGE, CPU_IMAGE = "registry.example/worker-gpu:1", "registry.example/worker-cpu:1"
TRANSFORMS = 200
# https://cloud.google.com/dataflow/docs/request-quotas: the JSON of a job request is 20 MB at most, its graph 10 MB.
MAX_REQUEST_BYTES, MAX_GRAPH_BYTES = 20_000_000, 10_000_000
HOST_PATH = re.compile(rb"/(?:tmp|home|root|usr|work|Users)/[\w./-]+")

# Of a class of somebody's own, the service reads no file: there is no bucket to read one from.
INFERENCE = {
    "model": {
        "custom": {
            "model_class": "digit_models.OnGpu",
            "uri": "gs://models/digits.pt",
            "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [64]}],
            "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [10]}],
        }
    },
    "pre_hooks": [{"scale": {"columns": ["pixels"], "affine": {"factor": 0.0625}}}],
    "post_hooks": [{"argmax": {"column": "probabilities", "output": "predicted"}}],
    "resource_hints": {"accelerator": L4},
}
SERVER = {
    "port": 0,
    "environment": f"docker:{CPU_IMAGE}",
    "environments": {"gpu": f"docker:{GPU_IMAGE}"},
    "framework_environments": {"custom": "gpu"},
    "allow": {"imports": ["digit_models"]},
}


class Digit(NamedTuple):
    id: int
    pixels: list[float]


beam.coders.registry.register_coder(Digit, beam.coders.RowCoder)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service for workers on Dataflow; its address."""
    file = tmp_path_factory.mktemp("service") / "server.yaml"
    file.write_text(yaml.safe_dump(SERVER))
    command = [str(Path(sys.executable).with_name("beam-ml-expansion")), "serve", f"--config={file}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    listening = next(line for line in process.stdout if line.startswith("LISTENING"))
    yield re.search(r"expansion=(\S+)", listening)[1]
    process.terminate()
    assert process.wait(30) == 0


@pytest.fixture(scope="module")
def classpath():
    """The Java samples with Dataflow's runner."""
    command = ["gradle", "-p", "java-example", "-q", "-PwithDataflow", ":samples:installDist"]
    subprocess.run(command, cwd=ROOT, check=True)
    build = ROOT / "java-example/samples/build"
    return f"{build}/install/samples-dataflow/lib/*:{build}/classes/java/dataflowTest"


@pytest.fixture
def java_job(classpath, service, tmp_path):
    """Translates a Java pipeline; returns the job request, and the pipeline."""

    def java_job(what, *options):
        (tmp_path / "digits.json").write_text(json.dumps(INFERENCE))
        gcp = "org.apache.beam.sdk.extensions.gcp"
        options = [
            f"--config={tmp_path}/digits.json",
            f"--expansionService={service}",
            "--input=gs://bucket/digits.csv",
            "--output=gs://bucket/predictions",
            "--runner=DataflowRunner",
            "--project=my-project",
            "--region=us-central1",
            "--gcpTempLocation=gs://bucket/temp",
            "--stagingLocation=gs://bucket/staging",
            f"--templateLocation={tmp_path}/job.json",
            "--stagerClass=io.github.beamml.samples.LocalStager",
            f"--pathValidatorClass={gcp}.storage.NoopPathValidator",
            f"--credentialFactoryClass={gcp}.auth.NoopCredentialFactory",
            *options,
        ]
        command = ["java", f"-Dstager.directory={tmp_path}", "-cp", classpath]
        command += ["io.github.beamml.samples.DataflowJobs", what, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads((tmp_path / "job.json").read_text()), read_pipeline(tmp_path / "pipeline.pb")

    return java_job


def read_pipeline(path):
    return beam_runner_api_pb2.Pipeline.FromString(path.read_bytes())


def image(environment):
    return beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image


def by_image(pipeline):
    """Returns the hints, and the names of the steps that run in it, of each image; prints them."""
    found = {}
    for transform in pipeline.components.transforms.values():
        if transform.environment_id and not transform.subtransforms:
            environment = pipeline.components.environments[transform.environment_id]
            assert environment.urn == "beam:env:docker:v1"
            hints = {urn: value.decode() for urn, value in environment.resource_hints.items()}
            key = image(environment), json.dumps(hints)
            found.setdefault(key, []).append(transform.unique_name)
    for (name, hints), steps in sorted(found.items()):
        print(f"{name}  {hints}  {len(steps)} steps, such as {min(steps)}")
    return {name: (json.loads(hints), steps) for (name, hints), steps in found.items()}


PYTHON_STEPS = ["Decode", "Encode", "Inference", "PostHooks", "PreHooks", "Rebatch"]


def test_of_a_java_job_the_inference_alone_asks_for_a_gpu_and_runs_in_our_image(java_job):
    job, pipeline = java_job("digits", "--workerMachineType=g2-standard-4", "--experiments=use_runner_v2")
    images = by_image(pipeline)
    hints, steps = images.pop(GPU_IMAGE)
    assert hints == {ACCELERATOR: L4}
    assert sorted(name.split("/")[1] for name in steps) == PYTHON_STEPS
    [(java_image, (java_hints, java_steps))] = images.items()
    assert "java" in java_image
    assert java_hints == {}
    assert {"Classify/Pack", "Format/Map/ParMultiDo(Anonymous)"} <= set(java_steps)
    assert len(pipeline.components.environments) == 2  # and so none that nothing runs in

    pool = job["environment"]["workerPools"][0]
    assert pool["machineType"] == "g2-standard-4"
    assert {each["containerImage"] for each in pool["sdkHarnessContainerImages"]} == {GPU_IMAGE, java_image}
    assert "use_runner_v2" in job["environment"]["experiments"]


def test_a_java_job_names_no_path_of_the_machine_that_made_it(java_job):
    _, pipeline = java_job("digits")
    assert HOST_PATH.findall(pipeline.SerializeToString()) == []
    python = next(each for each in pipeline.components.environments.values() if image(each) == GPU_IMAGE)
    assert not python.dependencies  # an image that has everything is staged nothing


def test_a_java_job_of_many_transforms_is_within_dataflows_limits(java_job):
    job, pipeline = java_job("many", f"--transforms={TRANSFORMS}")
    request_bytes, graph_bytes = len(json.dumps(job)), pipeline.ByteSize()
    print(f"{TRANSFORMS} transforms: request {request_bytes} bytes, graph {graph_bytes} bytes")
    assert request_bytes < MAX_REQUEST_BYTES
    assert graph_bytes < MAX_GRAPH_BYTES
    # Java's runner keeps an environment for each expansion, which Dataflow merges; all of them are the same.
    assert len({each.SerializeToString(deterministic=True) for each in pipeline.components.environments.values()}) == 2
    images = job["environment"]["workerPools"][0]["sdkHarnessContainerImages"]
    print(f"{len(images)} images, {len({each['containerImage'] for each in images})} different ones")
    assert {each["containerImage"] for each in images} >= {GPU_IMAGE}


def python_job(build):
    """Translates a Python pipeline, of Digits; returns it."""
    flags = ["--runner=DataflowRunner", "--project=my-project", "--region=us-central1", "--dry_run=True", "--no_auth"]
    flags += ["--temp_location=gs://bucket/temp", "--staging_location=gs://bucket/staging"]
    flags += [f"--sdk_container_image={CPU_IMAGE}", "--sdk_location=container"]
    options = PipelineOptions(flags)
    pipeline = beam.Pipeline(options=options)
    build(pipeline | "Digits" >> beam.Create([Digit(1, [0.0] * 64)], reshuffle=False).with_output_types(Digit))
    runner = DataflowRunner()
    runner.run_pipeline(pipeline, options)
    return runner.proto_pipeline


def external(service, configuration):
    message = config.parse_mapping(RunInferenceConfig, configuration).config
    return ExternalTransform(urns.RUN_INFERENCE, message.SerializeToString(), service)


def test_of_a_python_job_what_works_on_batches_asks_for_a_gpu_and_what_works_on_rows_does_not(service):
    pipeline = python_job(lambda digits: digits | "Classify" >> external(service, INFERENCE))
    found = {}
    for transform in pipeline.components.transforms.values():
        if transform.environment_id and not transform.subtransforms and "Classify" in transform.unique_name:
            environment = pipeline.components.environments[transform.environment_id]
            name = transform.unique_name.partition("Classify/")[2].split("/")[0]
            found[name] = image(environment), dict(environment.resource_hints)
    gpu = {ACCELERATOR: L4.encode()}
    batches = dict.fromkeys(["Rebatch", "PreHooks", "Inference", "PostHooks"], (GPU_IMAGE, gpu))
    assert found == {**batches, "Pack": (GPU_IMAGE, {}), "Encode": (GPU_IMAGE, {})}
    assert HOST_PATH.findall(pipeline.SerializeToString()) == []


def test_a_transform_of_the_pipelines_own_asks_for_the_same_in_the_image_of_the_pipeline():
    pipeline = python_job(lambda digits: digits | "Classify" >> RunInference(INFERENCE))
    hinted = [each for each in pipeline.components.environments.values() if each.resource_hints]
    assert [(image(each), dict(each.resource_hints)) for each in hinted] == [(CPU_IMAGE, {ACCELERATOR: L4.encode()})]


def test_a_python_job_of_many_transforms_is_within_dataflows_limits(service):
    def many(digits):
        for number in range(TRANSFORMS):
            _ = digits | f"Classify {number}" >> external(service, INFERENCE)

    pipeline = python_job(many)
    print(f"{TRANSFORMS} transforms: graph {pipeline.ByteSize()} bytes")
    assert pipeline.ByteSize() < MAX_GRAPH_BYTES
