# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models on endpoints of Vertex AI; the server is a real one on loopback that speaks its REST interface."""

import email.utils
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import VertexAiModel
from expansion.errors import BadRows, RemoteError, SystemicError
from expansion.models import vertex_ai
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged
from expansion.transforms.isolation import isolate

sys.path.insert(0, str(Path(__file__).parent))
from vertex_ai_server import ENDPOINT, Failure, TokenServer, VertexAiServer

pytestmark = pytest.mark.runner

X = {"name": "x", "datatype": "FP32", "shape": [2]}
Y = {"name": "y", "datatype": "FP32", "shape": [2]}
TOKEN_FILE = "/run/token"  # noqa: S105 - where it is
QUICK = {"backoff_secs": 0.05, "timeout_secs": 5}


def echo(body):
    """Returns the inputs, under the names that the outputs of tests have."""
    return [
        {f"y{name[1:]}": value for name, value in instance.items()} if isinstance(instance, dict) else instance
        for instance in body["instances"]
    ]


def failing(*failures):
    """Fails with each of these, then echoes."""
    left = list(failures)

    def predict(body):
        if left:
            raise left.pop(0)
        return echo(body)

    return predict


@pytest.fixture
def serve():
    """Starts servers, and stops them after the test."""
    servers = []

    def serve(predict=echo, **options):
        servers.append(VertexAiServer(predict, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


def config(server, inputs=(X,), outputs=(Y,), calls=None, **more):
    address = {"api_endpoint": server if isinstance(server, str) else server.address}
    return VertexAiModel(
        uri=ENDPOINT, inputs=inputs, outputs=outputs, calls={**QUICK, **(calls or {})}, **{**address, **more}
    )


def matrix(rows):
    return Dense(np.arange(2 * rows, dtype=np.float32).reshape(rows, 2))


def run(model, column, output="y"):
    return model.run({"x": Columns({"x": column}, len(column))}, [output])[output]


def whole(model):
    return lambda columns: Columns(model.run({"x": columns}, ["y"]), columns.row_count)


def test_problems_of_the_message_are_reported_at_once():
    wrong = VertexAiModel(
        uri="projects/p/endpoints/e",
        inputs=[X, {**X, "name": "z"}],
        instance_format="value",
        parameters={"k": "five"},
        api_endpoint="http://example.com",
        calls={"timeout_secs": -1},
    )
    assert [problem.path for problem in vertex_ai.check(wrong)] == [
        "uri",
        "outputs",
        "calls.timeout_secs",
        "parameters.k",
        "instance_format",
        "api_endpoint",
    ]
    (problem,) = vertex_ai.check(config("", instance_format="objekt"))
    assert problem.message == "got 'objekt'; did you mean 'object'?"


@pytest.mark.parametrize("address", ["", "a.googleapis.com", "1.us-1-2.prediction.vertexai.goog", "10.0.0.5:8443"])
def test_an_endpoint_is_at_its_locations_address_or_at_another(address):
    assert list(vertex_ai.check(config(address))) == []
    assert list(vertex_ai.permissions(config(address))) == []


@pytest.mark.parametrize("address", ["http://10.0.0.5", "ftp://a.googleapis.com", "a.b/c", "user@a.b", "a b"])
def test_nothing_is_sent_in_clear_to_other_machines_nor_to_what_is_no_address(address):
    (problem,) = vertex_ai.check(config(address))
    assert problem.path == "api_endpoint"
    assert problem.message.startswith(f"got {address!r}; expected HOST or HOST:PORT")


@pytest.mark.parametrize("address", ["example.com", "googleapis.com.example.com", "evilgoogleapis.com"])
def test_tokens_are_not_sent_to_addresses_that_are_not_googles(address):
    (problem,) = vertex_ai.check(config(address, token_file=TOKEN_FILE))
    assert problem.path == "token_file"
    assert "a token is not sent to https://" in problem.message


@pytest.mark.parametrize("address", ["", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"])
def test_tokens_are_sent_to_google_and_to_the_workers_own_machine(address):
    assert list(vertex_ai.check(config(address, token_file=TOKEN_FILE))) == []


def test_the_signature_is_what_is_declared_and_nothing_is_called(serve):
    server = serve()
    signature = vertex_ai.signature(config(server))
    assert [str(field) for field in (signature.inputs["x"], signature.outputs["y"])] == ["FP32[2]", "FP32[2]"]
    assert server.requests == []


def test_rows_are_objects_with_a_member_for_each_input_and_so_are_predictions(serve):
    server = serve()
    fields = {"1": ("INT32", []), "2": ("FP64", [1, 2]), "3": ("STRING", []), "4": ("BOOL", []), "5": ("BYTES", [2])}
    inputs, outputs = (
        [{"name": letter + key, "datatype": datatype, "shape": shape} for key, (datatype, shape) in fields.items()]
        for letter in "xy"
    )
    columns = {
        "x1": Dense(np.array([7, -8], np.int32)),
        "x2": Dense(np.array([[[0.1, 1e300]], [[-2.5, 0]]])),
        "x3": Blobs.of("STRING", ['é"', ""], 2),
        "x4": Dense(np.array([True, False])),
        "x5": Blobs.of("BYTES", [b"\0\xff", b"", b"a", b"b"], 2, (2,)),
    }
    model = vertex_ai.build(config(server, inputs, outputs, parameters={"k": "5"}))
    results = model.run(
        {name: Columns({name: column}, 2) for name, column in columns.items()}, [f"y{k}" for k in fields]
    )
    assert server.requests[0] == {
        "instances": [
            {"x1": 7, "x2": [[0.1, 1e300]], "x3": 'é"', "x4": True, "x5": [{"b64": "AP8="}, {"b64": ""}]},
            {"x1": -8, "x2": [[-2.5, 0.0]], "x3": "", "x4": False, "x5": [{"b64": "YQ=="}, {"b64": "Yg=="}]},
        ],
        "parameters": {"k": 5},
    }
    for key, (datatype, shape) in fields.items():
        result = results[f"y{key}"]
        assert (result.datatype, list(result.shape)) == (datatype, shape)
        assert result.to_rows() == columns[f"x{key}"].to_rows()


def test_rows_are_bare_values_where_the_settings_say_so(serve):
    server = serve()
    model = vertex_ai.build(config(server, instance_format="value"))
    assert run(model, matrix(2)).values.tolist() == [[0, 1], [2, 3]]
    assert server.requests == [{"instances": [[0, 1], [2, 3]]}]


def test_a_bare_prediction_is_the_only_output(serve):
    server = serve(lambda body: [{"b64": "YQ=="} for _ in body["instances"]])
    model = vertex_ai.build(config(server, outputs=[{"name": "y", "datatype": "BYTES"}]))
    assert run(model, matrix(1)).to_list() == [b"a"]


def test_whole_numbers_may_be_written_as_doubles(serve):
    server = serve(lambda body: [3.0, -1.0])
    model = vertex_ai.build(config(server, outputs=[{"name": "y", "datatype": "INT64"}]))
    assert run(model, matrix(2)).values.tolist() == [3, -1]


def test_predictions_of_a_size_that_varies_may_differ_in_it(serve):
    server = serve(lambda body: [[1, 2.5], [3]])
    model = vertex_ai.build(config(server, outputs=[{"name": "y", "datatype": "FP32", "shape": [-1]}]))
    result = run(model, matrix(2))
    assert isinstance(result, Ragged)
    assert result.to_rows() == [[1.0, 2.5], [3.0]]


@pytest.mark.parametrize(
    ("values", "datatype", "bad"),
    [
        ([[1, np.nan], [1, 2], [np.inf, 1]], "FP32", [0, 2]),
        ([[1, 2], [2**53 + 1, 0], [-(2**53), 2**53]], "INT64", [1]),
    ],
)
def test_numbers_that_json_does_not_hold_are_row_errors(serve, values, datatype, bad):
    server = serve()
    model = vertex_ai.build(config(server, inputs=[{**X, "datatype": datatype}]))
    with pytest.raises(BadRows) as raised:
        run(model, Dense(np.array(values).astype(np.float32 if datatype == "FP32" else np.int64)))
    assert list(raised.value.messages) == bad
    assert server.requests == []


def test_requests_have_as_many_rows_as_the_settings_say(serve):
    server = serve()
    model = vertex_ai.build(config(server, calls={"max_rows_per_request": 4}))
    np.testing.assert_array_equal(run(model, matrix(10)).values, matrix(10).values)
    assert [len(body["instances"]) for body in server.requests] == [4, 4, 2]


@pytest.mark.parametrize(
    "failure",
    [
        Failure(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 1572864 bytes."),
        Failure(400, "INVALID_ARGUMENT", "Response size too large. Received at least 3288694 bytes; max is 2000000."),
        Failure(413, "", "<html>Request Entity Too Large</html>"),
    ],
)
def test_requests_and_answers_that_are_too_large_for_the_server_become_smaller(serve, failure):
    def predict(body):
        if len(body["instances"]) > 3:
            raise failure
        return echo(body)

    server = serve(predict)
    np.testing.assert_array_equal(run(vertex_ai.build(config(server)), matrix(8)).values, matrix(8).values)
    assert [len(body["instances"]) for body in server.requests] == [8, 4, 2, 2, 2, 2]


def test_the_row_that_the_endpoint_does_not_take_is_found(serve):
    def predict(body):
        if any(7 in instance["x"] for instance in body["instances"]):
            raise Failure(400, "INVALID_ARGUMENT", "seven is unlucky")
        return echo(body)

    server = serve(predict)
    found = isolate(whole(vertex_ai.build(config(server))), Columns({"x": matrix(8)}, 8))
    assert found.columns.row_count == 7
    assert found.errors == {3: ("ValueError", "HTTP 400 INVALID_ARGUMENT: seven is unlucky")}
    assert len(server.requests) == 7  # nothing was tried twice


@pytest.mark.parametrize(
    "failure",
    [
        Failure(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Online prediction requests'"),
        Failure(503, "UNAVAILABLE", "The service is currently unavailable."),
        Failure(504, "DEADLINE_EXCEEDED", "Timed out."),
        Failure(502, "", "<html>Bad Gateway</html>"),
        Failure(499, "CANCELLED", "The operation was cancelled."),
    ],
)
def test_what_may_pass_is_tried_again(serve, failure):
    server = serve(failing(failure, failure))
    np.testing.assert_array_equal(run(vertex_ai.build(config(server)), matrix(3)).values, matrix(3).values)
    assert len(server.requests) == 3


def test_a_dead_endpoint_is_asked_three_times_a_batch(serve):
    server = serve(failing(*[Failure(503, "UNAVAILABLE", "dead")] * 99))
    with pytest.raises(SystemicError, match=r":predict|/endpoints/42 failed 3 time\(s\), the last time with: HTTP 503"):
        isolate(whole(vertex_ai.build(config(server))), Columns({"x": matrix(64)}, 64))
    assert len(server.requests) == 3


def test_an_endpoint_that_is_gone_is_called_three_times(serve):
    server = serve()
    model = vertex_ai.build(config(server))
    server.stop()
    with pytest.raises(SystemicError, match=r"failed 3 time\(s\), the last time with: ConnectionError: .*refused"):
        run(model, matrix(2))


def test_an_endpoint_that_comes_back_goes_on(serve):
    server = serve()
    model = vertex_ai.build(config(server, calls={"backoff_secs": 1.5}))
    run(model, matrix(2))
    port = server.server_address[1]
    server.stop()
    with ThreadPoolExecutor(1) as thread:
        back = thread.submit(lambda: (time.sleep(0.6), serve(port=port)))
        np.testing.assert_array_equal(run(model, matrix(3)).values, matrix(3).values)
        back.result()


def test_an_endpoint_that_does_not_answer_in_time_is_asked_again(serve):
    def predict(body):
        if len(server.requests) == 1:
            time.sleep(6)
        return echo(body)

    server = serve(predict)
    run(vertex_ai.build(config(server, calls={"timeout_secs": 2})), matrix(2))
    assert len(server.requests) == 2


@pytest.mark.parametrize("form", ["seconds", "date", "info"])
def test_an_endpoint_that_says_when_to_come_back_is_obeyed(serve, form):
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.1s"}
    further = {
        "seconds": lambda: {"headers": {"Retry-After": "1"}},
        "date": lambda: {"headers": {"Retry-After": email.utils.formatdate(time.time() + 2.5, usegmt=True)}},
        "info": lambda: {"details": [info]},
    }

    def predict(body):
        if len(server.requests) == 1:
            raise Failure(429, "RESOURCE_EXHAUSTED", "quota", **further[form]())
        return echo(body)

    server = serve(predict)
    run(vertex_ai.build(config(server)), matrix(2))
    first, second = server.times
    assert 1.0 <= second - first < 4


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Failure(401, "UNAUTHENTICATED", "Request is missing required credential."), "see to the credentials"),
        (Failure(403, "PERMISSION_DENIED", "Permission denied on resource"), "see to the credentials"),
        (Failure(404, "NOT_FOUND", "The Endpoint does not exist."), "HTTP 404 NOT_FOUND: The Endpoint does not exist."),
        (Failure(400, "FAILED_PRECONDITION", "Endpoint has no deployed model."), "has no deployed model"),
        (Failure(302, "", "elsewhere", headers={"Location": "http://127.0.0.1:1/"}), "HTTP 302: elsewhere"),
    ],
)
def test_an_endpoint_that_refuses_everything_is_asked_once(serve, failure, message):
    server = serve(failing(failure))
    with pytest.raises(SystemicError, match=re.escape(message)):
        run(vertex_ai.build(config(server)), matrix(8))
    assert len(server.requests) == 1


def test_an_endpoint_that_fails_by_itself_may_have_a_bad_row_or_be_broken(serve):
    server = serve(failing(*[Failure(500, "INTERNAL", "broken")] * 99))
    with pytest.raises(RemoteError, match="HTTP 500 INTERNAL: broken"):
        isolate(whole(vertex_ai.build(config(server))), Columns({"x": matrix(64)}, 64))
    assert len(server.requests) < 12  # three rows that fail alike are enough


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "0 predictions for 2 rows"),
        (None, "for 2 rows; expected one prediction for each"),
        ([{"z": 1}, {"z": 2}], "a prediction has no 'y': got {'z': 1}"),
        ([[1, 2, 3], [4, 5, 6]], "it is declared as FP32[2]"),
        (["a", "b"], "declared as FP32[2]"),
    ],
)
def test_predictions_that_are_not_what_is_declared_fail_the_batch(serve, predictions, message):
    model = vertex_ai.build(config(serve(lambda body: predictions)))
    with pytest.raises(SystemicError, match=re.escape(message)):
        run(model, matrix(2))


def test_a_prediction_that_is_null_is_a_row_error(serve):
    model = vertex_ai.build(config(serve(lambda body: [None])))
    with pytest.raises(ValueError, match="output 'y' is None"):
        run(model, matrix(1))


def test_a_token_is_read_from_its_file_for_every_request(serve, tmp_path):
    server, token = serve(), tmp_path / "token"
    token.write_text("first\n")
    model = vertex_ai.build(config(server, token_file=str(token)))
    run(model, matrix(1))
    token.write_text("second")
    run(model, matrix(1))
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer first", "Bearer second"]
    token.unlink()
    with pytest.raises(SystemicError, match="can't read token_file on this worker"):
        run(model, matrix(1))


def test_without_a_token_the_workers_own_machine_is_called_without_credentials(serve):
    server = serve()
    run(vertex_ai.build(config(server)), matrix(1))
    assert "Authorization" not in server.headers[0]


def test_google_is_called_over_tls_with_the_credentials_that_google_auth_finds(
    serve, certificate, service_account, monkeypatch
):
    """They are those of a service account, whose token comes from a token server on loopback."""
    server = serve(certificate=certificate)
    tokens = TokenServer()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tokens.address)))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[1]))
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **options: resolve("127.0.0.1" if "googleapis" in str(host) else host, *more, **options),
    )
    address = f"test-aiplatform.googleapis.com:{server.server_address[1]}"
    model = vertex_ai.build(config(address))
    for _ in range(2):
        np.testing.assert_array_equal(run(model, matrix(3)).values, matrix(3).values)
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer from-google"] * 2
    assert len(tokens.requests) == 1
    tokens.stop()


def test_an_endpoint_of_google_without_credentials_does_not_load(monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(SystemicError, match=r"no credentials for Vertex AI: File .*none\.json was not found"):
        vertex_ai.build(config(""))


def test_several_threads_call_at_once(serve):
    two = threading.Barrier(2, timeout=60)
    server = serve(lambda body: (two.wait(), echo(body))[1])
    model = vertex_ai.build(config(server))
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda rows: run(model, matrix(rows)).values, range(1, 9)):
            np.testing.assert_array_equal(result, matrix(len(result)).values)
