# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The example for Kubernetes, as far as it can be tried without a cluster."""

from __future__ import annotations

import contextlib
import http.client
import json
import shlex
import signal
import socket
import ssl
import sys
from pathlib import Path

import grpc
import kubernetes_validate
import pytest
import yaml
from apache_beam.portability.api import beam_expansion_api_pb2_grpc

from expansion.service import server_config

sys.path.insert(0, str(Path(__file__).parent))
from certificates import Authority

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
RESOURCES = {name: yaml.safe_load((FOLDER / name).read_text()) for name in KUSTOMIZATION["resources"]}
POD = RESOURCES["deployment.yaml"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105


@pytest.fixture
def files(tmp_path, model_uri) -> Path:
    """A folder with what the pod finds in its volumes; the configuration names files there, and free ports."""
    authority = Authority()
    certificate, key = authority.issue("service")
    text = RESOURCES["config.yaml"]["data"]["server.yaml"]
    for volume in CONTAINER["volumeMounts"]:
        (tmp_path / volume["name"]).mkdir()
        if volume["mountPath"] != "/tmp":  # noqa: S108 - a path in the container
            text = text.replace(volume["mountPath"], str(tmp_path / volume["name"]))
    text = text.replace("gs://example-models", str(tmp_path / "models"))
    (tmp_path / "tls" / "tls.crt").write_bytes(certificate)
    (tmp_path / "tls" / "tls.key").write_bytes(key)
    (tmp_path / "tokens" / "tokens").write_text(f"{TOKEN}\n")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "config" / "server.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", RESOURCES)
@pytest.mark.parametrize("version", ["1.25", "1.31", "1.35"])
def test_every_resource_is_one_to_kubernetes_without_unknown_fields(name, version):
    kubernetes_validate.validate(RESOURCES[name], version, strict=True)


def test_every_file_is_applied():
    assert {path.name for path in FOLDER.glob("*.yaml")} == {"kustomization.yaml", *RESOURCES}


def test_what_is_named_is_there():
    labels = {"app": "beam-ml-expansion"}
    assert RESOURCES["deployment.yaml"]["spec"]["template"]["metadata"]["labels"] == labels
    assert RESOURCES["deployment.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert RESOURCES["service.yaml"]["spec"]["selector"] == labels
    assert RESOURCES["network-policy.yaml"]["spec"]["podSelector"]["matchLabels"] == labels
    assert RESOURCES["disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == labels
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert {port["targetPort"]: port["port"] for port in RESOURCES["service.yaml"]["spec"]["ports"]} == ports
    assert {volume["name"] for volume in POD["volumes"]} == {mount["name"] for mount in CONTAINER["volumeMounts"]}
    config = [volume["configMap"]["name"] for volume in POD["volumes"] if "configMap" in volume]
    assert config == [RESOURCES["config.yaml"]["metadata"]["name"]]
    created = (FOLDER / "kustomization.yaml").read_text()
    for volume in POD["volumes"]:
        assert "secret" not in volume or f" {volume['secret']['secretName']} " in created


def test_the_pod_may_do_nothing_and_write_nowhere_but_in_its_own_tmp():
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] != 0
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False
    allowed = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert CONTAINER["securityContext"] == allowed
    assert [mount["name"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")] == ["tmp"]
    assert set(CONTAINER["resources"]["limits"]) == {"cpu", "memory", "ephemeral-storage"}


def test_the_user_is_the_images():
    dockerfile = (ROOT / "docker" / "service.Dockerfile").read_text()
    assert f"USER {POD['securityContext']['runAsUser']}\n" in dockerfile
    ports = " ".join(str(port["containerPort"]) for port in CONTAINER["ports"])
    assert f"EXPOSE {ports}\n" in dockerfile


def test_the_configuration_is_good_and_the_pod_lives_as_long_as_it_drains(files):
    config = server_config.checked(server_config.read(files / "config" / "server.yaml"))
    assert (config.port, config.http_port) == tuple(port["containerPort"] for port in CONTAINER["ports"])
    assert not config.insecure
    assert POD["terminationGracePeriodSeconds"] >= config.limits.notice_secs + config.limits.drain_secs + 5


@pytest.mark.runner
def test_a_service_with_this_configuration_answers_the_probes_and_those_who_have_a_token(
    serve, files, java_request, wire_config
):
    command, option, path = CONTAINER["args"]
    assert (command, option, path) == ("serve", "--config", "/etc/beam-ml-expansion/config/server.yaml")
    config = files / "config" / "server.yaml"
    config.write_text(config.read_text().replace("notice_secs: 5", "notice_secs: 0"))
    service = serve("--host", "127.0.0.1", *shlex.split(f"--http-port 0 --allow-uri-prefix / {option} {config}"))
    context = ssl.create_default_context(cafile=str(files / "ca.pem"))

    def status(path: str, token: str | None = None) -> int:
        connection = http.client.HTTPSConnection(service.addresses["http"], timeout=60, context=context)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        found = connection.getresponse().status
        connection.close()
        return found

    for probe in PROBES:
        asked = CONTAINER[probe]["httpGet"]
        assert (asked["port"], asked["scheme"], status(asked["path"])) == ("http", "HTTPS", 200)
    assert status("/metrics") == 401
    assert status("/metrics", TOKEN) == 200
    credentials = grpc.ssl_channel_credentials((files / "ca.pem").read_bytes())
    with grpc.secure_channel(service.addresses["expansion"], credentials) as channel:
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        request = java_request("bytes", wire_config.SerializeToString())
        assert stub.Expand(request, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=60).error == ""
    for address in service.addresses.values():  # what is no TLS
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as stranger, contextlib.suppress(OSError):
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            stranger.recv(1000)
    code, stderr = service.end(signal.SIGTERM)
    assert code == 0
    assert TOKEN not in stderr
    assert "expanded" in [json.loads(line).get("outcome") for line in stderr.splitlines()]
