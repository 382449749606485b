# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import base64
import contextlib
import http.client
import logging
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from expansion.contract._gen.server_pb2 import ServerConfig, Tls
from expansion.service import environments, http_server, tls
from expansion.service.access import Access
from expansion.service.expand import Offer
from expansion.service.http_server import HttpPages, Reply, Visit
from expansion.service.metrics import ServiceMetrics
from expansion.service.pages import serve_http
from expansion.service.ports import PortError
from expansion.service.server import ExpansionServer
from expansion.service.tokens import Tokens

sys.path.insert(0, str(Path(__file__).parent))
from certificates import Authority

HOST = "127.0.0.1"


def page(visit: Visit) -> Reply:
    return Reply(b"<p>seen</p>", "text/html; charset=utf-8")


@pytest.fixture
def serve_pages() -> Iterator:
    started = []

    def start(pages=None, tls=None):
        started.append(HttpPages(HOST, 0, pages or {"/": page}, tls))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.close()


def connect(address: str, **options) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(address, timeout=60, **options)


def ask(
    address: str, path: str = "/", method: str = "GET", body=None, headers=None
) -> tuple[int, dict[str, str], bytes]:
    connection = connect(address)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    answer = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    return answer


def send(address: str, *pieces: bytes) -> bytes:
    """Sends bytes and returns all that comes back until the other side ends, whichever way."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65536):
                received += more
        return received


def test_a_page_is_answered_with_headers_that_keep_browsers_from_guessing_framing_and_storing(serve_pages):
    status, headers, body = ask(serve_pages().address)
    assert (status, body) == (200, b"<p>seen</p>")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
    assert headers["cache-control"] == "no-store"
    assert headers["connection"] == "close"
    assert headers["server"] == "beam-ml-expansion"
    assert "strict-transport-security" not in headers


def test_a_page_may_set_headers_of_its_own(serve_pages):
    own = Reply(b"x", headers={"Content-Security-Policy": "default-src 'self'"})
    assert ask(serve_pages({"/": lambda visit: own}).address)[1]["content-security-policy"] == "default-src 'self'"


def test_head_is_answered_without_a_body(serve_pages):
    status, headers, body = ask(serve_pages().address, method="HEAD")
    assert (status, headers["content-length"], body) == (200, "11", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "__class__"])
def test_other_methods_are_refused_with_those_there_are(serve_pages, method):
    status, headers, _ = ask(serve_pages().address, method=method, body=b"x" * 100_000)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "//",
        "/healthz/",
        "http://h/x",
    ],
)
def test_other_paths_are_not_found_and_never_repeated(serve_pages, path):
    status, headers, body = ask(serve_pages({"/healthz": page}).address, path)
    assert (status, body) == (404, b"404 Not Found: there are /healthz\n")
    assert headers["content-type"] == "text/plain; charset=utf-8"


def test_a_query_does_not_change_the_page(serve_pages):
    assert ask(serve_pages().address, "/?x=1")[0] == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET / SPDY\r\n\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /\xc3\xa9\x00xxxxxxxxxx HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 150 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 50_000 + b"\r\n", b"431"),
    ],
)
def test_what_is_no_good_request_is_answered_with_plain_words_and_none_of_its_own(serve_pages, request_bytes, status):
    answer = send(serve_pages().address, request_bytes)
    assert answer.split()[1] == status
    assert b"x" * 10 not in answer
    assert b"Traceback" not in answer


def test_an_unexpected_error_of_a_page_is_logged_and_not_shown(serve_pages, caplog):
    status, _, body = ask(serve_pages({"/": lambda visit: 1 / 0}).address)
    assert (status, body) == (500, b"500 Internal Server Error\n")
    assert "ZeroDivisionError" in caplog.text


def test_clients_that_say_nothing_are_let_go_and_those_past_the_bound_are_told_to_come_back(serve_pages, monkeypatch):
    monkeypatch.setattr(http_server, "_CONNECTION_SECS", 1.0)
    server = serve_pages()
    host, _, port = server.address.rpartition(":")
    before = threading.active_count()
    silent = [socket.create_connection((host, int(port)), timeout=60) for _ in range(http_server._MAX_CONNECTIONS)]
    refused = [send(server.address) for _ in range(10)]
    # A slow test machine may have let some of the silent go meanwhile, but it never takes more than it may.
    assert threading.active_count() - before <= http_server._MAX_CONNECTIONS
    assert all(answer.startswith(b"HTTP/1.1 503") or answer == b"" for answer in refused)
    for connection in silent:
        assert connection.recv(100) == b""
        connection.close()
    assert ask(server.address)[0] == 200


def test_a_client_that_drips_is_let_go_however_lively_it_is(serve_pages, monkeypatch):
    monkeypatch.setattr(http_server, "_CONNECTION_SECS", 1.0)
    host, _, port = serve_pages().address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=0.1)
    with connection, pytest.raises(OSError, match=r"reset|[Bb]roken"):  # noqa: PT012
        while True:
            connection.sendall(b"G")
            try:
                if connection.recv(1) == b"":
                    raise BrokenPipeError("broken: it was let go")
            except TimeoutError:
                pass


def test_a_port_in_use_is_a_plain_error_that_says_what_to_do(serve_pages):
    port = serve_pages().address.rpartition(":")[2]
    with pytest.raises(PortError) as raised:
        HttpPages(HOST, int(port), {})
    assert str(raised.value) == (
        f"can't listen on 127.0.0.1 port {port} for HTTP: Address already in use; choose another port with --http-port "
        "or http_port (0 takes a free one, -1 serves no HTTP)"
    )


# Who may see what.

LOOPBACK, ELSEWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104


def visit(has_certificate=False, **headers) -> Visit:
    message = http.client.HTTPMessage()
    for name, value in headers.items():
        message[name] = value
    return Visit(message, has_certificate)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def is_token(text: str) -> bool:
    return text == "right"


@pytest.mark.parametrize(
    ("access", "who", "metrics", "catalogue"),
    [
        (Access(LOOPBACK), visit(), 200, 200),
        (Access(LOOPBACK), visit(Host="localhost:8098"), 200, 200),
        (Access(LOOPBACK), visit(Host="[::1]:8098"), 200, 200),
        (Access(LOOPBACK), visit(Host="rebound.example.com"), 421, 421),
        (Access(LOOPBACK), visit(Host="["), 421, 421),
        (Access(ELSEWHERE), visit(), 200, 403),
        (Access(ELSEWHERE), visit(Authorization="Bearer right"), 200, 403),
        (Access(LOOPBACK, is_token), visit(), 401, 401),
        (Access(ELSEWHERE, is_token), visit(), 401, 401),
        (Access(ELSEWHERE, is_token), visit(Authorization="Bearer wrong"), 401, 401),
        (Access(ELSEWHERE, is_token), visit(Authorization="Bearer right"), 200, 200),
        (Access(ELSEWHERE, is_token), visit(authorization="bearer right"), 200, 200),
        (Access(ELSEWHERE, is_token), visit(Authorization=basic("anyone", "right")), 200, 200),
        (Access(ELSEWHERE, is_token), visit(Authorization=basic("right", "wrong")), 401, 401),
        (Access(ELSEWHERE, is_token), visit(Authorization="Basic !"), 401, 401),
        (Access(ELSEWHERE, is_token), visit(Authorization="right"), 401, 401),
        (Access(ELSEWHERE, takes_certificates=True), visit(), 403, 403),
        (Access(ELSEWHERE, takes_certificates=True), visit(has_certificate=True), 200, 200),
        (Access(ELSEWHERE), visit(has_certificate=True), 200, 403),
        (Access(ELSEWHERE, is_token, takes_certificates=True), visit(has_certificate=True), 200, 200),
    ],
)
def test_the_catalogue_is_for_this_machine_or_those_who_are_known_and_metrics_for_all_unless_anyone_is_asked(
    access, who, metrics, catalogue
):
    assert access.to_metrics(page)(who).status == metrics
    assert access.to_catalogue(page)(who).status == catalogue


def test_browsers_are_asked_for_a_password():
    refused = Access(ELSEWHERE, is_token).to_catalogue(page)(visit())
    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")


# HTTPS.


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(authority, tmp_path) -> Tls:
    certificate, key = authority.write(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    ca = str(tmp_path / "ca.pem")
    return Tls(certificate_file=str(certificate), key_file=str(key), client_ca_file=ca)


def client(authority: Authority, certificate: tuple | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.certificate.decode())
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def get(address: str, path: str, context: ssl.SSLContext, headers=None) -> tuple[int, dict[str, str], str]:
    """Asks over HTTPS; also returns the name of the server's certificate."""
    port = int(address.rpartition(":")[2])
    connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=context)
    connection.request("GET", path, headers=headers or {})
    [[(_, name)]] = connection.sock.getpeercert()["subject"]
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    response.read()
    connection.close()
    return response.status, headers, name


def test_https_knows_clients_by_their_certificate_and_tells_browsers_to_keep_to_it(
    serve_pages, authority, files, tmp_path
):
    access = Access("0.0.0.0", takes_certificates=True)  # noqa: S104
    server = serve_pages({"/": access.to_catalogue(page), "/open": page}, tls.contexts(files))
    stranger, friend = client(authority), client(authority, authority.write(tmp_path, "friend"))
    status, headers, _ = get(server.address, "/open", stranger)
    assert (status, headers["strict-transport-security"]) == (200, "max-age=31536000")
    assert get(server.address, "/", stranger)[0] == 403
    assert get(server.address, "/", friend)[0] == 200
    with pytest.raises(OSError):  # noqa: PT011 - how much of the reason arrives is a race
        get(server.address, "/open", client(authority, Authority("stranger").write(tmp_path, "stranger")))
    assert send(server.address, b"GET /open HTTP/1.1\r\n\r\n")[:5] != b"HTTP/"
    assert get(server.address, "/open", stranger)[0] == 200


def test_a_new_certificate_is_shown_from_the_next_connection_on(serve_pages, authority, files, tmp_path):
    server = serve_pages({"/": page}, tls.contexts(files))
    assert get(server.address, "/", client(authority))[2] == "server"
    certificate, key = authority.issue("renewed")
    (tmp_path / "server.pem").write_bytes(certificate)
    assert get(server.address, "/", client(authority))[2] == "server"  # it does not go with the key
    (tmp_path / "server.key").write_bytes(key)
    assert get(server.address, "/", client(authority))[2] == "renewed"


# Beside gRPC, in a process of its own.


@pytest.mark.runner
def test_a_service_serves_http_beside_grpc_and_says_where(serve):
    service = serve()
    address = service.addresses["http"]
    assert f"http://{address}/metrics" in service.greeting
    assert ask(address, "/healthz") == (200, ask(address, "/healthz")[1], b"ok\n")
    assert ask(address, "/readyz")[0::2] == (200, b"ok\n")
    status, headers, body = ask(address, "/metrics")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert b"beamml_ready 1.0" in body
    assert ask(address, "/x")[0] == 404
    assert service.end(signal.SIGTERM) == (0, "")


@pytest.mark.runner
def test_with_tls_and_tokens_probes_are_open_and_metrics_are_not(serve, authority, files, tmp_path):
    (tmp_path / "tokens").write_text("0123456789abcdef\n")
    options = f"--tls-certificate {files.certificate_file} --tls-key {files.key_file} --token-file {tmp_path}/tokens"
    service = serve(*options.split())
    address, context = service.addresses["http"], client(authority)
    assert f"https://{address}/metrics" in service.greeting
    for path in ("/healthz", "/readyz"):
        assert get(address, path, context)[0] == 200
    assert get(address, "/metrics", context)[0] == 401
    for authorization in ("Bearer 0123456789abcdef", basic("me", "0123456789abcdef")):
        assert get(address, "/metrics", context, {"Authorization": authorization})[0] == 200


@pytest.mark.runner
def test_a_service_may_serve_no_http(serve):
    assert set(serve("--http-port", "-1").addresses) == {"expansion"}


@pytest.mark.runner
def test_an_http_port_in_use_ends_it_with_one_plain_line(serve):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, stderr = serve("--http-port", str(port)).end()
    assert code == 1
    assert stderr.startswith(f"error: can't listen on 127.0.0.1 port {port} for HTTP: Address already in use; choose")
    assert len(stderr.splitlines()) == 1


@pytest.mark.runner
def test_on_sigterm_it_says_not_ready_and_goes_on_answering_until_others_had_time_to_notice(serve, tmp_path):
    config = tmp_path / "server.yaml"
    config.write_text("limits: {notice_secs: 600}\n")
    service = serve("--config", str(config))
    address = service.addresses["http"]
    with grpc.insecure_channel(service.addresses["expansion"]) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        service.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        assert ask(address, "/readyz")[0::2] == (503, b"draining\n")
        assert ask(address, "/healthz")[0] == 200
        assert b"beamml_ready 0.0" in ask(address, "/metrics")[2]
        # Calls are taken still.
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert service.process.poll() is None
    # A second signal ends it at once.
    assert service.end(signal.SIGTERM)[0] == 128 + signal.SIGTERM


def test_pages_do_not_log_requests(serve_pages, caplog):
    with caplog.at_level(logging.INFO):
        ask(serve_pages().address, "/secret?token=abc")
    assert caplog.text == ""


def test_pages_for_people_are_served_beside_those_for_programs_to_those_who_may_see_them(authority, files, tmp_path):
    (tmp_path / "tokens").write_text("0123456789abcdef\n")
    metrics = ServiceMetrics()
    server = ExpansionServer(HOST, 0, Offer(environments.parse("docker:worker:1")), metrics=metrics)
    config = ServerConfig(host=HOST, http_port=0)
    with serve_http(config, server, metrics, catalogue={"/": page}) as address:
        assert ask(address, "/")[0::2] == (200, b"<p>seen</p>")
        assert ask(address, "/", headers={"Host": "rebound.example.com"})[0] == 421
        assert ask(address, "/readyz")[0] == 200
    with serve_http(config, server, metrics, Tokens(str(tmp_path / "tokens")), {"/": page}) as address:
        assert ask(address, "/")[0] == 401
        assert ask(address, "/", headers={"Authorization": basic("me", "0123456789abcdef")})[0] == 200
        assert ask(address, "/readyz")[0] == 200
    config.tls.CopyFrom(files)
    with serve_http(config, server, metrics, catalogue={"/": page}) as address:
        assert get(address, "/", client(authority))[0] == 403
        assert get(address, "/", client(authority, authority.write(tmp_path, "friend")))[0] == 200
    server.drain(0)
