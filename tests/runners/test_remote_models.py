# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Remote models in pipelines on Beam's embedded runner: how often a dead server is tried, and what metrics say."""

import sys
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from expansion import RunInference
from expansion.contract._gen.open_inference_pb2 import ModelInferResponse

pytestmark = pytest.mark.runner

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import open_inference_server as grpc_server  # noqa: E402
import vertex_ai_server as http_server  # noqa: E402


class Number(NamedTuple):
    key: int
    x: float


beam.coders.registry.register_coder(Number, beam.coders.RowCoder)

# By framework: what its server fails with, when it is away for a while and when it does not take a row.
FAILURES = {
    "open_inference": (
        grpc_server.Failure(grpc_server.CODE.UNAVAILABLE, "away"),
        grpc_server.Failure(grpc_server.CODE.INVALID_ARGUMENT, "negative"),
    ),
    "vertex_ai": (
        http_server.Failure(503, "UNAVAILABLE", "away"),
        http_server.Failure(400, "INVALID_ARGUMENT", "negative"),
    ),
}


class Remote:
    """A server of a framework, with a model that doubles numbers, and takes none that are negative."""

    def __init__(self, framework):
        self.framework, self.is_away = framework, lambda request_count: False
        is_grpc = framework == "open_inference"
        self.server = (
            grpc_server.OpenInferenceServer(self._infer) if is_grpc else http_server.VertexAiServer(self._predict)
        )
        self.uri = self.server.uri() if is_grpc else http_server.ENDPOINT
        self.further = {} if is_grpc else {"api_endpoint": self.server.address}

    @property
    def request_count(self):
        return len(self.server.requests)

    def config(self, calls=None, **more):
        field = {"datatype": "FP64"}
        model = {
            "uri": self.uri,
            "inputs": [{"name": "x", **field}],
            "outputs": [{"name": "y", **field}],
            "calls": {"backoff_secs": 0.02, **(calls or {})},
            **self.further,
        }
        batching = {"max_batch_size": 10}
        return {"model": {self.framework: model}, "error_handling": {"output": "errors"}, "batching": batching, **more}

    def _infer(self, request):
        doubled = self._double(np.frombuffer(request.raw_input_contents[0]))
        output = {"name": "y", "datatype": "FP64", "shape": [len(doubled)]}
        return ModelInferResponse(outputs=[output], raw_output_contents=[doubled.tobytes()])

    def _predict(self, body):
        return self._double(np.array([instance["x"] for instance in body["instances"]])).tolist()

    def _double(self, numbers):
        away, refused = FAILURES[self.framework]
        if self.is_away(self.request_count):
            raise away
        if (numbers < 0).any():
            raise refused
        return 2.0 * numbers


@pytest.fixture(params=FAILURES)
def remote(request):
    remote = Remote(request.param)
    yield remote
    remote.server.stop()


def run(rows, configuration, check=None):
    """Runs a pipeline; returns what its metrics say."""
    pipeline = beam.Pipeline()
    results = pipeline | beam.Create(rows, reshuffle=False) | RunInference(configuration)
    if check:
        check(results)
    result = pipeline.run()
    result.wait_until_finish()
    queried = result.metrics().query()
    return {
        metric.key.metric.name: metric.committed for kind in ("counters", "distributions") for metric in queried[kind]
    }


def test_a_dead_server_is_tried_three_times_for_the_first_batch_and_not_for_the_others(remote):
    remote.is_away = lambda request_count: True
    with pytest.raises(Exception, match=r"failed 3 time\(s\), the last time with: .*UNAVAILABLE: away"):
        run([Number(key, 1.0) for key in range(100)], remote.config())
    assert remote.request_count == 3


def test_rows_that_the_server_does_not_take_are_error_rows_and_no_other_is_lost(remote):
    rows = [Number(key, -1.0 if key == 13 else float(key)) for key in range(40)]

    def check(results):
        good = [(key, 2.0 * key) for key in range(40) if key != 13]
        assert_that(results["output"] | beam.Map(lambda row: (row.key, row.y)), equal_to(good))
        bad = results["errors"] | beam.Map(lambda row: (row.element.key, row.stage, row.error_type))
        assert_that(bad, equal_to([(13, "inference", "ValueError")]), "errors")

    metrics = run(rows, remote.config(), check)
    assert "num_remote_retries" not in metrics


@pytest.mark.parametrize("handling", [{}, {"timeout_secs": 30}])
def test_metrics_count_requests_and_retries_whichever_thread_makes_them(remote, handling):
    remote.is_away = lambda request_count: request_count in (2, 3)
    rows = [Number(key, float(key)) for key in range(40)]

    def check(results):
        doubled = [(key, 2.0 * key) for key in range(40)]
        assert_that(results["output"] | beam.Map(lambda row: (row.key, row.y)), equal_to(doubled))

    metrics = run(rows, remote.config(error_handling={"output": "errors", **handling}), check)
    assert remote.request_count == 6
    assert metrics["num_batches"] == 4
    assert (metrics["num_remote_requests"], metrics["num_remote_retries"]) == (6, 2)
    assert metrics["remote_request_milli_secs"].count == 6
