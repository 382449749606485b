# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Who may call: TLS, client certificates and tokens, on running services."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_expansion_api_pb2_grpc,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expansion.service.tokens import Tokens
from expansion.service.tokens import check as check_tokens

sys.path.insert(0, str(Path(__file__).parent))
from certificates import Authority

pytestmark = pytest.mark.runner

TOKEN, OTHER_TOKEN = "0123456789abcdef0123456789abcdef", "another-token-of-the-operators"
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server_files(authority, tmp_path) -> dict[str, Path]:
    certificate, key = authority.write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    return {"certificate": certificate, "key": key, "ca": tmp_path / "ca.pem"}


@pytest.fixture
def token_file(tmp_path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# of the CI\n{TOKEN}\n\n{OTHER_TOKEN}\n")
    return path


@pytest.fixture
def request_(java_request, wire_config):
    return java_request("bytes", wire_config.SerializeToString())


def tls_options(files: dict[str, Path]) -> list[str]:
    return ["--tls-certificate", str(files["certificate"]), "--tls-key", str(files["key"])]


def expand(channel: grpc.Channel, request, token: str | None = None):
    metadata = [("authorization", f"Bearer {token}")] if token is not None else []
    stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
    return stub.Expand(request, metadata=metadata, timeout=60)


def code_of(call, *arguments, **keywords) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments, **keywords)
    return raised.value.code()


def health_of(channel: grpc.Channel) -> int:
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60).status


def test_a_service_with_a_certificate_is_called_over_tls_only(serve, authority, server_files, request_):
    service = serve(*tls_options(server_files))
    assert "  access   TLS" in service.greeting.splitlines()
    address = service.addresses["expansion"]
    trusting = grpc.ssl_channel_credentials(authority.certificate)
    with grpc.secure_channel(address, trusting) as channel:
        assert expand(channel, request_).error == ""
    with grpc.insecure_channel(address) as channel:
        assert code_of(expand, channel, request_) == grpc.StatusCode.UNAVAILABLE
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(Authority().certificate)) as channel:
        assert code_of(expand, channel, request_) == grpc.StatusCode.UNAVAILABLE


def test_a_service_with_a_client_ca_lets_in_its_clients_only(serve, authority, server_files, request_):
    service = serve(*tls_options(server_files), "--tls-client-ca", str(server_files["ca"]))
    assert "  access   TLS, client certificates" in service.greeting.splitlines()
    address = service.addresses["expansion"]
    certificate, key = authority.issue("client")
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority.certificate, key, certificate)) as channel:
        assert expand(channel, request_).error == ""
    stranger, strangers_key = Authority().issue("client")
    for credentials in (
        grpc.ssl_channel_credentials(authority.certificate),
        grpc.ssl_channel_credentials(authority.certificate, strangers_key, stranger),
    ):
        with grpc.secure_channel(address, credentials) as channel:
            assert code_of(expand, channel, request_) == grpc.StatusCode.UNAVAILABLE


def test_a_certificate_that_is_replaced_is_used_for_the_next_connection(serve, authority, server_files, request_):
    service = serve(*tls_options(server_files))
    address, newer = service.addresses["expansion"], Authority()
    trusting_newer = grpc.ssl_channel_credentials(newer.certificate)
    certificate, key = newer.issue("server")
    server_files["certificate"].write_bytes(certificate)  # and not yet its key: the ones before are used
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority.certificate)) as channel:
        assert expand(channel, request_).error == ""
    server_files["key"].write_bytes(key)
    with grpc.secure_channel(address, trusting_newer) as channel:
        assert expand(channel, request_).error == ""
    code, log = service.end()
    assert code == 0
    assert "new certificates are not taken" in log


def test_calls_need_a_token_but_those_of_probes(serve, token_file, request_):
    service = serve("--token-file", str(token_file))
    assert "  access   in clear, tokens" in service.greeting.splitlines()
    with grpc.insecure_channel(service.addresses["expansion"]) as channel:
        for token in (TOKEN, OTHER_TOKEN):
            assert expand(channel, request_, token).error == ""
        for token in (None, "", TOKEN[:-1], TOKEN + "x", "# of the CI", f"{TOKEN} {TOKEN}"):
            assert code_of(expand, channel, request_, token) == grpc.StatusCode.UNAUTHENTICATED
        artifacts = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
        resolve = beam_artifact_api_pb2.ResolveArtifactsRequest()
        assert code_of(artifacts.ResolveArtifacts, resolve) == grpc.StatusCode.UNAUTHENTICATED
        assert code_of(channel.unary_unary("/no.such/Method"), b"") == grpc.StatusCode.UNAUTHENTICATED
        twice = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer wrong")]
        stub = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel)
        assert code_of(stub.Expand, request_, metadata=twice) == grpc.StatusCode.UNAUTHENTICATED
        assert health_of(channel) == SERVING
    _, log = service.end()
    assert TOKEN not in log


def test_tokens_that_are_replaced_count_from_then_on_and_broken_files_change_nothing(token_file):
    tokens = Tokens(str(token_file))
    assert tokens.accept(f"bearer {TOKEN}")
    assert not tokens.accept(TOKEN)
    assert not tokens.accept(f"Basic {TOKEN}")
    token_file.write_text("short\n")
    assert tokens.accept(f"Bearer {TOKEN}")
    token_file.write_text("a-new-token-that-replaces-all\n")
    assert not tokens.accept(f"Bearer {TOKEN}")
    assert tokens.accept("Bearer a-new-token-that-replaces-all")
    token_file.unlink()
    assert tokens.accept("Bearer a-new-token-that-replaces-all")


def test_what_is_wrong_with_a_token_file_is_said_without_its_tokens(tmp_path):
    path = tmp_path / "tokens"
    assert "No such file" in str(*check_tokens(str(path)))
    path.write_text("\n# none\n")
    assert "holds no token" in str(*check_tokens(str(path)))
    path.write_text("secret\n" + "x" * 16 + "\nmy secret password is this\n")
    found = list(map(str, check_tokens(str(path))))
    assert [line.split(" of ")[0] for line in found] == ["line 1", "line 3"]
    assert "secret" not in "".join(found)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--tls-certificate", "{certificate}"], "tls.key_file: missing"),
        (["--tls-key", "{key}"], "tls.certificate_file: missing"),
        (["--tls-certificate", "{certificate}", "--tls-key", "{ca}"], "are no certificate with its key"),
        (["--tls-certificate", "{certificate}", "--tls-key", "/nowhere"], "tls.key_file: can't read '/nowhere'"),
        (
            ["--tls-certificate", "{certificate}", "--tls-key", "{key}", "--tls-client-ca", "{key}"],
            "tls.client_ca_file: '{key}' holds no certificates",
        ),
        (["--token-file", "/nowhere"], "token_file: can't read '/nowhere'"),
    ],
)
def test_what_is_wrong_with_files_is_said_before_it_starts(serve, server_files, options, expected):
    filled = [option.format(**server_files) for option in options]
    code, stderr = serve(*filled).end()
    assert code == 2
    assert expected.format(**server_files) in " ".join(stderr.split())


def test_another_host_needs_tls_tokens_or_the_word_that_it_is_insecure(serve, server_files, token_file):
    code, stderr = serve("--host", "0.0.0.0", "--allow-uri-prefix", "gs://models").end()  # noqa: S104
    assert code == 2
    assert "calls are neither encrypted nor authenticated" in " ".join(stderr.split())
    for ways, shown in (
        (tls_options(server_files), "TLS, anyone who reaches it"),
        (["--token-file", str(token_file)], "in clear, tokens"),
        (["--insecure"], "in clear, anyone who reaches it"),
    ):
        service = serve("--host", "0.0.0.0", "--allow-uri-prefix", "gs://models", *ways)  # noqa: S104
        assert f"  access   {shown}" in service.greeting.splitlines()
        code, stderr = service.end()
        assert code == 0
        assert ("cross the network in clear" in stderr) is (shown == "in clear, tokens")
