# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import threading
from types import SimpleNamespace

import grpc
import pytest
from apache_beam.portability.api import beam_expansion_api_pb2_grpc

from expansion.service import arrivals, environments
from expansion.service.arrivals import Arrivals
from expansion.service.expand import Offer
from expansion.service.server import ExpansionServer

EXPAND = SimpleNamespace(method="/org.apache.beam.model.expansion.v1.ExpansionService/Expand")
CHECK = SimpleNamespace(method="/grpc.health.v1.Health/Check")


@pytest.fixture
def looks(monkeypatch):
    """Calls that arrive during each look, in turn; then none. Returns the list, which empties."""
    coming: list[object] = []
    taken: list[float] = []

    def sleep(seconds):
        taken.append(seconds)
        if coming:
            for call in coming.pop(0):
                seen.intercept_service(lambda details: None, call)

    seen = Arrivals()
    monkeypatch.setattr(arrivals.time, "sleep", sleep)
    return SimpleNamespace(coming=coming, taken=taken, arrivals=seen)


def test_it_is_quiet_when_nothing_arrives_in_ten_looks(looks):
    looks.arrivals.wait_for_quiet(1000)
    assert len(looks.taken) == 10


def test_each_call_that_arrives_starts_the_looks_anew(looks):
    looks.coming += [[], [EXPAND], [], [], [EXPAND, EXPAND]]
    looks.arrivals.wait_for_quiet(1000)
    assert len(looks.taken) == 5 + 10
    assert looks.arrivals.count == 3


def test_health_checks_do_not_count(looks):
    looks.coming += [[CHECK]] * 30
    looks.arrivals.wait_for_quiet(1000)
    assert len(looks.taken) == 10


def test_the_wait_ends_where_calls_never_do(looks, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(arrivals.time, "monotonic", lambda: next(clock))
    looks.coming += [[EXPAND]] * 1000
    looks.arrivals.wait_for_quiet(20)
    assert len(looks.taken) == 19


def test_a_server_that_drains_answers_calls_until_it_is_quiet(monkeypatch, java_request, wire_config):
    quiet, waits = threading.Event(), threading.Event()

    def wait_for_quiet(self, timeout_secs):
        waits.set()
        quiet.wait(60)

    monkeypatch.setattr(Arrivals, "wait_for_quiet", wait_for_quiet)
    server = ExpansionServer("127.0.0.1", 0, Offer(environments.parse("docker:worker:1")))
    with grpc.insecure_channel(server.address) as channel:
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        draining = threading.Thread(target=server.drain)
        draining.start()
        assert waits.wait(60)
        assert stub.Expand(java_request("bytes", wire_config.SerializeToString()), timeout=60).error == ""
        quiet.set()
        draining.join(60)
    assert not draining.is_alive()
