# Licensed under the Apache License, Version 2.0; see LICENSE.
"""docs/secure-service.nginx.conf, as it stands but for addresses: Beam's clients, in clear, and a service with TLS."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import grpc
import pytest
from apache_beam.transforms.external import ExternalTransform

from expansion.contract import urns

sys.path.insert(0, str(Path(__file__).parent))
from certificates import Authority

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.runner,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed here (apt-get install nginx-light)"),
]
CONFIG = Path(__file__).parents[2] / "docs/secure-service.nginx.conf"
TOKEN = "a-token-that-only-the-proxy-knows"  # noqa: S105


@pytest.fixture
def protected(serve, tmp_path) -> str:
    """The address of a service that asks for a client certificate and a token."""
    authority = Authority()
    (tmp_path / "service-ca.pem").write_bytes(authority.certificate)
    certificate, key = authority.write(tmp_path, "service")
    authority.write(tmp_path, "client")
    (tmp_path / "token.conf").write_text(f'grpc_set_header authorization "Bearer {TOKEN}";\n')
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    options = ["--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", tmp_path / "service-ca.pem"]
    return serve(*map(str, options), "--token-file", str(tmp_path / "tokens")).addresses["expansion"]


@pytest.fixture
def proxy(protected, tmp_path) -> Iterator[str]:
    """The address of the proxy of the documentation, in front of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = CONFIG.read_text()
    for written, here in (
        ("grpcs://expansion.example.com:8097", f"grpcs://{protected}"),
        ("grpc_ssl_name expansion.example.com", "grpc_ssl_name localhost"),
        ("listen 127.0.0.1:8097", f"listen 127.0.0.1:{port}"),
        ("/etc/beam-ml/", f"{tmp_path}/"),
        ("/run/beam-ml/", f"{tmp_path}/"),
    ):
        assert written in text
        text = text.replace(written, here)
    config = tmp_path / "nginx.conf"
    config.write_text(text)
    process = subprocess.Popen([NGINX, "-c", str(config), "-g", "daemon off;"], stderr=subprocess.PIPE, text=True)
    address = f"127.0.0.1:{port}"
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(30)
    yield address
    process.terminate()
    process.communicate(timeout=30)


def expand(address: str, row_config) -> beam.PCollection:
    """Does what a pipeline does when it is built, in clear."""
    rows = beam.Pipeline() | beam.Create([beam.Row(id="one", a=1.0, b=0.0)])
    return rows | ExternalTransform(urns.RUN_INFERENCE, row_config.SerializeToString(), address)


def test_beams_client_reaches_a_service_that_asks_for_certificate_and_token_through_the_proxy(proxy, row_config):
    outputs = expand(proxy, row_config)
    assert set(outputs) == {"output", "errors"}
    row_config.model.sklearn.format = "pickle"
    with pytest.raises(Exception, match="start the service with --allow-format pickle"):
        expand(proxy, row_config)


def test_without_the_proxy_it_does_not(protected, row_config):
    with pytest.raises(grpc.RpcError):
        expand(protected, row_config)
