# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import pytest
from apache_beam.portability.api import beam_expansion_api_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expansion.service import environments
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.ports import PortError, is_loopback
from expansion.service.server import ExpansionServer

pytestmark = pytest.mark.runner

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WORKERS = environments.parse("docker:worker:1")


def health_of(address: str, service: str = "") -> int:
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status


def test_it_says_what_it_serves_and_how_to_call_it_and_ends_with_0_on_sigterm(serve):
    service = serve()
    address = service.addresses["expansion"]
    assert address.startswith("127.0.0.1:")
    assert service.greeting.splitlines()[-1] == f"LISTENING expansion={address} http={service.addresses['http']}"
    assert "beamml:transform:run_inference:v1" in service.greeting
    [workers] = [line for line in service.greeting.splitlines() if line.startswith("  workers  docker:apache/beam_")]
    assert workers.endswith("; they need this package: see --worker-package and --environment")
    for language in ("Java", "Python"):
        assert any(language in line and address in line for line in service.greeting.splitlines())
    assert health_of(address) == SERVING
    assert health_of(address, "org.apache.beam.model.expansion.v1.ExpansionService") == SERVING
    code, stderr = service.end(signal.SIGTERM)
    assert (code, stderr) == (0, "")


def test_the_greeting_says_where_models_of_a_framework_run(serve, tmp_path):
    file = tmp_path / "server.yaml"
    file.write_text("environments: {tf: 'docker:tf:1'}\nframework_environments: {tensorflow: tf}\n")
    lines = serve("--config", str(file), "--environment", "tf").greeting.splitlines()
    assert "  workers  docker:tf:1" in lines
    assert "           tensorflow: docker:tf:1" in lines


def test_workers_that_the_operator_chose_are_shown_without_advice(serve):
    lines = serve("--environment", "docker:worker:1").greeting.splitlines()
    assert "  workers  docker:worker:1" in lines


def test_ctrl_c_ends_it_with_0(serve):
    assert serve().end(signal.SIGINT)[0] == 0


def test_a_signal_that_reaches_another_thread_ends_the_wait():
    code = """
import signal, threading, time
from expansion.service import serve

def signal_myself():
    time.sleep(0.5)  # until the main thread waits
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(600)

stop = serve._Stop()
threading.Thread(target=signal_myself, daemon=True).start()
stop.wait()
print(stop.requested, stop.exit_code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True 0\n"


def test_it_ends_when_its_parent_lets_go_of_its_standard_input(serve):
    service = serve("--exit-with-parent")
    assert service.process.poll() is None
    service.process.stdin.close()
    assert service.process.wait(timeout=30) == 0


def test_without_exit_with_parent_it_outlives_its_standard_input(serve):
    service = serve()
    service.process.stdin.close()
    time.sleep(1)
    assert health_of(service.addresses["expansion"]) == SERVING


def test_a_port_in_use_ends_it_with_one_plain_line(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, stderr = serve("--port", str(port)).end()
    assert code == 1
    assert stderr.startswith(f"error: can't listen on 127.0.0.1 port {port}: Address already in use; choose another")
    assert len(stderr.splitlines()) == 1


def test_a_second_service_on_the_port_of_the_first_is_refused_and_the_first_goes_on(serve):
    first = serve()
    port = first.addresses["expansion"].rpartition(":")[2]
    code, stderr = serve("--port", port).end()
    assert code == 1
    assert "Address already in use" in stderr
    assert health_of(first.addresses["expansion"]) == SERVING


def test_two_servers_in_one_process_do_not_share_a_port():
    first = ExpansionServer("127.0.0.1", 0, Offer(WORKERS))
    with pytest.raises(PortError, match="Address already in use"):
        ExpansionServer("127.0.0.1", int(first.address.rpartition(":")[2]), Offer(WORKERS))
    first.drain()


def test_a_host_that_is_not_of_this_machine_is_a_plain_error():
    with pytest.raises(PortError, match="Cannot assign requested address"):
        ExpansionServer("192.0.2.1", 0, Offer(WORKERS))


def test_calls_in_flight_are_answered_when_the_server_drains(monkeypatch, java_request, wire_config):
    calls, started, may_finish = 16, threading.Semaphore(0), threading.Event()
    expand = ExpansionServicer.Expand

    def slow(self, request, context):
        started.release()
        may_finish.wait(30)
        return expand(self, request, context)

    monkeypatch.setattr(ExpansionServicer, "Expand", slow)
    server = ExpansionServer("127.0.0.1", 0, Offer(WORKERS))
    request = java_request("bytes", wire_config.SerializeToString())
    with grpc.insecure_channel(server.address) as channel:
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        answers = [stub.Expand.future(request, timeout=60) for _ in range(calls)]
        for _ in range(2):
            started.acquire(timeout=10)
        time.sleep(0.5)  # all of them have reached the server; some wait for a thread there
        draining = threading.Thread(target=server.drain)
        draining.start()
        time.sleep(0.2)
        may_finish.set()
        assert [answer.result().error for answer in answers] == [""] * calls
        draining.join(30)
        assert not draining.is_alive()


def test_a_server_that_drains_says_not_serving_to_those_who_watch():
    server = ExpansionServer("127.0.0.1", 0, Offer(WORKERS))
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        draining = threading.Thread(target=server.drain, args=[1.0])
        draining.start()
        assert next(watch).status == NOT_SERVING
        watch.cancel()
        draining.join(10)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback_hosts_are_told_from_others(host, expected):
    assert is_loopback(host) == expected
