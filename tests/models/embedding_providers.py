# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A server on loopback that speaks as OpenAI, Hugging Face and Vertex AI do, errors included."""

from __future__ import annotations

import base64
import json
import re
import ssl
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERTEX_AI_MODEL = "projects/my-project/locations/test/publishers/google/models/text-embedding-005"
URIS = {"openai": "text-embedding-3-small", "hugging_face": "sentence-transformers/mini", "vertex_ai": VERTEX_AI_MODEL}
# Which provider a path is of.
_PATHS = {
    r"/v1/embeddings": "openai",
    r"/hf-inference/models/[\w/-]+/pipeline/feature-extraction|/endpoint": "hugging_face",
    r"/v1/projects/[\w-]+/locations/[\w-]+/(publishers/google/models|endpoints)/[\w-]+:predict": "vertex_ai",
}
_OF_GOOGLE = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


class Failure(Exception):  # noqa: N818
    """What the server answers instead of vectors; the provider's own shape is put around it.

    Args:
        status: The HTTP status.
        message: Why.
        headers: Further headers.
        more: Further members of the provider's error.
    """

    def __init__(self, status, message, headers=(), **more):
        self.status, self.message, self.headers, self.more = status, message, dict(headers), more


def vector(text, size):
    """Returns a text's embedding: numbers that FP32 holds, and that no other text has."""
    return [(zlib.crc32(f"{text}{index}".encode()) % 2**16) / 2**12 for index in range(size)]


class EmbeddingServer(ThreadingHTTPServer):
    """Answers with the vectors that ``embed(texts)`` returns, or with the Failure that it raises.

    Attributes:
        requests: The bodies that came, in order.
        headers: The headers that came with them.
        paths: Where they came to.
        times: When they came, in seconds of a monotonic clock.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, embed, port=0, certificate=None):
        super().__init__(("127.0.0.1", port), _Handler)
        self.embed, self.requests, self.headers, self.paths, self.times = embed, [], [], [], []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate[1], certificate[0])
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def endpoint(self, provider):
        """Returns the setting that leads a provider's client here."""
        return self.address + {"openai": "/v1", "hugging_face": "/endpoint", "vertex_ai": ""}[provider]

    def texts(self, number):
        """Returns the texts of a request."""
        body = self.requests[number]
        return body.get("input") or body.get("inputs") or [each["content"] for each in body["instances"]]

    def stop(self):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        provider = next((name for path, name in _PATHS.items() if re.fullmatch(path, self.path.split("?")[0])), None)
        if provider is None:
            self._answer(404, "<html>not found</html>", {})
            return
        server = self.server
        server.times.append(time.monotonic())
        server.headers.append(self.headers)
        server.paths.append(self.path)
        server.requests.append(body)
        try:
            vectors = server.embed(server.texts(server.requests.index(body)))
        except Failure as failure:
            self._answer(failure.status, json.dumps(_failed(provider, failure)), failure.headers)
        else:
            self._answer(200, json.dumps(_embedded(provider, body, vectors)), {})

    def do_GET(self):
        """Says of a model of Vertex AI's Model Garden what Google's client asks before it calls it."""
        name = self.path.split("?")[0].removeprefix("/v1/")
        template = f"projects/{{user-project}}/locations/{{location}}/{name}"
        schema = {"instanceSchemaUri": "gs://google-cloud-aiplatform/schema/predict/instance/text_embedding_1.0.0.yaml"}
        model = {"name": name, "publisherModelTemplate": template, "predictSchemata": schema}
        self._answer(200, json.dumps(model), {})

    def _answer(self, code, body, headers):
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        """Says nothing."""


def _embedded(provider, body, vectors):
    if provider == "hugging_face" or not isinstance(vectors, list):
        return vectors
    if provider == "vertex_ai":
        statistics = {"truncated": False, "token_count": 3}
        predictions = [{"embeddings": {"values": values, "statistics": statistics}} for values in vectors]
        return {"predictions": predictions, "metadata": {"billableCharacterCount": 9}}
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(values, body.get("encoding_format"))}
        for index, values in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    return {"object": "list", "data": data[::-1], "model": body["model"], "usage": usage}


def _encoded(values, encoding_format):
    if encoding_format != "base64" or not isinstance(values, list):
        return values
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def _failed(provider, failure):
    if provider == "hugging_face":
        return {"error": failure.message, **failure.more}
    if provider == "vertex_ai":
        status = _OF_GOOGLE.get(failure.status, "UNAVAILABLE")
        return {"error": {"code": failure.status, "message": failure.message, "status": status, **failure.more}}
    return {"error": {"message": failure.message, "type": "error", "param": None, "code": None, **failure.more}}
