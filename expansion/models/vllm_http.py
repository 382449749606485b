# Licensed under the Apache License, Version 2.0; see LICENSE.
"""HTTP to vLLM's server over a Unix domain socket, and what its errors mean.

Nobody but this user can open the socket. Beam's server listens on a port of all of a worker's addresses, to whoever
calls (apache_beam/ml/inference/vllm_inference.py:301 passes no --host, which vLLM takes for all of them).
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from expansion.errors import RemoteError, SystemicError, first_line
from expansion.models.remote_calls import Unavailable

# What may pass. 500 is asked about before, as a server says it of itself when it is about to end.
_PASSING = frozenset({408, 409, 425, 429, 502, 503, 504})
_OF_ROWS = frozenset({400, 413, 422})
# A server that has much to do may be slow to say how it is.
_HEALTH_SECS = 60.0


class Response:
    """What a server answered.

    Attributes:
        status: HTTP status.
        content: The body.
    """

    def __init__(self, status: int, content: bytes):
        self.status = status
        self.content = content

    def json(self) -> Any:
        """Returns the JSON in the body.

        Raises:
            SystemicError: It is none.
        """
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise SystemicError(f"vLLM returned no JSON: {self.content[:200]!r}") from error


def call(path: str, method: str, resource: str, body: Any, timeout_secs: float) -> Response:
    """Makes one request, on a connection of its own: one that is kept may be closed when the next request comes.

    Args:
        path: The socket's.
        method: "GET" or "POST".
        resource: Such as "/health".
        body: What to send as JSON; None for nothing.
        timeout_secs: Seconds for which to wait for the answer.

    Raises:
        Unavailable: The server is not there, ends while it answers, or does not answer in time.
    """
    connection = _Connection(path, timeout_secs)
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if content else {}
    try:
        connection.request(method, resource, content, {**headers, "Connection": "close"})
        response = connection.getresponse()
        return Response(response.status, response.read())
    except TimeoutError as error:
        raise Unavailable(f"no answer within {timeout_secs:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{type(error).__name__}: {first_line(error)}") from error
    finally:
        connection.close()


def is_healthy(path: str) -> bool:
    """Whether a server is there and can do its work."""
    try:
        return call(path, "GET", "/health", None, _HEALTH_SECS).status == 200
    except Unavailable:
        return False


def post(path: str, resource: str, body: Any, timeout_secs: float) -> Any:
    """Sends a request and returns the JSON of the answer.

    Raises:
        Unavailable: The server is away, has too much to do, or is about to end.
        ValueError: It does not take the row.
        RemoteError: It failed, and is well.
        SystemicError: It refuses.
    """
    response = call(path, "POST", resource, body, timeout_secs)
    if response.status == 200:
        return response.json()
    reason = f"HTTP {response.status}: {_message(response)}"
    if response.status in _PASSING or (response.status == 500 and not is_healthy(path)):
        raise Unavailable(reason)
    if response.status in _OF_ROWS:
        raise ValueError(reason)
    raise RemoteError(reason) if response.status == 500 else SystemicError(f"vLLM refuses: {reason}")


def _message(response: Response) -> str:
    """Returns what a response that is an error says: {"error": {"message": …}}, or its text."""
    text = response.content[:1000].decode(errors="replace")
    try:
        message = json.loads(response.content)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        message = text
    return " ".join(str(message).split()) or "no reason given"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_secs: float):
        super().__init__("localhost", timeout=timeout_secs)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
