# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The image of the service: what it holds, and that it runs with as few rights as can be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.image

IMAGE = "beam-ml-expansion"
ROOT = Path(__file__).parents[2]


def test_it_says_what_it_is_and_does_not_run_as_root(podman):
    [image] = json.loads(podman("image", "inspect", IMAGE))
    assert image["Config"]["User"] == "10001"
    labels = image["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert f"localhost/{IMAGE}:{labels['org.opencontainers.image.version']}" in image["RepoTags"]
    assert len(labels["org.opencontainers.image.revision"]) == 40


def test_it_holds_no_framework_and_is_small(podman):
    names = ("onnxruntime", "sklearn", "torch", "xgboost")
    find = f"import importlib.util as i; print(*(name for name in {names} if i.find_spec(name)))"
    assert podman("run", "--rm", "--entrypoint=python", IMAGE, "-c", find) == ""
    assert int(podman("image", "inspect", "--format={{.Size}}", IMAGE)) < 800e6


def test_it_reads_models_in_a_bucket_where_the_operator_lets_it(podman):
    code = "from apache_beam.io.filesystems import FileSystems as f; print(f.get_filesystem('gs://models/m.onnx').scheme())"
    assert podman("run", "--rm", "--entrypoint=python", IMAGE, "-c", code) == "gs"


def test_as_it_is_it_gets_healthy_and_ends_when_told_to(start_service, podman):
    with start_service(network="none") as (name, listening):
        assert listening["expansion"] == "0.0.0.0:8097"
        podman("healthcheck", "run", name)
        assert podman("exec", name, "cat", "/proc/1/comm") == "tini"
        assert podman("exec", name, "id", "-u") == "10001"
        written = "import pathlib; pathlib.Path('/opt/service/x').touch()"
        with pytest.raises(AssertionError, match="Read-only file system"):
            podman("exec", name, "python", "-c", written)


def test_what_is_wrong_with_its_arguments_is_said_in_plain_words(podman_environment):
    command = ["podman", "run", "--rm", "--network=none", IMAGE, "serve", "--host=0.0.0.0", "--insecure"]
    done = subprocess.run(command, env=podman_environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


HASH = """
import hashlib, pathlib, sys
folder = pathlib.Path(sys.argv[1])
files = sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix())
print(hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest())
"""


@pytest.mark.parametrize(("image", "home"), [(IMAGE, "service"), ("beam-ml-expansion-worker-cpu", "worker")])
def test_images_hold_the_package_as_it_is_here_whatever_the_builder_had_in_its_cache(podman, image, home):
    here = subprocess.run([sys.executable, "-c", HASH, f"{ROOT}/expansion"], check=True, capture_output=True, text=True)
    installed = f"/opt/{home}/lib/python3.11/site-packages/expansion"
    there = podman("run", "--rm", "--network=none", "--entrypoint=python", image, "-c", HASH, installed)
    assert there == here.stdout.strip()
