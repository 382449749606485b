# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Java pipelines whose Python steps run in the built worker image, started by the runner; the service too."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.image

WORKERS = "beam-ml-expansion-worker-cpu"
SERVE = ["serve", "--host=127.0.0.1", "--port=0", "--allow-uri-prefix=/models"]


def digits(expansion, job, model_folder, output, model="/models/digits.onnx"):  # which only containers have
    return [
        f"--expansionService={expansion}",
        f"--jobEndpoint={job}",
        f"--input={model_folder}/digits_test.csv",
        f"--modelUri={model}",
        f"--output={output}",
    ]


def test_a_java_sample_runs_on_prism_with_service_and_workers_in_containers(
    start_service, prism, run_sample, model_folder, tmp_path
):
    job, log = prism
    with start_service(*SERVE, f"--environment=docker:{WORKERS}") as (_, listening):
        done = run_sample("Digits", *digits(listening["expansion"], job, model_folder, tmp_path))
    assert done.returncode == 0, done.stderr[-4000:] + log.read_text()[-4000:]
    assert "accuracy 0.9655 (867 of 898)" in done.stdout
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 899


def test_the_worker_image_has_the_package_its_frameworks_and_beam_of_the_services_version(podman):
    versions = "import importlib.metadata as m; print(m.version('beam-ml-expansion'), m.version('apache-beam'))"
    of_workers = podman("run", "--rm", "--entrypoint=python", WORKERS, "-c", versions)
    of_service = podman("run", "--rm", "--entrypoint=python", "beam-ml-expansion", "-c", versions)
    assert of_workers == of_service
    podman(
        "run",
        "--rm",
        "--entrypoint=python",
        WORKERS,
        "-c",
        "import onnxruntime, sklearn, skops, xgboost, PIL, tokenizers",
    )


def test_beams_own_image_gets_the_package_from_the_service(
    start_service, prism, run_sample, model_folder, tmp_path, beam_image
):
    job, log = prism
    serve = [*SERVE, f"--environment=docker:{beam_image}", "--worker-package=beam-ml-expansion[onnx]"]
    with start_service(*serve) as (_, listening):
        done = run_sample("Digits", *digits(listening["expansion"], job, model_folder, tmp_path))
    assert done.returncode == 0, done.stderr[-4000:] + log.read_text()[-4000:]
    assert "accuracy 0.9655 (867 of 898)" in done.stdout


def test_an_image_that_is_not_there_is_said_where_the_pipeline_is_run(
    start_service, prism, run_sample, model_folder, tmp_path
):
    with start_service(*SERVE, "--environment=docker:no-such-image:1") as (_, listening):
        done = run_sample("Digits", *digits(listening["expansion"], prism[0], model_folder, tmp_path))
    assert done.returncode != 0
    assert "no such image: no-such-image:1" in done.stderr


def test_a_java_sample_runs_on_a_flink_cluster_with_service_and_workers_in_containers(
    start_service, flink, run_sample, model_folder, tmp_path
):
    with start_service(*SERVE, f"--environment=docker:{WORKERS}") as (_, listening):
        done = run_sample("Digits", *digits(listening["expansion"], flink.job_endpoint, model_folder, tmp_path))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "accuracy 0.9655 (867 of 898)" in done.stdout
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 899
    assert flink.newest_job()["state"] == "FINISHED"


def test_an_image_that_is_not_there_is_said_where_the_pipeline_is_run_on_flink(
    start_service, flink, run_sample, model_folder, tmp_path
):
    with start_service(*SERVE, "--environment=docker:no-such-image:1") as (_, listening):
        done = run_sample("Digits", *digits(listening["expansion"], flink.job_endpoint, model_folder, tmp_path))
    assert done.returncode != 0
    assert "no-such-image:1" in done.stderr


def test_the_local_runner_starts_workers_in_containers_by_the_command_docker(
    docker_command, run_sample, model_folder, tmp_path
):
    command = [str(Path(sys.executable).with_name("beam-ml-expansion")), "serve", "--local-runner", "--port=0"]
    options = ["--http-port=-1", f"--environment=docker:{WORKERS}"]
    service = subprocess.Popen([*command, *options], env=docker_command, stdout=subprocess.PIPE, text=True)
    try:
        listening = next(line for line in service.stdout if line.startswith("LISTENING"))
        expansion, job = re.search(r"expansion=(\S+) job=(\S+)", listening).groups()
        done = run_sample("Digits", *digits(expansion, job, model_folder, tmp_path, f"{model_folder}/digits.onnx"))
    finally:
        service.terminate()
    assert service.wait() == 0
    assert done.returncode == 0, done.stderr[-4000:]
    assert "accuracy 0.9655 (867 of 898)" in done.stdout
