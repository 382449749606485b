# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import io
import json
import logging
import re
import signal
from collections.abc import Iterator

import grpc
import pytest
from apache_beam.portability.api import beam_expansion_api_pb2_grpc

from expansion.service import calls, environments
from expansion.service.calls import Call
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.logs import JsonFormatter, TextFormatter, on_one_line
from expansion.service.server import ExpansionServer

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
INJECTED = "x\r\n2026-01-01 00:00:00,000 INFO expansion: all is well\x1b[2J\x00\u2028\u202e\x85"


@pytest.fixture(params=[TextFormatter("%(levelname)s %(name)s: %(message)s"), JsonFormatter()], ids=["text", "json"])
def log(request) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(request.param)
    logger = logging.getLogger("expansion.test")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger, written
    logger.removeHandler(handler)


def test_whatever_a_message_holds_a_record_is_one_line_of_printable_characters(log):
    logger, written = log
    logger.info("got %s", INJECTED)
    [line] = written.getvalue().splitlines()
    assert line.isprintable()


def test_no_line_of_a_traceback_can_be_taken_for_a_record(log):
    logger, written = log
    try:
        raise ValueError(INJECTED)
    except ValueError:
        logger.exception("it failed")
    lines = written.getvalue().split("\n")[:-1]
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines[1:] if not line.startswith("  | ")] == []
    assert "ValueError" in written.getvalue()


@pytest.mark.parametrize(
    "secret", ["https://user:hunter22@host/m", "Bearer hunter22", "?sig=hunter22", "HF_TOKEN=hunter22"]
)
def test_secrets_are_hidden_in_messages_and_tracebacks(log, secret):
    logger, written = log
    try:
        raise ValueError(f"no answer to {secret}")
    except ValueError:
        logger.exception("no answer to %s", secret)
    assert "hunter22" not in written.getvalue()
    assert written.getvalue().count("***") == 2


def test_secrets_at_which_a_message_or_a_traceback_is_cut_are_hidden_too(log):
    logger, written = log
    secret = "https://user:" + "hunter22" * 20 + "@host/m"
    try:
        raise ValueError(secret + "y" * 7_960)
    except ValueError:
        logger.exception("%s", "x " * 3_970 + secret)
    assert "hunter22" not in written.getvalue()


def test_long_messages_are_cut(log):
    logger, written = log
    logger.info("x" * 1_000_000)
    assert len(written.getvalue()) < 10_000


def test_text_that_is_printable_is_left_as_it_is():
    assert on_one_line("größe 日本 'x'") == "größe 日本 'x'"
    assert on_one_line("a\nb\x1b") == "a\\nb\\x1b"


def record_of(*arguments) -> dict[str, object]:
    return json.loads(JsonFormatter().format(logging.LogRecord("expansion.x", logging.INFO, "", 1, *arguments, None)))


def test_a_record_of_no_call_says_when_how_bad_where_and_what():
    record = record_of("got %d", (5,))
    assert RFC_3339.fullmatch(record.pop("time"))
    assert record == {"severity": "INFO", "logger": "expansion.x", "message": "got 5"}


def test_a_record_of_a_call_says_which_one_and_what_is_known_of_it():
    calls.set_current(Call(request_id="abc", peer="ipv4:127.0.0.1:5", transform="run_inference", outcome="expanded"))
    try:
        record = record_of("done", ())
    finally:
        calls.set_current(None)
    assert record["request_id"] == "abc"
    assert record["peer"] == "ipv4:127.0.0.1:5"
    assert (record["transform"], record["outcome"]) == ("run_inference", "expanded")
    assert record["milliseconds"] >= 0
    assert "preset" not in record


# In a server.


@pytest.fixture
def stub() -> Iterator:
    server = ExpansionServer("127.0.0.1", 0, Offer(environments.parse("docker:worker:1")))
    with grpc.insecure_channel(server.address) as channel:
        yield beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
    server.drain(10)


def request_id_of(call) -> str:
    return dict(call.trailing_metadata())["x-request-id"]


def test_a_client_may_name_its_call_and_is_told_the_name(stub, java_request):
    _, call = stub.Expand.with_call(java_request("bytes"), metadata=[("x-request-id", "job-7:step.1")])
    assert request_id_of(call) == "job-7:step.1"


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "{}", "ab'c"])
def test_a_name_that_is_not_well_formed_is_replaced(stub, java_request, name):
    _, call = stub.Expand.with_call(java_request("bytes"), metadata=[("x-request-id", name)])
    assert re.fullmatch(r"[0-9a-f]{16}", request_id_of(call))


def test_calls_without_a_name_get_one_each(stub, java_request):
    assert len({request_id_of(stub.Expand.with_call(java_request("bytes"))[1]) for _ in range(3)}) == 3


def test_an_unexpected_error_outside_of_the_servicer_is_an_id_for_the_client_too(monkeypatch, java_request, caplog):
    monkeypatch.setattr(ExpansionServicer, "Expand", lambda *_: {}["hunter22"])
    server = ExpansionServer("127.0.0.1", 0, Offer(environments.parse("docker:worker:1")))
    with grpc.insecure_channel(server.address) as channel:
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Expand(java_request("bytes"), metadata=[("x-request-id", "mine")])
    assert raised.value.code() == grpc.StatusCode.INTERNAL
    assert raised.value.details() == "internal error mine; see the service log"
    assert "KeyError" in caplog.text
    server.drain(10)


def test_messages_for_clients_hide_secrets_too(stub, java_request, wire_config):
    wire_config.model.sklearn.uri = "https://user:hunter22@127.0.0.1:1/m.skops?sig=hunter22"
    error = stub.Expand(java_request("bytes", wire_config.SerializeToString())).error
    assert error
    assert "hunter22" not in error


# In a process of its own.


@pytest.mark.runner
def test_a_service_that_logs_json_writes_an_object_on_each_line_whatever_it_is_sent(serve, java_request, wire_config):
    service = serve("--log-format", "json")
    with grpc.insecure_channel(service.addresses["expansion"]) as channel:
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        good = java_request("bytes", wire_config.SerializeToString())
        assert stub.Expand(good, metadata=[("x-request-id", "good")]).error == ""
        bad = java_request("bytes", b"")
        bad.namespace = INJECTED.replace("\x00", "")
        assert stub.Expand(bad, metadata=[("x-request-id", "bad")]).error
    code, stderr = service.end(signal.SIGTERM)
    assert code == 0
    records = {record.get("request_id"): record for record in map(json.loads, stderr.splitlines())}
    assert records["good"]["outcome"] == "expanded"
    assert records["good"]["transform"] == "run_inference"
    assert records["good"]["peer"].startswith("ipv4:127.0.0.1:")
    assert records["bad"]["outcome"] == "refused"
    assert RFC_3339.fullmatch(records["bad"]["time"])


@pytest.mark.runner
def test_a_service_that_logs_json_says_so_too_why_it_did_not_start(serve):
    first = serve()
    port = first.addresses["expansion"].rpartition(":")[2]
    code, stderr = serve("--log-format", "json", "--port", port).end()
    assert code == 1
    [record] = [json.loads(line) for line in stderr.splitlines()]
    assert record["severity"] == "CRITICAL"
    assert "Address already in use" in record["message"]


@pytest.mark.runner
def test_a_service_logs_lines_of_text_with_the_ids_of_calls_unless_told_otherwise(serve, java_request, wire_config):
    service = serve()
    with grpc.insecure_channel(service.addresses["expansion"]) as channel:
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        stub.Expand(java_request("bytes", wire_config.SerializeToString()), metadata=[("x-request-id", "mine")])
    [line] = service.end(signal.SIGTERM)[1].splitlines()
    assert re.match(r"\S+ \S+ INFO expansion\.service\.expand: expanded '\w+' in \d+ ms \[mine ipv4:127", line)
