# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A small HTTP server beside gRPC, for pages of the service's own: nothing is read from disk, nothing is written.

Whoever connects gets one answer and a closed connection: a bounded number at a time, within a bounded time, for a
request of bounded size. Python's ``http.server`` alone has none of these bounds.
"""

from __future__ import annotations

import contextlib
import http
import http.client
import logging
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from expansion.service.ports import PortError

_MAX_CONNECTIONS = 32
_CONNECTION_SECS = 10.0
# How often connections that last too long are looked for, and how long closing takes.
_POLL_SECS = 0.2
_MAX_REQUEST_BYTES = 16 << 10
# Of what clients send beyond the request, which is not looked at.
_MAX_UNREAD_BYTES = 1 << 20
_TEXT = "text/plain; charset=utf-8"
# https://owasp.org/www-project-secure-headers/; a page may allow itself more.
_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a page is answered with.

    Attributes:
        body: Its bytes.
        content_type: Default: plain text.
        status: HTTP's. Default: 200.
        headers: Beside, or instead of, those that every answer has.
    """

    body: bytes
    content_type: str = _TEXT
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Visit:
    """Who asks for a page, and how.

    Attributes:
        headers: The request's; its names may be asked for in any case.
        has_certificate: Whether it came with a client's certificate that the server trusts.
    """

    headers: Message[str, str]
    has_certificate: bool = False


Page: TypeAlias = Callable[[Visit], Reply]
Contexts: TypeAlias = Callable[[], ssl.SSLContext]


class HttpPages:
    """A server of pages, bound from construction on; it answers after ``start``.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        pages: What answers for a path, such as "/healthz".
        tls: Returns what a new connection is encrypted with. Default: they are in clear.

    Attributes:
        address: HOST:PORT that it listens on.

    Raises:
        PortError: If the port is in use, or the host is none of this machine's.
    """

    def __init__(
        self, host: str, port: int, pages: Mapping[str, Page], tls: Callable[[], ssl.SSLContext] | None = None
    ):
        try:
            self._server = _Server(host, port, pages, tls)
        except OSError as error:
            reason = f"can't listen on {host} port {port} for HTTP: {error.strerror}"
            advice = "choose another port with --http-port or http_port (0 takes a free one, -1 serves no HTTP)"
            raise PortError(f"{reason}; {advice}") from None
        shown_host = f"[{host}]" if ":" in host else host
        self.address = f"{shown_host}:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begins to answer."""
        threading.Thread(target=self._server.serve_forever, args=[_POLL_SECS], name="http", daemon=True).start()

    def close(self) -> None:
        """Takes no more connections, after ``start``; those that are open end by themselves, or with the process."""
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False
    request_queue_size = 64

    def __init__(self, host: str, port: int, pages: Mapping[str, Page], tls: Contexts | None):
        self.pages = pages
        self.tls = tls
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._ends: dict[socket.socket, float] = {}
        self._changing = threading.Lock()
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        super().__init__(address[:2], _Handler)  # type: ignore[arg-type]

    def server_bind(self) -> None:
        # HTTPServer's asks the name service who it is, which may take seconds.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            request.setblocking(False)
            if self.tls is None:
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        with self._changing:
            self._ends[request] = time.monotonic() + _CONNECTION_SECS
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changing:
                self._ends.pop(request, None)
            self._slots.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(_CONNECTION_SECS)
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        # On the connection's thread: a client that stalls in the handshake keeps nobody else waiting.
        with self.tls().wrap_socket(request, server_side=True, do_handshake_on_connect=False) as encrypted:
            with self._changing:
                self._ends[encrypted] = self._ends.pop(request)
            try:
                encrypted.do_handshake()
                super().finish_request(encrypted, client_address)
            finally:
                with self._changing:
                    self._ends.pop(encrypted, None)

    def service_actions(self) -> None:
        """Ends connections that have lasted too long; called at each poll."""
        now = time.monotonic()
        with self._changing:
            late = [request for request, end in self._ends.items() if end < now]
        for request in late:
            with contextlib.suppress(OSError):  # ended meanwhile
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _LOG.debug("a connection of %s failed", client_address, exc_info=True)


class _Bounded:
    """A request's bytes, so many at most."""

    def __init__(self, file: Any):
        self._file = file
        self._left = _MAX_REQUEST_BYTES

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("request")
        return line

    def close(self) -> None:
        self._file.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    # Answers have headers, also those to what is no request.
    protocol_version = default_request_version = request_version = "HTTP/1.1"
    requestline = command = ""

    def handle(self) -> None:
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment]
        self.close_connection = True
        try:
            self.handle_one_request()
        except http.client.LineTooLong:
            self.send_error(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._leave_unread()

    def _leave_unread(self) -> None:
        """Ends a connection so that the answer arrives: closing it with bytes unread would take that back."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        for _ in range(_MAX_UNREAD_BYTES // _MAX_REQUEST_BYTES):
            if not self.connection.recv(_MAX_REQUEST_BYTES):
                return

    def do_GET(self) -> None:
        try:
            path = urlsplit(self.path).path
        except ValueError:  # an open bracket
            self.send_error(http.HTTPStatus.BAD_REQUEST)
            return
        page = self.server.pages.get(path)
        if page is None:
            known = "there are " + ", ".join(sorted(self.server.pages))
            self._send(Reply(f"404 Not Found: {known}\n".encode(), status=404))
            return
        certificate = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        try:
            reply = page(Visit(self.headers, bool(certificate)))
        except Exception:
            _LOG.exception("no answer to %s", path)
            reply = _error(http.HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(reply)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        headers = {"Content-Type": reply.content_type, "Content-Length": str(len(reply.body)), "Connection": "close"}
        if self.server.tls is not None:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        for name, value in {**_SECURITY_HEADERS, **headers, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no good request; with HTTP's own words, as the parser's quote the client's."""
        if code == http.HTTPStatus.NOT_IMPLEMENTED:  # as the parser says of methods
            self._send(_error(http.HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"}))
        else:
            self._send(_error(http.HTTPStatus(code)))

    def version_string(self) -> str:
        return "beam-ml-expansion"

    def log_message(self, format: str, *args: Any) -> None:
        _LOG.debug("%s: " + format, self.client_address[0], *args)


def _error(status: http.HTTPStatus, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(f"{status.value} {status.phrase}\n".encode(), status=status.value, headers=headers or {})
