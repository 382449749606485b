# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Flex Template's image, run as Dataflow's launcher runs it, up to the job that it would submit."""

import json
import subprocess
from pathlib import Path

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

pytestmark = pytest.mark.image

ROOT = Path(__file__).parents[2]
WORKERS = "registry.example/worker-cpu:1"
GCP = "org.apache.beam.sdk.extensions.gcp"
# Google's launcher starts Java so; the stager writes what the job's would upload.
LAUNCH = (
    'java -Dstager.directory=/out -cp "$FLEX_TEMPLATE_JAVA_CLASSPATH:/stager" "$FLEX_TEMPLATE_JAVA_MAIN_CLASS" "$@"'
)
OPTIONS = [
    "--input=gs://bucket/digits_test.csv",
    "--output=gs://bucket/predictions",
    "--modelUri=/models/digits.onnx",
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=us-central1",
    "--gcpTempLocation=gs://bucket/temp",
    "--stagingLocation=gs://bucket/staging",
    "--templateLocation=/out/job.json",
    "--stagerClass=io.github.beamml.samples.LocalStager",
    f"--pathValidatorClass={GCP}.storage.NoopPathValidator",
    f"--credentialFactoryClass={GCP}.auth.NoopCredentialFactory",
]


@pytest.fixture(scope="module")
def template(podman_environment):
    """Builds the image on what stands in for the launcher's; returns its name."""
    build = ["buildah", "build", "--quiet", "--layers", "--isolation=chroot", "--network=host", "--tag=launcher"]
    build += ["--file=tests/images/launcher.Dockerfile", "."]
    subprocess.run(build, cwd=ROOT, env=podman_environment, check=True, stdout=subprocess.DEVNULL)
    arguments = {"BASE_IMAGE": "launcher", "WORKER_IMAGE": WORKERS, "UV_PYTHON_PREFERENCE": "only-system"}
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    subprocess.run(["docker/build.sh", "flex-template", *options], cwd=ROOT, env=podman_environment, check=True)
    return "beam-ml-expansion-flex-template"


def test_it_makes_a_job_whose_python_steps_run_in_the_worker_image_with_the_service_that_it_brings(
    template, podman, tmp_path
):
    stager = ROOT / "java-example/samples/build/classes/java/dataflowTest"
    volumes = [f"--volume={tmp_path}:/out", f"--volume={stager}:/stager:ro"]
    podman("run", "--rm", "--network=host", *volumes, "--entrypoint=sh", template, "-c", LAUNCH, "launch", *OPTIONS)
    job = json.loads((tmp_path / "job.json").read_text())
    assert WORKERS in json.dumps(job)
    components = beam_runner_api_pb2.Pipeline.FromString((tmp_path / "pipeline.pb").read_bytes()).components
    images = {
        name: beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image
        for name, environment in components.environments.items()
    }
    steps = [step.unique_name for step in components.transforms.values() if images.get(step.environment_id) == WORKERS]
    assert "external0/Inference/BeamML_RunInference" in steps
    assert [step for step in steps if not step.startswith("external0")] == []  # Java's have Beam's own image


def test_what_it_asks_for_are_options_of_the_sample():
    asked = json.loads((ROOT / "docker/flex-template.json").read_text())["parameters"]
    options = (ROOT / "java-example/samples/src/main/java/io/github/beamml/samples/Digits.java").read_text()
    for parameter in asked:
        name = parameter["name"]
        assert f"String get{name[0].upper()}{name[1:]}();" in options
