# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A real MLServer as a remote model, on Beam's embedded runner: what it predicts, and what happens when it is killed.

tools/mlserver.sh installs it; without it these tests are skipped.
"""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from ports import free_ports

from expansion import RunInference

HOME = Path(__file__).parents[2] / "build/mlserver/bin"
pytestmark = [
    pytest.mark.runner,
    pytest.mark.skipif(not (HOME / "mlserver").exists(), reason="there is no build/mlserver: see tools/mlserver.sh"),
]

# Run by MLServer's own Python: the model, and what it predicts without a server, for as many rows as the tests send.
TRAIN = """
import sys, joblib, numpy
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
iris = load_iris()
model = LogisticRegression(max_iter=1000).fit(iris.data, iris.target)
joblib.dump(model, "model.joblib")
rows = numpy.random.default_rng(7).uniform(0, 8, (600, 4))
numpy.savez("expected.npz", rows=rows, classes=model.predict(rows), probabilities=model.predict_proba(rows))
"""


class Flower(NamedTuple):
    key: int
    a: float
    b: float
    c: float
    d: float


beam.coders.registry.register_coder(Flower, beam.coders.RowCoder)


class MlServer:
    """A server in a process of its own, with a model called iris."""

    def __init__(self, folder):
        self.folder = folder
        self.http, self.grpc, self.metrics = free_ports(3)
        ports = {"http_port": self.http, "grpc_port": self.grpc, "metrics_port": self.metrics}
        (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", **ports}))
        model = {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
        model["inputs"] = [{"name": "X", "datatype": "FP64", "shape": [-1, 4]}]
        (folder / "model-settings.json").write_text(json.dumps({"name": "iris", **model}))

    def start(self):
        """Starts it; does not wait."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [HOME / "mlserver", "start", "."], cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_ready(self):
        deadline = time.monotonic() + 60
        while not self.is_ready():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.2)

    def is_ready(self):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/models/iris/ready")
        except OSError:
            return False
        return True

    def kill(self):
        """Ends it and its worker processes at once, without a word."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def served(self):
        """Returns how many requests it has answered."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics").read().decode()
        counts = [line.split()[1] for line in text.splitlines() if line.startswith("model_infer_request_success_total")]
        return int(float(counts[0])) if counts else 0


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlserver")
    subprocess.run([HOME / "python", "-c", TRAIN], cwd=folder, check=True)
    server = MlServer(folder)
    server.start()
    server.wait_until_ready()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def expected(mlserver):
    with np.load(mlserver.folder / "expected.npz") as arrays:
        return dict(arrays)


def config(server, **more):
    model = {
        "uri": f"grpc://127.0.0.1:{server.grpc}/iris",
        "inputs": [{"name": "X", "datatype": "FP64", "shape": [4]}],
        "outputs": [
            {"name": "predict", "datatype": "INT64"},
            {"name": "predict_proba", "datatype": "FP64", "shape": [3]},
        ],
        **more,
    }
    return {
        "model": {"open_inference": model, "model_id": "iris"},
        "inputs": [{"name": "X", "columns": ["a", "b", "c", "d"]}],
        "error_handling": {"output": "errors"},
        "batching": {"max_batch_size": 10},
    }


def run(rows, configuration, check):
    """Runs a pipeline; returns the counters."""
    flowers = [Flower(key, *map(float, row)) for key, row in enumerate(rows)]
    pipeline = beam.Pipeline()
    results = pipeline | beam.Create(flowers, reshuffle=False) | RunInference(configuration)
    check(results)
    result = pipeline.run()
    result.wait_until_finish()
    return {metric.key.metric.name: metric.committed for metric in result.metrics().query()["counters"]}


def test_predictions_are_those_of_scikit_learn_by_hand_and_bad_rows_are_error_rows(mlserver, expected):
    rows = expected["rows"].copy()
    bad = [17, 300]
    rows[bad, 2] = np.nan
    good = [key for key in range(len(rows)) if key not in bad]

    def probabilities(found):
        assert sorted(row.key for row in found) == good
        for row in found:
            np.testing.assert_allclose(row.predict_proba, expected["probabilities"][row.key], atol=1e-12)

    def check(results):
        assert_that(results["output"], probabilities, "probabilities")
        classes = [(key, int(expected["classes"][key]), "iris") for key in good]
        assert_that(results["output"] | beam.Map(lambda row: (row.key, row.predict, row.model_id)), equal_to(classes))
        errors = results["errors"] | beam.Map(lambda row: (row.element.key, row.error_type, row.message))
        reason = "INTERNAL: builtins.ValueError: Input X contains NaN."
        assert_that(errors, equal_to([(key, "RemoteError", reason) for key in bad]), "errors")

    counters = run(rows, config(mlserver), check)
    assert counters["num_remote_requests"] > 60
    assert "num_remote_retries" not in counters


def test_a_server_that_is_killed_for_ten_seconds_in_mid_run_costs_no_row(mlserver, expected):
    rows = expected["rows"]
    before, first = mlserver.served(), mlserver.process.pid

    def kill_and_start_again():
        while mlserver.served() - before < 10:
            time.sleep(0.1)
        mlserver.kill()
        time.sleep(10)
        mlserver.start()

    def check(results):
        classes = [(key, int(expected["classes"][key])) for key in range(len(rows))]
        assert_that(results["output"] | beam.Map(lambda row: (row.key, row.predict)), equal_to(classes))
        assert_that(results["errors"], equal_to([]), "errors")

    accident = threading.Thread(target=kill_and_start_again)
    accident.start()
    # Ten requests a second, so that there is a middle to kill it in; all else is as by default.
    counters = run(rows, config(mlserver, calls={"max_requests_per_second": 10}), check)
    accident.join()
    assert counters["num_remote_retries"] >= 1
    assert counters["num_remote_requests"] == len(rows) // 10 + counters["num_remote_retries"]
    assert counters["num_inferences"] == len(rows)
    assert mlserver.process.pid != first
