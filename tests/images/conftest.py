# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Images, built as ``make image`` does, and what runs them: podman; Prism and Flink, with podman in Docker's place."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runners"))
from flink_cluster import FLINK, flink_cluster

ROOT = Path(__file__).parents[2]
STORE = ROOT / "build/images"
PRISM = shutil.which("prism", path=f"{ROOT / 'build/prism'}:{os.environ['PATH']}")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """What examples/digits/prepare.py makes; containers have it there, and as /models."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "examples/digits/prepare.py", str(folder)], cwd=ROOT, check=True)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def podman_environment(tmp_path_factory, model_folder):
    """Environment variables of podman, with images built. Containers have the models, whoever starts them."""
    if os.getuid() != 0 or not all(map(shutil.which, ("buildah", "podman", "runc"))):
        pytest.skip("buildah, podman and runc are needed, and to be root; tools/packages.sh containers installs them")
    store = {"CONTAINERS_CONF": f"{STORE}/containers.conf", "CONTAINERS_STORAGE_CONF": f"{STORE}/storage.conf"}
    subprocess.run(["docker/build.sh"], cwd=ROOT, check=True)
    settings = Path(store["CONTAINERS_CONF"]).read_text()
    volumes = [f"{model_folder}:/models:ro", f"{model_folder}:{model_folder}:ro"]
    with_models = settings.replace("[containers]\n", f"[containers]\nvolumes = {json.dumps(volumes)}\n")
    file = tmp_path_factory.mktemp("podman") / "containers.conf"
    file.write_text(with_models)
    environment = {**os.environ, **store, "CONTAINERS_CONF": str(file)}
    yield environment
    # Runners leave containers of workers behind, some of them running.
    remove = ["podman", "rm", "--all", "--force", "--time=0"]
    subprocess.run(remove, env=environment, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def podman(podman_environment):
    """Runs podman; returns what it printed."""

    def podman(*arguments, **options):
        done = subprocess.run(
            ["podman", *arguments], env=podman_environment, capture_output=True, text=True, check=False, **options
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return podman


@pytest.fixture(scope="session")
def beam_image(podman_environment):
    """Builds an image like Beam's own, without this package; returns its name."""
    name = "beam-without-this-package"
    options = ["--quiet", "--layers", "--isolation=chroot", "--network=host", f"--tag={name}"]
    command = ["buildah", "build", *options, "--file=tests/images/beam.Dockerfile", "."]
    subprocess.run(command, cwd=ROOT, env=podman_environment, check=True, stdout=subprocess.DEVNULL)
    return name


@pytest.fixture(scope="session")
def start_service(podman_environment, podman):
    """Runs the service image as one should: as nobody, without capabilities, and with nothing to write but /tmp."""

    @contextmanager
    def start(*arguments, network="host"):
        name = f"service-{uuid.uuid4().hex[:8]}"
        locked = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]
        command = ["podman", "run", "--rm", f"--name={name}", *locked, f"--network={network}", "beam-ml-expansion"]
        process = subprocess.Popen([*command, *arguments], env=podman_environment, stdout=subprocess.PIPE, text=True)
        try:
            listening = next((line for line in process.stdout if line.startswith("LISTENING")), None)
            assert listening, "the service ended before it was ready; see its errors above"
            yield name, dict(pair.split("=") for pair in listening.split()[1:])
            podman("stop", "--time=30", name)
            assert process.wait() == 0
        finally:
            process.kill()
            process.wait()

    return start


@pytest.fixture
def docker_command(tmp_path, podman_environment):
    """Environment variables with which the command ``docker`` is podman."""
    command = tmp_path / "bin/docker"
    command.parent.mkdir()
    command.write_text('#!/bin/sh\nexec podman "$@"\n')
    command.chmod(0o755)
    return {**podman_environment, "PATH": f"{command.parent}:{podman_environment['PATH']}"}


@pytest.fixture(scope="session")
def docker_host(podman_environment, tmp_path_factory):
    """Docker's API, by podman; returns its address."""
    address = f"unix://{tmp_path_factory.mktemp('api')}/podman.sock"
    process = subprocess.Popen(["podman", "system", "service", "--time=0", address], env=podman_environment)
    try:
        _wait_until(Path(address.removeprefix("unix://")).exists)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def prism(docker_host, tmp_path_factory):
    """Runs Prism, which starts workers in containers; returns the address of its job service, and its log."""
    if PRISM is None:
        pytest.skip("Prism is not installed; tools/prism.sh builds it where there is Go")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("prism") / "prism.log"
    command = [PRISM, f"-job_port={port}", "-serve_http=false"]
    with log.open("w") as file:
        process = subprocess.Popen(command, env={**os.environ, "DOCKER_HOST": docker_host}, stdout=file, stderr=file)
    try:
        _wait_until(lambda: _accepts(port))
        yield f"localhost:{port}", log
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def flink(docker_command, tmp_path):
    """Runs a Flink cluster, which starts workers in containers; returns it."""
    if not (FLINK / "stamp").exists():
        pytest.skip("Flink is not installed; tools/flink.sh does it")
    with flink_cluster(tmp_path, docker_command) as cluster:
        yield cluster


def _accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(holds):
    while not holds():
        time.sleep(0.1)


@pytest.fixture(scope="session")
def run_sample():
    """Builds the Java samples; runs one, on a job service that runs already; returns the finished process."""
    subprocess.run(["gradle", "-p", "java-example", "-q", ":samples:installDist"], cwd=ROOT, check=True)

    def run(name, *options):
        classes = f"{ROOT}/java-example/samples/build/install/samples/lib/*"
        command = ["java", "-cp", classes, f"io.github.beamml.samples.{name}", *options]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    return run
