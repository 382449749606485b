# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Worker pools: workers start, end with their runners, and with the pool."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
)
from click.testing import CliRunner

from expansion import cli
from expansion.service import worker_pool
from expansion.service.worker_pool import WorkerPool

pytestmark = pytest.mark.runner


class Runner(beam_provision_api_pb2_grpc.ProvisionServiceServicer, beam_fn_api_pb2_grpc.BeamFnControlServicer):
    """A runner with one worker, which it asks nothing."""

    def __init__(self, pool: str):
        self.connected, self._let_go = threading.Event(), threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(self, self._server)
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(self, self._server)
        self._server.start()
        self._pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(grpc.insecure_channel(pool))

    def GetProvisionInfo(self, request, context):  # noqa: N802
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=beam_provision_api_pb2.ProvisionInfo())

    def Control(self, responses, context):  # noqa: N802
        self.connected.set()
        self._let_go.wait()
        return iter(())

    def start_worker(self, worker_id: str) -> str:
        """Has the pool start the worker; returns the error, or waits until it is connected."""
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id=worker_id)
        request.control_endpoint.url = request.provision_endpoint.url = self._address
        error = self._pool.StartWorker(request, timeout=60).error
        assert error or self.connected.wait(60)
        return error

    def stop_worker(self, worker_id: str) -> None:
        self._pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=worker_id), timeout=60)

    def let_worker_go(self) -> None:
        self._let_go.set()

    def close(self) -> None:
        self.let_worker_go()
        self._server.stop(None)


class Pool:
    """A running ``beam-ml-expansion worker-pool``."""

    def __init__(self, *arguments: str):
        command = [sys.executable, "-m", "expansion.cli", "worker-pool", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        self.greeting = ""
        for line in self.process.stdout:
            self.greeting += line
            if line.startswith("READY "):
                break
        self.address = self.greeting.rpartition("workers=")[2].strip()

    def wait(self) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=120)
        return self.process.returncode, stderr


@pytest.fixture
def start_pool():
    pools: list[Pool] = []

    def start_pool(*arguments: str) -> Pool:
        pools.append(Pool(*arguments))
        return pools[-1]

    yield start_pool
    for pool in pools:
        pool.process.kill()
        pool.process.communicate()


@pytest.fixture
def start_runner():
    runners: list[Runner] = []

    def start_runner(pool: str) -> Runner:
        runners.append(Runner(pool))
        return runners[-1]

    yield start_runner
    for runner in runners:
        runner.close()


def test_it_says_who_runs_what_and_how_the_service_is_told(start_pool):
    pool = start_pool("--port", "0")
    assert pool.address.startswith("127.0.0.1:")
    assert "run submitted pipelines as you" in pool.greeting
    assert f"beam-ml-expansion serve --environment external:{pool.address}" in pool.greeting
    pool.process.send_signal(signal.SIGTERM)
    assert pool.wait() == (0, "")


def test_sigterm_lets_workers_finish_and_starts_no_more(start_pool, start_runner):
    pool = start_pool("--port", "0")
    runner = start_runner(pool.address)
    assert runner.start_worker("1") == ""
    pool.process.send_signal(signal.SIGTERM)
    late = start_runner(pool.address)
    while not (error := late.start_worker("2")):  # until the signal has arrived
        late.let_worker_go()
        late = start_runner(pool.address)
    assert error == "the worker pool is shutting down"
    assert pool.process.poll() is None
    runner.let_worker_go()
    code, log = pool.wait()
    assert code == 0
    assert "worker 1 ended with exit code 0" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(("drain_secs", "way"), [("3600", "a second SIGTERM"), ("0", "no time to drain")])
def test_workers_that_go_on_are_stopped(start_pool, start_runner, drain_secs, way):
    pool = start_pool(
        "--port", "0", *(["--drain-secs", "0"] if way == "no time to drain" else ["--drain-secs", "3600"])
    )
    assert start_runner(pool.address).start_worker("1") == ""
    pool.process.send_signal(signal.SIGTERM)
    while way == "a second SIGTERM" and pool.process.poll() is None:
        time.sleep(0.5)  # signals that arrive together are one
        pool.process.send_signal(signal.SIGTERM)
    code, _ = pool.wait()
    assert code == 0


def test_no_worker_outlives_a_pool_that_is_killed(start_pool, start_runner):
    pool = start_pool("--port", "0")
    assert start_runner(pool.address).start_worker("1") == ""
    pool.process.kill()
    code, _ = pool.wait()  # until nobody can write to its standard error any more, which workers could
    assert code == -signal.SIGKILL


def test_a_port_in_use_ends_it_with_one_plain_line(start_pool):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, stderr = start_pool("--port", str(port)).wait()
    assert code == 1
    assert stderr.startswith(f"error: can't listen on 127.0.0.1 port {port}: Address already in use; choose another")
    assert len(stderr.splitlines()) == 1


def test_a_host_that_others_reach_needs_the_operators_word():
    result = CliRunner().invoke(cli.main, ["worker-pool", "--host", "192.0.2.1"])
    assert result.exit_code == 2
    assert "could have this one run their code; add --insecure if they may" in " ".join(result.output.split())


def test_a_worker_is_not_stopped_for_another_runners_worker_of_the_same_id(monkeypatch, start_runner):
    monkeypatch.setattr(worker_pool, "_STOP_SECS", 0.1)
    ended = threading.Semaphore(0)
    pool = WorkerPool(lambda worker_id, code: ended.release())
    address = pool.start("127.0.0.1")
    first, second = start_runner(address), start_runner(address)
    assert (first.start_worker("2-2"), second.start_worker("2-2")) == ("", "")
    first.let_worker_go()
    first.stop_worker("2-2")
    assert ended.acquire(timeout=60)
    assert not ended.acquire(timeout=2)
    second.stop_worker("2-2")  # and does not close its connection
    assert ended.acquire(timeout=60)
    pool.close()
