# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc, beam_runner_api_pb2

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

pytestmark = pytest.mark.runner

# A Python pipeline whose own steps run in the client, and whose inference runs in the service's workers.
PIPELINE = """
    import json, sys, time
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.transforms.external import ExternalTransform

    expansion, job, config, output, seconds, rows = sys.argv[1:]

    def write(row):
        time.sleep(float(seconds))
        with open(output, "a") as file:
            print(row.id, row.predict, row.model_id.rpartition("/")[2], file=file)

    options = PipelineOptions(runner="PortableRunner", job_endpoint=job, environment_type="LOOPBACK")
    with beam.Pipeline(options=options) as pipeline:
        rows = pipeline | beam.Create(json.loads(rows)) | beam.Map(
            lambda row: beam.Row(id=str(row[0]), a=float(row[1]), b=float(row[2]))
        )
        results = rows | ExternalTransform("beamml:transform:run_inference:v1", bytes.fromhex(config), expansion)
        _ = (results["output"] if isinstance(results, dict) else results) | beam.Map(write)
"""


CONNECTED, LISTENING = "01", "0A"  # as in /proc/net/tcp
ROWS = [("one", 1.0, 0.0), ("two", 0.0, 0.5)]


class Client:
    """A process that runs the pipeline."""

    def __init__(
        self,
        addresses: dict[str, str],
        config: RunInferenceConfig,
        output: Path,
        seconds: float = 0,
        rows: object = ROWS,
    ):
        endpoints = [addresses["expansion"], addresses["job"]]
        arguments = [config.SerializeToString().hex(), output, str(seconds), json.dumps(rows)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PIPELINE), *endpoints, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=120)
        return self.process.returncode, output


@pytest.fixture
def run(tmp_path) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def start(*arguments, **keywords) -> Client:
        clients.append(Client(*arguments, output=tmp_path / "output", **keywords))
        return clients[-1]

    yield start
    for client in clients:
        client.process.kill()
        client.process.communicate()


def wait_until(condition: Callable[[], object], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def running(module: str, service) -> set[int]:
    """Returns the ids of a service's processes that run a module of expansion.service."""
    found = set()
    for pid in service.family():
        with contextlib.suppress(OSError):
            if f"expansion.service.{module}" in Path(f"/proc/{pid}/cmdline").read_text():
                found.add(pid)
    return found


def hosts(pids: set[int], state: str) -> set[str]:
    """Returns the own addresses, as the kernel writes them, of the processes' TCP sockets in a state."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].split(":")[0])
    return found


def test_a_pipeline_runs_with_nothing_but_the_service(local_service, run, row_config, tmp_path):
    service = local_service
    assert "runs submitted pipelines as you" in service.greeting
    assert service.greeting.splitlines()[-1].startswith("LISTENING expansion=127.0.0.1:")
    assert service.addresses["job"].startswith("127.0.0.1:")
    code, output = run(service.addresses, row_config).wait()
    assert code == 0, output
    assert sorted((tmp_path / "output").read_text().splitlines()) == [
        "one 1 classifier.skops",
        "two 0 classifier.skops",
    ]


def test_an_error_on_a_worker_is_on_the_services_standard_error(serve, run, row_config):
    row_config.ClearField("error_handling")
    service = serve("--local-runner")
    code, output = run(service.addresses, row_config, rows=[("bad", float("nan"), 1.0)]).wait()
    assert code != 0
    assert "Input X contains NaN" in output
    assert "Input X contains NaN" in service.end()[1]


def test_a_command_that_the_local_runner_can_not_start_is_refused_before_the_job_runs(serve, run, row_config):
    service = serve("--local-runner", "--environment=process:/opt/no/boot")
    code, output = run(service.addresses, row_config).wait()
    assert code != 0
    assert "the local runner starts no process:/opt/no/boot; leave --environment out" in output


def test_everything_listens_on_loopback_only_while_a_pipeline_runs(local_service, run, row_config, tmp_path):
    client = run(local_service.addresses, row_config, seconds=1.5)
    wait_until((tmp_path / "output").exists)
    found = hosts(local_service.family(), LISTENING)
    # 127.0.0.1, little-endian, and the same as gRPC likes to write it: ::ffff:127.0.0.1
    assert found <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert found
    assert client.wait()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_service_that_is_stopped_in_the_middle_of_a_run(serve, run, row_config, number):
    service = serve("--local-runner")
    run(service.addresses, row_config, seconds=60)
    wait_until(lambda: hosts(running("local_worker", service), CONNECTED))
    code, _ = service.end(number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    wait_until(lambda: not service.family(), timeout=20)


def test_a_worker_that_crashes_fails_its_job_with_a_plain_reason(serve, run, row_config):
    service = serve("--local-runner")
    client = run(service.addresses, row_config)
    wait_until(lambda: hosts(running("local_worker", service), CONNECTED))
    for pid in running("local_worker", service):
        os.kill(pid, signal.SIGKILL)
    code, output = client.wait()
    assert code != 0
    assert "ended by itself, with exit code -9" in output


def test_the_service_ends_with_1_when_its_local_runner_does(serve):
    service = serve("--local-runner")
    [local_runner] = running("local_runner", service)
    os.kill(local_runner, signal.SIGKILL)
    assert service.process.wait(timeout=30) == 1
    assert "error: the local runner ended by itself" in service.end()[1]


def test_an_unbounded_pipeline_is_refused_with_the_way_out(local_service):
    pipeline = beam_runner_api_pb2.Pipeline()
    pipeline.components.pcollections["p"].unique_name = "Read.out"
    pipeline.components.pcollections["p"].is_bounded = beam_runner_api_pb2.IsBounded.UNBOUNDED
    with grpc.insecure_channel(local_service.addresses["job"]) as channel, pytest.raises(grpc.RpcError) as raised:
        beam_job_api_pb2_grpc.JobServiceStub(channel).Prepare(beam_job_api_pb2.PrepareJobRequest(pipeline=pipeline))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "for batch: Read.out is unbounded" in raised.value.details()


def test_a_job_port_in_use_ends_the_service_with_plain_lines(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, stderr = serve("--local-runner", "--job-port", str(port)).end()
    assert code == 1
    assert stderr.splitlines()[0].startswith(f"error: can't listen on 127.0.0.1 port {port}: Address already in use")
    assert stderr.splitlines()[1:] == ["error: the local runner did not start; see above"]
