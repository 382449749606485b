# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What pipelines need, made once: models, small and real; the Java samples; a service that runs them."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PRISM = shutil.which("prism", path=f"{ROOT / 'build/prism'}:{os.environ['PATH']}")


@pytest.fixture(scope="session")
def java_samples():
    """Builds the Java samples; returns the directory where they are installed."""
    subprocess.run(["gradle", "-p", "java-example", "-q", ":samples:installDist"], cwd=ROOT, check=True)
    return ROOT / "java-example/samples/build/install/samples"


@pytest.fixture(scope="module")
def prism(tmp_path_factory):
    """Runs Prism; returns the address of its job service."""
    if PRISM is None:
        pytest.skip("Prism is not installed; tools/prism.sh builds it where there is Go")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("prism") / "prism.log").open("w")
    process = subprocess.Popen([PRISM, f"-job_port={port}", "-serve_http=false"], stdout=log, stderr=log)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def local_beam():
    """Starts a service and a runner; returns the options of Java samples that name them."""
    command = [str(Path(sys.executable).with_name("beam-ml-expansion")), "serve", "--local-runner", "--port=0"]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    listening = next(line for line in service.stdout if line.startswith("LISTENING"))
    expansion, job = re.search(r"expansion=(\S+) job=(\S+)", listening).groups()
    yield [f"--expansionService={expansion}", f"--jobEndpoint={job}"]
    service.terminate()
    assert service.wait(30) == 0


@pytest.fixture(scope="module")
def run_sample(java_samples, local_beam):
    """Runs a Java sample; returns what it printed."""

    def run_sample(name, *options):
        command = ["java", "-cp", f"{java_samples}/lib/*", f"io.github.beamml.samples.{name}", *local_beam, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        assert "Exception" not in done.stderr, done.stderr  # nor does what it prints alarm anybody
        return done.stdout

    return run_sample


@pytest.fixture(scope="session")
def iris_skops(tmp_path_factory):
    """A logistic regression on iris' four measures, which raises ValueError on NaN."""
    import skops.io
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    iris = load_iris()
    path = tmp_path_factory.mktemp("models") / "iris.skops"
    skops.io.dump(LogisticRegression(max_iter=1000).fit(iris.data, iris.target), path)
    return str(path)


@pytest.fixture(scope="session")
def double_onnx(tmp_path_factory):
    """An ONNX model that doubles its input: x FP32[n, -1] → y FP32[n, -1]."""
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Add", ["x", "x"], ["y"])
    shape = ["batch", "size"]
    graph = helper.make_graph(
        [node],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path_factory.mktemp("models") / "double.onnx"
    onnx.save(model, path)
    return str(path)


@pytest.fixture(scope="session")
def iris_rows():
    """Iris' measures, as float64 [150, 4]."""
    from sklearn.datasets import load_iris

    return np.asarray(load_iris().data)
