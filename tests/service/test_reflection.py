# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import threading

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from expansion.service import environments, reflection
from expansion.service.expand import Offer
from expansion.service.server import ExpansionServer

ServerReflectionRequest = reflection_pb2.ServerReflectionRequest
EXPANSION = "org.apache.beam.model.expansion.v1.ExpansionService"
ARTIFACTS = "org.apache.beam.model.job_management.v1.ArtifactRetrievalService"
SERVICES = {
    EXPANSION,
    ARTIFACTS,
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


@pytest.fixture
def channel():
    server = ExpansionServer("127.0.0.1", 0, Offer(environments.parse("docker:worker:1")))
    with grpc.insecure_channel(server.address) as channel:
        yield channel
    server.drain(1)


def ask(channel, *requests):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    return list(stub.ServerReflectionInfo(iter(requests), timeout=60))


def test_a_server_lists_its_services(channel):
    [answer] = ask(channel, ServerReflectionRequest(list_services=""))
    assert {service.name for service in answer.list_services_response.service} == SERVICES


def test_a_server_describes_what_it_takes(channel):
    [answer] = ask(channel, ServerReflectionRequest(file_containing_symbol=EXPANSION))
    files = [FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto]
    assert any(service.name == "ExpansionService" for file in files for service in file.service)


def test_health_is_said_of_each_service(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", EXPANSION, ARTIFACTS):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == 1


def test_clients_that_keep_asking_nothing_are_let_go_and_others_are_answered_meanwhile(channel, monkeypatch):
    monkeypatch.setattr(reflection, "_STREAM_SECS", 1.0)
    ended = threading.Event()

    def nothing():
        ended.wait(120)
        yield from ()

    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    silent = [stub.ServerReflectionInfo(nothing()) for _ in range(5)]
    assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60).status == 1
    assert {stream.code() for stream in silent} == {grpc.StatusCode.CANCELLED}
    assert ask(channel, ServerReflectionRequest(list_services=""))
    ended.set()
