# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What pipelines need, made once: models, small and real; the Java samples; a service that runs them."""

import csv
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from flink_cluster import FLINK, flink_cluster
from ports import free_ports, is_open
from spark_cluster import SPARK, spark_cluster

ROOT = Path(__file__).parents[2]
PRISM = shutil.which("prism", path=f"{ROOT / 'build/prism'}:{os.environ['PATH']}")


@pytest.fixture(scope="session")
def java_samples():
    """Builds the Java samples; returns the directory where they are installed."""
    subprocess.run(["gradle", "-p", "java-example", "-q", ":samples:installDist"], cwd=ROOT, check=True)
    return ROOT / "java-example/samples/build/install/samples"


class Prism(NamedTuple):
    """A running Prism: the address of its job service, its process, and where it writes what it says."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def _prism(folder):
    if PRISM is None:
        pytest.skip("Prism is not installed; tools/prism.sh builds it where there is Go")
    [port] = free_ports(1)
    log = folder / "prism.log"
    with log.open("w") as output:
        process = subprocess.Popen([PRISM, f"-job_port={port}", "-serve_http=false"], stdout=output, stderr=output)
    try:
        for _ in range(100):
            if is_open("127.0.0.1", port):
                break
            time.sleep(0.1)
        yield Prism(f"localhost:{port}", process, log)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def prism(tmp_path_factory):
    """Runs Prism; returns the address of its job service."""
    with _prism(tmp_path_factory.mktemp("prism")) as running:
        yield running.address


@pytest.fixture
def own_prism(tmp_path):
    """Runs a Prism that the test may end."""
    with _prism(tmp_path) as running:
        yield running


@pytest.fixture
def nowhere():
    """An address that nobody listens on, and that nobody takes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def failed_digits(running, start_sample, demo, tmp_path):
    """Runs the Digits sample with its Python steps in an environment; returns what it said when it had failed."""

    def failed_digits(environment, job="", *options):
        with running("serve", "--port=0", f"--environment={environment}", *options) as addresses:
            where = [f"--expansionService={addresses['expansion']}", f"--jobEndpoint={job or addresses['job']}"]
            files = [f"--modelUri={demo}/digits.onnx", f"--input={demo}/digits_test.csv", f"--output={tmp_path}/failed"]
            sample = start_sample("Digits", *where, *files)
            _, alarm = sample.communicate()
        assert sample.returncode != 0
        return alarm

    return failed_digits


@contextmanager
def _running(*arguments, **environment):
    """Runs the command until it is told to end; gives the addresses that it listens on, by name."""
    command = [str(Path(sys.executable).with_name("beam-ml-expansion")), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        listening = next(line for line in process.stdout if re.match("LISTENING|READY", line))
        yield dict(re.findall(r"(\w+)=(\S+)", listening))
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()  # of a test that failed
        process.wait()


@contextmanager
def _serving(*options):
    """Runs a service with a runner; gives the addresses of the service and of the runner's job service."""
    with _running("serve", "--local-runner", "--port=0", *options) as addresses:
        yield addresses["expansion"], addresses["job"]


@pytest.fixture(scope="session")
def running():
    """Runs a command of beam-ml-expansion with options of the test's own."""
    return _running


@pytest.fixture(scope="session")
def serving():
    """Runs a service with a runner and options of the test's own."""
    return _serving


@pytest.fixture(scope="module")
def flink(tmp_path_factory):
    """Runs a Flink cluster of two task managers."""
    if not (FLINK / "stamp").exists():
        pytest.skip("Flink is not installed; tools/flink.sh does it")
    with flink_cluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


@pytest.fixture
def spark(tmp_path):
    """Runs a Spark cluster of two workers."""
    if not (SPARK / "stamp").exists():
        pytest.skip("Spark is not installed; tools/spark.sh does it")
    (tmp_path / "cluster").mkdir()
    with spark_cluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A directory with the data and models of the Digits samples."""
    folder = tmp_path_factory.mktemp("demo")
    runpy.run_path(str(ROOT / "examples/digits/prepare.py"))["main"](folder)
    return folder


@pytest.fixture(scope="module")
def local_beam():
    """Starts a service and a runner; returns the options of Java samples that name them."""
    with _serving() as (expansion, job):
        yield [f"--expansionService={expansion}", f"--jobEndpoint={job}"]


@pytest.fixture(scope="session")
def start_sample(java_samples):
    """Starts a Java sample; returns the process. It ends with the tests at the latest."""
    started = []

    def start_sample(name, *options):
        command = ["java", "-cp", f"{java_samples}/lib/*", f"io.github.beamml.samples.{name}", *options]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start_sample
    for sample in started:
        sample.kill()


@pytest.fixture(scope="module")
def run_sample(start_sample, local_beam):
    """Runs a Java sample; returns what it printed."""

    def run_sample(name, *options):
        sample = start_sample(name, *local_beam, *options)
        printed, alarm = sample.communicate()
        assert sample.returncode == 0, alarm[-4000:]
        assert "Exception" not in alarm, alarm  # nor does what it prints alarm anybody
        return printed

    return run_sample


@pytest.fixture(scope="module")
def worker_pool(running):
    """Runs a pool of Python workers; returns its address."""
    with running("worker-pool", "--port=0", "--drain-secs=0") as addresses:
        yield addresses["workers"]


@pytest.fixture
def start_digits(worker_pool, running, start_sample, demo):
    """Starts the Digits sample on a job service, its Python steps in a worker pool; returns the process."""
    started = []

    def start_digits(job_endpoint, *options, serve=()):
        service = running("serve", "--port=0", f"--environment=external:{worker_pool}", *serve)
        addresses = service.__enter__()
        where = [f"--expansionService={addresses['expansion']}", f"--jobEndpoint={job_endpoint}"]
        started.append((start_sample("Digits", *where, *options), service))
        return started[-1][0]

    yield start_digits
    for sample, service in started:
        sample.kill()
        sample.communicate()
        service.__exit__(None, None, None)


@pytest.fixture(scope="session")
def rows_of():
    """Reads a CSV file; returns its rows without the header, sorted."""

    def rows_of(path):
        with path.open(newline="") as file:
            return sorted(list(csv.reader(file))[1:])

    return rows_of


@pytest.fixture(scope="module")
def embedded(run_sample, rows_of, demo, tmp_path_factory):
    """Returns what Digits predicts on the embedded runner."""
    folder = tmp_path_factory.mktemp("embedded")
    run_sample("Digits", f"--modelUri={demo}/digits.onnx", f"--input={demo}/digits_test.csv", f"--output={folder}")
    return rows_of(folder / "predictions.csv")


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
