# Licensed under the Apache License, Version 2.0; see LICENSE.
import shutil
import socket
import subprocess
from concurrent import futures

import grpc
import pytest
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from expansion.cli import checks
from expansion.service.worker_pool import WorkerPool


@pytest.fixture
def found(monkeypatch):
    """Runs the checks of the machine, with what commands are to print; returns them by subject."""

    def found(said=None):
        if said is not None:
            monkeypatch.setattr(checks, "_output", lambda *command: said.get(command[0], ""))
        return {check.subject: check for check in checks.of_machine()}

    return found


@pytest.fixture
def service():
    """A server that answers health checks alone; returns its address and what it says."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    answers = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(answers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", answers
    server.stop(None)


def test_a_machine_is_looked_at_and_nothing_of_it_has_to_fail(run):
    code, text = run("doctor")
    assert code == 0
    for subject in ("OK Python: 3.", "Apache Beam: 2.", "JDK", "Gradle", "GPU", "extra onnx: onnxruntime", "port 8097"):
        assert subject in text


@pytest.mark.parametrize(
    ("said", "status", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "OK", "17"),
        ('java version "1.8.0_292"', "WARN", "8"),
        ("", "WARN", "no java on PATH"),
    ],
)
def test_the_jdk_is_told_by_its_version(found, said, status, version):
    jdk = found({"java": said})["JDK"]
    assert jdk.found.startswith(version)
    assert jdk.status == status or "javac" in jdk.found


def test_gpus_are_told_as_their_driver_does(found):
    assert found({"nvidia-smi": "NVIDIA L4, 550.54.14\n"})["GPU"].found == "NVIDIA L4, 550.54.14"
    assert "CPU" in found({})["GPU"].found


def test_frameworks_that_abort_a_process_together_are_a_warning(found, monkeypatch):
    monkeypatch.setattr(checks.extras, "_version", lambda name: "1.0")
    clash = found({})["frameworks together"]
    assert clash.status == "WARN"
    assert clash.found == "tensorflow aborts a process that also loads huggingface or pytorch"
    monkeypatch.setattr(checks.extras, "_version", lambda name: "1.0" if name == "torch" else "")
    assert found({})["frameworks together"].status == "OK"


def test_an_extra_of_which_a_part_is_missing_is_a_warning(found, monkeypatch):
    monkeypatch.setattr(checks.extras, "_version", lambda name: "" if name in ("pandas", "xgboost") else "1.0")
    extras = found({})
    assert extras["extra sklearn"].status == "WARN"
    assert extras["extra sklearn"].fix == "pip install 'beam-ml-expansion[sklearn]'"
    assert extras["extra xgboost"].status == "OK"
    assert extras["extra xgboost"].found.startswith("not installed")


def test_a_port_in_use_is_a_warning():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert checks._port(taken.getsockname()[1]).status == "WARN"


def test_a_service_that_serves_is_good_and_one_that_does_not_fails(run, service):
    address, answers = service
    assert f"OK service at {address}: says that it is SERVING" in run("doctor", "--server", address)[1]
    answers.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    code, text = run("doctor", "--server", address)
    assert code == 1
    assert f"FAIL service at {address}: says that it is NOT_SERVING" in text
    assert "is it beam-ml-expansion?" in text  # it does not know discovery


def test_a_service_that_is_not_there_fails_with_how_to_start_one(run):
    code, text = run("doctor", "--server", "127.0.0.1:1")
    assert code == 1
    assert "start one with: beam-ml-expansion serve" in text


def test_tls_that_is_not_spoken_fails(run, service, tmp_path):
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    code, text = run("doctor", "--server", service[0], "--ca", authority)
    assert code == 1
    assert f"FAIL TLS at {service[0]}" in text


def test_tls_is_good_where_the_certificate_leads_to_one_that_is_trusted(run, tmp_path):
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    key, certificate, other = (tmp_path / name for name in ("key.pem", "certificate.pem", "other.pem"))
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    for path in (other, certificate):
        subprocess.run([*command.split(), "-keyout", key, "-out", path], check=True, capture_output=True)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    address = f"localhost:{server.add_secure_port('localhost:0', credentials)}"
    server.start()
    _, text = run("doctor", "--server", address, "--ca", certificate)
    assert f"OK TLS at {address}: TLSv1.3, certificate good until" in text
    assert f"OK service at {address}: says that it is SERVING" in text
    code, text = run("doctor", "--server", address, "--ca", other)
    assert code == 1
    assert f"FAIL TLS at {address}: self-signed certificate" in text
    server.stop(None)


def test_certificates_are_of_a_service(run, tmp_path):
    (tmp_path / "ca.pem").write_text("")
    assert run("doctor", "--ca", tmp_path / "ca.pem")[0] == 2


@pytest.fixture
def pool():
    """A worker pool of ours, which starts no worker; returns its address."""
    pool = WorkerPool(lambda worker_id, code: None)
    yield pool.start("127.0.0.1")
    pool.close()


@pytest.fixture
def of_environments(run, tmp_path):
    """Writes a server's configuration and checks the machine with it; returns the exit code, and what was printed."""

    def of_environments(**config):
        (tmp_path / "server.yaml").write_text(yaml.safe_dump(config))
        return run("doctor", "--config", tmp_path / "server.yaml")

    return of_environments


def test_a_worker_pool_that_answers_is_good_and_one_that_does_not_says_what_to_start_where(of_environments, pool):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        absent = f"external:127.0.0.1:{free.getsockname()[1]}"
        named = {"gpu": f"external:{pool}", "tf": absent}
        code, text = of_environments(environments=named, framework_environments={"pytorch": "gpu"}, environment="tf")
    assert code == 0
    assert f"OK environment gpu, pytorch (external:{pool}): a worker pool answers" in text
    assert f"WARN environment default, tf ({absent}): no worker pool answers" in text
    assert f"beam-ml-expansion worker-pool --port {absent.rpartition(':')[2]}" in text


def test_what_answers_in_place_of_a_worker_pool_fails(of_environments, service):
    code, text = of_environments(environment=f"external:{service[0]}")
    assert code == 1
    assert f"FAIL environment default (external:{service[0]}): answers, and is no worker pool" in text


def test_commands_that_start_workers_are_looked_for(of_environments, tmp_path):
    boot = tmp_path / "boot"
    boot.touch(0o755)
    _, text = of_environments(environments={"here": f"process:{boot}", "gone": "process:/opt/no/boot"})
    assert f"OK environment here (process:{boot}): {boot}" in text
    assert "WARN environment gone (process:/opt/no/boot): there is no such command → install it there" in text


def test_a_configuration_with_problems_is_told_as_serve_tells_it(of_environments):
    code, text = of_environments(environments={"gpu": "external:nowhere"})
    assert code == 1
    assert "server.yaml: environments.gpu: got 'external:nowhere'; expected docker:IMAGE" in text


def test_an_address_has_a_port(run):
    assert run("doctor", "--server", "localhost")[0] == 2
