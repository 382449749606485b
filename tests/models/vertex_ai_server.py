# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A small server of Vertex AI's REST interface on loopback, with its paths and the shape of its errors."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENDPOINT = "projects/my-project/locations/test/endpoints/42"


class Failure(Exception):  # noqa: N818
    """What the server answers instead of predictions.

    Args:
        code: The HTTP status.
        status: Its name in google.rpc.Code; without it the body is the message itself.
        message: Why.
        details: As in google.rpc.Status.
        headers: Further headers.
    """

    def __init__(self, code, status="", message="", details=(), headers=()):
        error = {"code": code, "message": message, "status": status, "details": list(details)}
        self.body = json.dumps({"error": error}) if status else message
        self.code, self.headers = code, dict(headers)


class VertexAiServer(ThreadingHTTPServer):
    """Answers with the predictions that ``predict(body)`` returns, or with the Failure that it raises.

    Attributes:
        requests: The bodies that came, in order.
        headers: The headers that came with them.
        times: When they came, in seconds of a monotonic clock.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, predict, port=0, certificate=None):
        super().__init__(("127.0.0.1", port), _Handler)
        self.predict, self.requests, self.headers, self.times = predict, [], [], []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate[1], certificate[0])
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not re.fullmatch(r"/v1/projects/[^/]+/locations/[^/]+/endpoints/[^/:]+:predict", self.path):
            self._answer(404, "<html>not found</html>", {})
            return
        self.server.times.append(time.monotonic())
        self.server.headers.append(self.headers)
        self.server.requests.append(json.loads(body))
        try:
            predictions = self.server.predict(json.loads(body))
        except Failure as failure:
            self._answer(failure.code, failure.body, failure.headers)
        else:
            model = {"deployedModelId": "1", "model": "projects/1/locations/test/models/2", "modelVersionId": "1"}
            self._answer(200, json.dumps({"predictions": predictions, **model}), {})

    def _answer(self, code, body, headers):
        self.send_response(code)
        for name, value in {"Content-Type": "application/json; charset=UTF-8", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        """Says nothing."""


class TokenServer(ThreadingHTTPServer):
    """Gives out access tokens, as https://oauth2.googleapis.com/token does."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _TokenHandler)
        self.requests = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}/token"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class _TokenHandler(_Handler):
    def do_POST(self):
        self.server.requests.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, json.dumps({"access_token": "from-google", "expires_in": 3600, "token_type": "Bearer"}), {})
