# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from apache_beam.io.filesystem import FileSystem
from apache_beam.portability.api import beam_expansion_api_pb2, beam_expansion_api_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Limits
from expansion.service import environments
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.limits import filled
from expansion.service.server import ExpansionServer

pytestmark = pytest.mark.runner

EXPAND = "/org.apache.beam.model.expansion.v1.ExpansionService/Expand"
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

OPENED = threading.Semaphore(0)
ANSWERS = threading.Event()


class StalledFileSystem(FileSystem):
    """stall://anything: waits, as one behind a broken network does, until ``ANSWERS`` is set; then it has no files."""

    @classmethod
    def scheme(cls) -> str:
        return "stall"

    def open(self, path: str, *arguments: Any, **keywords: Any) -> Any:
        OPENED.release()
        ANSWERS.wait(300)
        raise FileNotFoundError(path)

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath, *paths])

    def split(self, path: str) -> tuple[str, str]:
        head, _, tail = path.rpartition("/")
        return head, tail

    def _none(self, *arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError

    mkdirs = has_dirs = _list = create = copy = rename = exists = size = last_updated = checksum = metadata = _none
    delete = _none


@contextmanager
def serving(**limits: float) -> Iterator[tuple[ExpansionServer, grpc.Channel]]:
    server = ExpansionServer(
        "127.0.0.1", 0, Offer(environments.parse("docker:worker:1"), limits=filled(Limits(**limits)))
    )
    with grpc.insecure_channel(server.address) as channel:
        yield server, channel
    ANSWERS.set()
    server.drain(0)


def stub_of(channel: grpc.Channel) -> beam_expansion_api_pb2_grpc.ExpansionServiceStub:
    return beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)


def until(condition: Callable[[], bool]) -> None:
    """Waits for what comes about some time, on a slow machine too."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it has not come about within 30 seconds")


@pytest.fixture
def good(java_request, wire_config):
    return java_request("bytes", wire_config.SerializeToString())


@pytest.fixture
def stalling(java_request, wire_config):
    """A request whose model is where nothing answers."""
    ANSWERS.clear()
    while OPENED.acquire(blocking=False):
        pass
    config = RunInferenceConfig()
    config.CopyFrom(wire_config)
    config.model.sklearn.uri = "stall://store/model.skops"
    yield java_request("bytes", config.SerializeToString())
    ANSWERS.set()


def test_calls_beyond_the_workers_and_those_that_may_wait_are_refused_and_the_others_answered(stalling):
    with serving(workers=1, max_waiting_calls=2) as (server, channel):
        taken = [stub_of(channel).Expand.future(stalling) for _ in range(3)]
        until(lambda: server.workers.admitted == 3)
        with pytest.raises(grpc.RpcError) as raised:
            stub_of(channel).Expand(stalling)
        assert raised.value.code() == EXHAUSTED
        assert raised.value.details() == "busy: the service takes 1 calls at a time, and 2 that wait; try again later"
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert health.status == health_pb2.HealthCheckResponse.SERVING  # a busy service is not a dead one
        ANSWERS.set()
        for call in taken:
            assert "there is no such file" in call.result().error
        until(lambda: server.workers.admitted == 0)


def test_an_expansion_that_hangs_ends_at_the_deadline_and_another_worker_takes_its_place(stalling, good):
    with serving(workers=1, deadline_secs=4) as (server, channel):
        for stuck in (1, 2):
            with pytest.raises(grpc.RpcError) as raised:
                stub_of(channel).Expand(stalling)
            assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert raised.value.details().startswith("the expansion took longer than 4 seconds, waiting included")
            assert server.workers.stuck == stuck
        assert stub_of(channel).Expand(good).error == ""
        ANSWERS.set()
        until(lambda: server.workers.stuck == 0)
        assert stub_of(channel).Expand(good).error == ""


def test_threads_that_hang_are_bounded(stalling):
    with serving(workers=1, max_waiting_calls=20, deadline_secs=1) as (server, channel):
        calls = [stub_of(channel).Expand.future(stalling) for _ in range(12)]
        assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        for _ in range(8):
            with pytest.raises(grpc.RpcError):
                stub_of(channel).Expand(stalling)
        assert server.workers.stuck == 4


def test_a_call_whose_client_has_gone_while_it_waited_gets_no_worker(monkeypatch, stalling, good):
    expanded = []
    expand = ExpansionServicer.Expand
    monkeypatch.setattr(
        ExpansionServicer,
        "Expand",
        lambda self, request, context: expanded.append(request.namespace) or expand(self, request, context),
    )
    with serving(workers=1) as (server, channel):
        first = stub_of(channel).Expand.future(stalling)
        assert OPENED.acquire(timeout=30)
        second = stub_of(channel).Expand.future(good)
        until(lambda: server.workers.admitted == 2)
        second.cancel()
        until(lambda: server.workers.admitted == 1)
        ANSWERS.set()
        assert "there is no such file" in first.result().error
    assert expanded == [stalling.namespace]


def test_clients_that_open_calls_and_never_send_them_hold_no_worker(good):
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(300)
        yield b""

    with serving(workers=1, max_waiting_calls=0) as (server, channel):
        calls = [channel.stream_unary(EXPAND).future(nothing()) for _ in range(20)]
        assert stub_of(channel).Expand(good, wait_for_ready=True).error == ""
        assert server.workers.admitted == 0
        for call in calls:
            call.cancel()
        never.set()


def test_an_operators_sizes_are_those_that_count(good):
    with serving(max_request_bytes=100) as (_, channel), pytest.raises(grpc.RpcError) as raised:
        stub_of(channel).Expand(good)
    assert raised.value.code() == EXHAUSTED
    with serving(max_components=2) as (_, channel):
        assert "expected at most 2" in stub_of(channel).Expand(good).error
    for level in range(3):
        coder = good.components.coders[f"deep{level}"]
        coder.spec.urn = "beam:coder:iterable:v1" if level else "beam:coder:bytes:v1"
        coder.component_coder_ids.extend([f"deep{level - 1}"] if level else [])
    with serving(max_depth=2) as (_, channel):
        assert "expected at most 2 levels" in stub_of(channel).Expand(good).error
    with serving(max_depth=3) as (_, channel):
        assert stub_of(channel).Expand(good).error == ""


def test_threads_end_with_the_server(good):
    before = set(threading.enumerate())
    with serving(workers=3) as (_, channel):
        for _ in range(5):
            assert stub_of(channel).Expand(good).error == ""
        threads = {thread for thread in set(threading.enumerate()) - before if thread.name == "expansion"}
        assert 1 <= len(threads) <= 3
    until(lambda: not any(thread.is_alive() for thread in threads))


def test_draining_cancels_what_hangs_longer_than_it_may(stalling):
    with serving() as (server, channel):
        call = stub_of(channel).Expand.future(stalling)
        assert OPENED.acquire(timeout=30)
        server.drain(0.2)
        assert call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)


def test_a_request_is_answered_alike_with_and_without_a_server(good):
    with serving() as (_, channel):
        served = stub_of(channel).Expand(good)
    direct = ExpansionServicer(Offer(environments.parse("docker:worker:1"))).Expand(good)
    assert isinstance(served, beam_expansion_api_pb2.ExpansionResponse)
    assert set(served.components.coders) == set(direct.components.coders)
