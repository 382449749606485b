# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls whose message does not come, on a running server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expansion.contract._gen.server_pb2 import Limits
from expansion.service import environments
from expansion.service.expand import Offer
from expansion.service.limits import filled
from expansion.service.server import _OTHER_CALLS, ExpansionServer
from expansion.service.watched_health import _MOST_WATCHES

pytestmark = pytest.mark.runner

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
EXPAND = "/org.apache.beam.model.expansion.v1.ExpansionService/Expand"
GET_ARTIFACT = "/org.apache.beam.model.job_management.v1.ArtifactRetrievalService/GetArtifact"
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def server() -> Iterator[ExpansionServer]:
    limits = filled(Limits(workers=1, max_waiting_calls=1))
    server = ExpansionServer("127.0.0.1", 0, Offer(environments.parse("docker:worker:1"), limits=limits))
    yield server
    server.drain(0)


@pytest.mark.parametrize("method", [CHECK, WATCH, EXPAND, GET_ARTIFACT])
def test_calls_without_a_message_do_not_keep_others_out(server, method):
    told = threading.Event()

    def nothing():
        told.wait(300)
        yield from ()

    with grpc.insecure_channel(server.address) as stalled, grpc.insecure_channel(server.address) as channel:
        begin = stalled.stream_stream(method)
        calls = [begin(nothing()) for _ in range(3 * _OTHER_CALLS)]
        try:
            assert all(is_answered(channel) for _ in range(3))
        finally:
            told.set()
            for call in calls:
                call.cancel()


def is_answered(channel: grpc.Channel) -> bool:
    """Whether a health check is answered once the calls before it, which came all at once, have been dealt with."""
    check = health_pb2_grpc.HealthStub(channel).Check
    tries = (check.future(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(1000))
    return any(each.code() == grpc.StatusCode.OK and each.result().status == SERVING for each in tries)


def test_a_watch_of_health_is_told_as_before(server):
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        watch.cancel()


def test_watches_that_vanish_do_not_keep_a_server_from_stopping(server):
    code = f"""
import grpc, os
from grpc_health.v1 import health_pb2, health_pb2_grpc
channels = [grpc.insecure_channel({server.address!r}, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(4)]
def watch(channel):
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
print(next(watch(channels[0])).status, flush=True)
for each in [watch(channel) for channel in channels * 250]:
    try:
        next(each)
    except grpc.RpcError as refused:  # there are too many
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(SERVING)]
    draining = threading.Thread(target=server.drain, args=[5], daemon=True)
    draining.start()
    draining.join(120)
    assert not draining.is_alive()


def test_watches_beyond_those_that_may_be_are_exhausted_and_the_others_end_with_their_clients(server):
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch
        for _ in range(2):
            watches = [watch(health_pb2.HealthCheckRequest(service=str(number))) for number in range(_MOST_WATCHES)]
            for each in watches:
                assert next(each).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
                next(watch(health_pb2.HealthCheckRequest()))
            for each in watches:
                each.cancel()
            deadline = time.monotonic() + 60
            while server._health._send_response_callbacks and time.monotonic() < deadline:
                time.sleep(0.05)
            assert server._health._send_response_callbacks == {}
