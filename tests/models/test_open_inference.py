# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models on a server of the Open Inference Protocol; the server is a real one on loopback."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.any_pb2 import Any

from expansion.contract._gen.model_pb2 import OpenInferenceModel
from expansion.contract._gen.open_inference_pb2 import (
    ErrorStatus,
    ModelInferResponse,
    ModelMetadataResponse,
    RetryInfo,
)
from expansion.contract.fields import NUMPY_DTYPES
from expansion.errors import RemoteError, SystemicError
from expansion.models import open_inference
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.transforms.isolation import isolate

sys.path.insert(0, str(Path(__file__).parent))
from open_inference_server import CODE, Failure, OpenInferenceServer

pytestmark = pytest.mark.runner

X = {"name": "x", "datatype": "FP32", "shape": [2]}
Y = {"name": "y", "datatype": "FP32", "shape": [2]}
QUICK = {"backoff_secs": 0.05, "timeout_secs": 5}


def echo(request):
    """Returns the inputs, under the names of the outputs that are wanted, in order."""
    response = ModelInferResponse(raw_output_contents=request.raw_input_contents)
    for wanted, tensor in zip(request.outputs, request.inputs, strict=True):
        response.outputs.add(name=wanted.name, datatype=tensor.datatype, shape=tensor.shape)
    return response


def failing(*failures):
    """Fails with each of these, then echoes."""
    left = list(failures)

    def infer(request):
        if left:
            raise left.pop(0)
        return echo(request)

    return infer


@pytest.fixture
def serve():
    """Starts servers, and stops them after the test."""
    servers = []

    def serve(infer=echo, **options):
        servers.append(OpenInferenceServer(infer, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


def config(uri, inputs=(X,), outputs=(Y,), **calls):
    return OpenInferenceModel(uri=uri, inputs=inputs, outputs=outputs, calls={**QUICK, **calls})


def matrix(rows):
    return Dense(np.arange(2 * rows, dtype=np.float32).reshape(rows, 2))


def run(model, column, output="y"):
    return model.run({"x": Columns({"x": column}, len(column))}, [output])[output]


def metadata(name, datatype, shape):
    return ModelMetadataResponse.TensorMetadata(name=name, datatype=datatype, shape=shape)


def test_problems_of_the_message_are_reported_at_once():
    wrong = OpenInferenceModel(uri="http://host:1/m", outputs=[{"name": "y", "datatype": "FLOAT"}])
    wrong.calls.max_attempts = -1
    assert [problem.path for problem in open_inference.check(wrong)] == [
        "uri",
        "inputs",
        "outputs[0].datatype",
        "calls.max_attempts",
    ]


@pytest.mark.parametrize(
    "uri", ["grpc://host:8001/m", "grpcs://a.b-c.d:443/m", "grpc://[::1]:1/my%20model", "grpc://h:1/m/versions/3"]
)
def test_these_are_addresses_of_models(uri):
    assert list(open_inference.check(config(uri))) == []


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "grpc://host/m",
        "grpc://host:8001",
        "grpc://host:8001/",
        "grpc://host:99999/m",
        "grpc://host:8001/m/versions/",
        "grpc://host:8001/m/infer",
        "grpc://user@host:8001/m",
        "host:8001/m",
    ],
)
def test_these_are_not(uri):
    (problem,) = open_inference.check(config(uri))
    assert problem.path == "uri"
    assert "expected grpc://HOST:PORT/MODEL" in problem.message


def test_the_signature_is_what_is_declared_and_the_server_is_not_called(serve):
    server = serve()
    signature = open_inference.signature(config(server.uri()))
    assert [str(field) for field in (signature.inputs["x"], signature.outputs["y"])] == ["FP32[2]", "FP32[2]"]
    assert list(open_inference.permissions(config(server.uri()))) == []
    assert server.requests == server.asked == []


def test_a_batch_is_one_request_for_the_model_and_the_version_of_the_uri(serve):
    server = serve()
    model = open_inference.build(config(server.uri("digits/versions/3")))
    np.testing.assert_array_equal(run(model, matrix(5)).values, matrix(5).values)
    (request,) = server.requests
    assert (request.model_name, request.model_version) == ("digits", "3")
    assert [(each.name, each.datatype, list(each.shape)) for each in request.inputs] == [("x", "FP32", [5, 2])]
    assert [each.name for each in request.outputs] == ["y"]
    assert [(each.name, each.version) for each in server.asked] == [("digits", "3")]


# The protocol has FP16 as raw contents only.
@pytest.mark.parametrize(
    ("datatype", "is_raw"),
    [(datatype, is_raw) for datatype in NUMPY_DTYPES for is_raw in (True, False) if is_raw or datatype != "FP16"],
)
def test_every_number_goes_there_and_comes_back_as_it_is(serve, datatype, is_raw):
    dtype = NUMPY_DTYPES[datatype]
    values = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    if dtype.kind in "iu":
        values[1] = np.iinfo(dtype).min, np.iinfo(dtype).max
    elif dtype.kind == "f":
        values[1] = np.nan, np.finfo(dtype).max

    def typed(request):
        kind = {"BOOL": "bool", "FP32": "fp32", "FP64": "fp64", "INT64": "int64", "UINT64": "uint64"}
        field = kind.get(datatype, "uint" if datatype.startswith("UINT") else "int") + "_contents"
        elements = np.frombuffer(request.raw_input_contents[0], dtype).tolist()
        output = {"name": "y", "datatype": datatype, "shape": [3, 2], "contents": {field: elements}}
        return ModelInferResponse(outputs=[output])

    server = serve(echo if is_raw else typed)
    field = {"datatype": datatype, "shape": [2]}
    model = open_inference.build(config(server.uri(), [{"name": "x", **field}], [{"name": "y", **field}]))
    result = run(model, Dense(values))
    assert result.datatype == datatype
    np.testing.assert_array_equal(result.values, values)


@pytest.mark.parametrize("datatype", ["STRING", "BYTES"])
@pytest.mark.parametrize("is_raw", [True, False])
def test_texts_and_bytes_go_there_and_come_back_as_they_are(serve, datatype, is_raw):
    texts = ["", "é\0ü", "a" * 70_000, "x", "", "日本"]

    def typed(request):
        output = {"name": "y", "datatype": "BYTES", "shape": [3, 2]}
        output["contents"] = {"bytes_contents": [text.encode() for text in texts]}
        return ModelInferResponse(outputs=[output])

    server = serve(echo if is_raw else typed)
    field = {"datatype": datatype, "shape": [2]}
    model = open_inference.build(config(server.uri(), [{"name": "x", **field}], [{"name": "y", **field}]))
    # A slice, whose buffers begin before it.
    column = Blobs.of(datatype, ["before", "it", *texts, "and", "behind"], 5, (2,)).slice(1, 4)
    result = run(model, column)
    assert result.datatype == datatype
    assert result.to_list() == (texts if datatype == "STRING" else [text.encode() for text in texts])
    assert server.requests[0].inputs[0].datatype == "BYTES"


def test_no_texts_but_empty_ones_are_texts_too(serve):
    field = {"datatype": "STRING"}
    model = open_inference.build(config(serve().uri(), [{"name": "x", **field}], [{"name": "y", **field}]))
    assert run(model, Blobs.of("STRING", ["", ""], 2)).to_list() == ["", ""]


def test_columns_are_joined_and_converted_for_an_input(serve):
    server = serve()
    model = open_inference.build(config(server.uri()))
    columns = Columns({"a": Dense(np.array([1, 2])), "b": Dense(np.array([0.5, 0.25]))}, 2)
    assert model.run({"x": columns}, ["y"])["y"].values.tolist() == [[1, 0.5], [2, 0.25]]


def test_only_outputs_that_are_kept_are_asked_for(serve):
    server = serve()
    model = open_inference.build(config(server.uri(), outputs=[Y, {**Y, "name": "z"}]))
    assert list(model.run({"x": Columns({"x": matrix(2)}, 2)}, ["z"])) == ["z"]
    assert [each.name for each in server.requests[0].outputs] == ["z"]


@pytest.mark.parametrize(("declared", "returned"), [([], [3, 1]), ([1], [3])])
def test_one_number_a_row_may_be_a_vector_of_one(serve, declared, returned):
    values = np.array([1, 2, 3], np.int64)

    def infer(request):
        output = {"name": "y", "datatype": "INT64", "shape": returned}
        return ModelInferResponse(outputs=[output], raw_output_contents=[values.tobytes()])

    field = {"name": "y", "datatype": "INT64", "shape": declared}
    result = run(open_inference.build(config(serve(infer).uri(), outputs=[field])), matrix(3))
    assert result.values.tolist() == values.reshape(3, *declared).tolist()


def test_numbers_of_another_datatype_are_converted_where_that_loses_nothing(serve):
    def infer(request):
        output = {"name": "y", "datatype": "INT32", "shape": [2]}
        return ModelInferResponse(outputs=[output], raw_output_contents=[np.array([1, 2], np.int32).tobytes()])

    server = serve(infer)
    field = {"name": "y", "shape": []}
    model = open_inference.build(config(server.uri(), outputs=[{**field, "datatype": "FP32"}]))
    assert run(model, matrix(2)).values.tolist() == [1.0, 2.0]


def test_requests_have_as_many_rows_as_the_settings_say(serve):
    server = serve()
    result = run(open_inference.build(config(server.uri(), max_rows_per_request=4)), matrix(10))
    np.testing.assert_array_equal(result.values, matrix(10).values)
    assert [request.inputs[0].shape[0] for request in server.requests] == [4, 4, 2]


def test_a_model_for_batches_of_one_row_gets_one_at_a_time(serve):
    server = serve(inputs=[metadata("x", "FP32", [1, 2])])
    np.testing.assert_array_equal(run(open_inference.build(config(server.uri())), matrix(3)).values, matrix(3).values)
    assert len(server.requests) == 3


@pytest.mark.parametrize("limit", ["grpc.max_receive_message_length", "grpc.max_send_message_length"])
def test_requests_and_answers_that_are_too_large_for_the_server_become_smaller(serve, limit):
    server = serve(**{limit: 1000})
    model = open_inference.build(config(server.uri()))
    for _ in range(2):
        np.testing.assert_array_equal(run(model, matrix(500)).values, matrix(500).values)
    sizes = [request.inputs[0].shape[0] for request in server.requests]
    assert sum(size for size in sizes if size <= 62) >= 1000
    assert sizes.count(500) <= 1  # the size that is too large is remembered


def test_more_than_grpc_takes_by_itself_goes_through(serve):
    server = serve(**{"grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1})
    values = np.random.default_rng(1).random((9, 1 << 17))  # 9 MiB; gRPC's own limit is 4
    field = {"datatype": "FP64", "shape": [1 << 17]}
    model = open_inference.build(config(server.uri(), [{"name": "x", **field}], [{"name": "y", **field}]))
    np.testing.assert_array_equal(run(model, Dense(values)).values, values)
    assert len(server.requests) == 1


def test_the_row_that_the_server_does_not_take_is_found(serve):
    def infer(request):
        if 7.0 in np.frombuffer(request.raw_input_contents[0], np.float32):
            raise Failure(CODE.INVALID_ARGUMENT, "seven is unlucky")
        return echo(request)

    server = serve(infer)
    model = open_inference.build(config(server.uri()))
    found = isolate(
        lambda columns: Columns(model.run({"x": columns}, ["y"]), columns.row_count), Columns({"x": matrix(8)}, 8)
    )
    assert found.columns.row_count == 7
    assert found.errors == {3: ("ValueError", "INVALID_ARGUMENT: seven is unlucky")}
    assert len(server.requests) == 7  # nothing was tried twice


@pytest.mark.parametrize(
    "failure",
    [
        Failure(CODE.UNAVAILABLE, "draining"),
        Failure(CODE.RESOURCE_EXHAUSTED, "too many requests"),
        Failure(CODE.ABORTED),
        Failure(CODE.CANCELLED),
        Failure(CODE.NOT_FOUND, "Model model not found"),
        Failure(CODE.INVALID_ARGUMENT, "Model model is not ready yet."),
        Failure(CODE.INTERNAL, "Received RST_STREAM with error code 2"),
    ],
)
def test_what_may_pass_is_tried_again(serve, failure):
    server = serve(failing(failure, failure))
    np.testing.assert_array_equal(run(open_inference.build(config(server.uri())), matrix(3)).values, matrix(3).values)
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED])
def test_a_dead_server_is_asked_three_times_a_batch(serve, code):
    server = serve(failing(*[Failure(code, "dead")] * 99))
    model = open_inference.build(config(server.uri()))
    with pytest.raises(
        SystemicError, match=rf"{server.uri()} failed 3 time\(s\), the last time with: {code.name}: dead"
    ):
        isolate(lambda columns: run(model, columns["x"]), Columns({"x": matrix(64)}, 64))
    assert len(server.requests) == 3


def test_a_server_that_does_not_answer_in_time_is_asked_again(serve):
    def infer(request):
        if len(server.requests) == 1:
            time.sleep(6)
        return echo(request)

    server = serve(infer)
    run(open_inference.build(config(server.uri(), timeout_secs=2)), matrix(2))
    assert len(server.requests) == 2


def test_a_server_that_comes_back_within_an_attempt_goes_on(serve):
    server = serve()
    model = open_inference.build(config(server.uri(), max_attempts=2))
    run(model, matrix(2))
    server.stop()
    back = threading.Timer(1.5, lambda: serve(port=server.port))
    back.start()
    start = time.monotonic()
    np.testing.assert_array_equal(run(model, matrix(3)).values, matrix(3).values)
    assert time.monotonic() - start > 1.4
    back.join()


def test_a_server_that_is_gone_costs_so_many_attempts_and_no_more(serve):
    server = serve()
    model = open_inference.build(config(server.uri(), timeout_secs=0.3))
    server.stop()
    start = time.monotonic()
    with pytest.raises(SystemicError, match=r"failed 3 time\(s\)"):
        run(model, matrix(2))
    assert time.monotonic() - start > 0.6


def test_a_server_that_says_when_to_come_back_is_obeyed(serve):
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(700)
    detail = Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=info.SerializeToString())
    status = (("grpc-status-details-bin", ErrorStatus(details=[detail]).SerializeToString()),)
    server = serve(failing(Failure(CODE.RESOURCE_EXHAUSTED, "quota", status)))
    start = time.monotonic()
    run(open_inference.build(config(server.uri())), matrix(2))
    assert time.monotonic() - start >= 0.7


@pytest.mark.parametrize("code", [CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED, CODE.UNIMPLEMENTED])
def test_a_server_that_refuses_everything_is_asked_once(serve, code):
    server = serve(failing(Failure(code, "no")))
    with pytest.raises(SystemicError, match=f"the server refuses: {code.name}: no"):
        run(open_inference.build(config(server.uri())), matrix(8))
    assert len(server.requests) == 1


def test_a_server_that_fails_by_itself_may_have_a_bad_row_or_be_broken(serve):
    def infer(request):
        if np.isnan(np.frombuffer(request.raw_input_contents[0], np.float32)).any():
            raise ValueError("NaN")  # gRPC makes UNKNOWN of it
        return echo(request)

    def whole(model):
        return lambda columns: Columns(model.run({"x": columns}, ["y"]), columns.row_count)

    values = matrix(8).values.copy()
    values[6, 0] = np.nan
    server = serve(infer)
    found = isolate(whole(open_inference.build(config(server.uri()))), Columns({"x": Dense(values)}, 8))
    assert list(found.errors) == [6]
    assert found.errors[6].error_type == "RemoteError"

    server = serve(failing(*[Failure(CODE.INTERNAL, "broken")] * 99))
    with pytest.raises(RemoteError, match="INTERNAL: broken"):
        isolate(whole(open_inference.build(config(server.uri()))), Columns({"x": matrix(64)}, 64))
    assert len(server.requests) < 12  # three rows that fail alike are enough


def test_what_the_server_says_of_the_model_is_compared_with_what_is_declared(serve):
    server = serve(
        inputs=[metadata("x", "FP64", [-1, 2]), metadata("b", "FP32", [8, 2]), metadata("c", "INT32", [-1])],
        outputs=[metadata("scores", "FP32", [-1, 3])],
    )
    declared = config(server.uri(), [X, {**X, "name": "b"}], [{**Y, "name": "score"}])
    with pytest.raises(SystemicError) as raised:
        open_inference.build(declared)
    message = str(raised.value)
    assert "'x' is FP64[-1, 2] with the batch, and is declared as FP32[2] without it" in message
    assert "'b' is for batches of exactly 8 rows" in message
    assert "it returns no 'score'; did you mean 'scores'?" in message
    assert server.requests == []


@pytest.mark.parametrize("shape", [[-1, 2], [-1, -1], []])
def test_shapes_that_vary_or_are_not_known_fit(serve, shape):
    server = serve(inputs=[metadata("x", "FP32", shape)], outputs=[metadata("y", "FP32", [-1, 2])])
    run(open_inference.build(config(server.uri())), matrix(2))


def test_a_server_that_does_not_describe_its_models_is_taken_at_the_users_word(serve):
    server = serve()
    server.describe = failing(Failure(CODE.UNIMPLEMENTED))
    run(open_inference.build(config(server.uri())), matrix(2))


@pytest.mark.parametrize(
    ("code", "attempts"),
    [(CODE.NOT_FOUND, 3), (CODE.UNAUTHENTICATED, 1), (CODE.INTERNAL, 1), (CODE.INVALID_ARGUMENT, 1)],
)
def test_a_model_that_is_not_there_does_not_load(serve, code, attempts):
    server = serve()
    server.describe = failing(*[Failure(code, "no such model")] * 99)
    with pytest.raises(SystemicError, match="no such model"):
        open_inference.build(config(server.uri()))
    assert len(server.asked) == attempts


def answer(outputs, raw=()):
    return lambda request: ModelInferResponse(outputs=outputs, raw_output_contents=raw)


@pytest.mark.parametrize(
    ("infer", "message"),
    [
        (answer([]), "the server returned no output 'y', but []"),
        (answer([{"name": "y", "datatype": "FP32", "shape": [1, 2]}], [b"\0" * 8]), r"FP32[1, 2] for 2 rows"),
        (answer([{"name": "y", "datatype": "FP32", "shape": [2, 3]}], [b"\0" * 24]), "it is declared as FP32[2]"),
        (answer([{"name": "y", "datatype": "BYTES", "shape": [2, 2]}], [b"\0" * 16]), "it is declared as FP32[2]"),
        (answer([{"name": "y", "datatype": "BF16", "shape": [2, 2]}], [b"\0" * 8]), "is BF16[2, 2]"),
        (answer([{"name": "y", "datatype": "FP32", "shape": [2, 2]}], [b"\0" * 15]), "has 15 bytes for 4 elements"),
        (answer([{"name": "y", "datatype": "FP32", "shape": [2, 2]}]), "has 0 elements"),
        (answer([{"name": "y", "datatype": "FP32", "shape": [2, 2]}], [b"", b""]), "1 outputs and 2 raw contents"),
    ],
)
def test_an_answer_that_is_not_what_is_declared_fails_the_batch(serve, infer, message):
    model = open_inference.build(config(serve(infer).uri()))
    with pytest.raises(SystemicError) as raised:
        run(model, matrix(2))
    assert message in str(raised.value)


@pytest.mark.parametrize("raw", [b"\1\0\0\0", b"\1\0\0", b"\5\0\0\0four"])
def test_texts_that_are_cut_off_fail_the_batch(serve, raw):
    server = serve(answer([{"name": "y", "datatype": "BYTES", "shape": [1]}], [raw]))
    model = open_inference.build(config(server.uri(), outputs=[{"name": "y", "datatype": "STRING"}]))
    with pytest.raises(SystemicError, match="'y' is cut off"):
        run(model, matrix(1))


def test_a_text_that_is_no_utf8_is_a_row_error(serve):
    server = serve(answer([{"name": "y", "datatype": "BYTES", "shape": [1]}], [b"\1\0\0\0\xff"]))
    model = open_inference.build(config(server.uri(), outputs=[{"name": "y", "datatype": "STRING"}]))
    with pytest.raises(ValueError, match="UTF8"):
        run(model, matrix(1))


def test_several_threads_call_at_once(serve):
    two = threading.Barrier(2, timeout=60)
    server = serve(lambda request: (two.wait(), echo(request))[1])
    model = open_inference.build(config(server.uri()))
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda rows: run(model, matrix(rows)).values, range(1, 9)):
            np.testing.assert_array_equal(result, matrix(len(result)).values)


def test_tls_needs_a_server_that_is_trusted(serve, certificate, monkeypatch):
    key, chain = (path.read_bytes() for path in certificate)
    server = serve(credentials=grpc.ssl_server_credentials([(key, chain)]))
    secure = config(f"grpcs://localhost:{server.port}/model", timeout_secs=2, max_attempts=1)
    with pytest.raises(SystemicError):
        open_inference.build(secure)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    run(open_inference.build(secure), matrix(2))
