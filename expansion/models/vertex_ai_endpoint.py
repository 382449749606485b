# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls of Vertex AI over REST: addresses, credentials, and what errors mean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from expansion.errors import SystemicError, first_line
from expansion.models.remote_calls import RemoteCalls, Unavailable
from expansion.models.rest_errors import retry_after, translated
from expansion.models.vertex_ai_address import Address

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_CONNECTIONS = 64  # that are kept, for as many threads


class Endpoint:
    """An endpoint. Used by several threads at once.

    Args:
        uri: The endpoint or the published model, as Vertex AI names it.
        address: Where it is.
        calls: How to call it.
        token_file: A file that holds an access token. Default: the application default credentials, for Google only.

    Raises:
        SystemicError: There are no credentials.
    """

    def __init__(self, uri: str, address: Address, calls: RemoteCalls, token_file: str = ""):
        self._url = f"{address.origin}/v1/{uri}:predict"
        self._token_file = token_file
        self._calls = calls
        self._session = _google_session() if address.is_of_google and not token_file else requests.Session()
        for scheme in ("http://", "https://"):  # attempts are counted elsewhere, and none is to be made behind our back
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=0))

    def predict(self, body: bytes) -> Any:
        """Makes one call, in several attempts if need be.

        Args:
            body: The request's JSON.

        Returns:
            The response's JSON.

        Raises:
            SystemicError: The endpoint can't be reached, or does not do it.
            RemoteError: The endpoint failed.
            ValueError: The endpoint does not take some row.
            TooLarge: The request or the response is too large.
        """
        return self._calls.request(lambda _: self._attempt(body))

    def _attempt(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json; charset=utf-8", **self._authorization()}
        try:
            # No redirects: what is sent is for this address only.
            response = self._session.post(
                self._url, data=body, headers=headers, timeout=self._calls.timeout_secs, allow_redirects=False
            )
        except requests.RequestException as error:
            raise Unavailable(f"{type(error).__name__}: {first_line(error)}") from error
        except Exception as error:  # google-auth, whose exceptions are known only where it is installed
            if type(error).__module__.startswith("google.auth."):
                raise _of_credentials(error) from error
            raise
        if response.status_code != 200:
            raise _translated(response)
        try:
            return json.loads(response.content)
        except ValueError as error:
            raise SystemicError(f"{self._url} returned no JSON: {response.content[:200]!r}") from error

    def _authorization(self) -> dict[str, str]:
        if not self._token_file:
            return {}  # the session sees to it, or there is none
        try:
            token = Path(self._token_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SystemicError(f"can't read token_file on this worker: {first_line(error)}") from error
        return {"Authorization": f"Bearer {token}"}


def _translated(response: requests.Response) -> Exception:
    code, error = response.status_code, _error(response)
    status, message = str(error.get("status", "")), str(error.get("message", "")).strip()
    reason = f"HTTP {code}{f' {status}' if status else ''}: {message or 'no reason given'}"
    if status == "FAILED_PRECONDITION":  # as of an endpoint that has no model
        return SystemicError(f"Vertex AI refuses: {reason}")
    waits = [*retry_after(response.headers), *_of_details(error.get("details"))]
    credentials = "the credentials of the workers, and to what they may do"
    return translated("Vertex AI", code, reason, max(waits, default=None), credentials=credentials)


def _error(response: requests.Response) -> Mapping[str, Any]:
    """Returns the error that a response describes, as https://google.aip.dev/193 says; or its text as the message."""
    text = response.content[:1000].decode(errors="replace")
    try:
        body = json.loads(response.content)
    except ValueError:
        return {"message": text}
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {"message": text}


def _of_details(details: object) -> Iterator[float]:
    """Yields the seconds that a google.rpc.RetryInfo asks to wait, if there is one."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("/google.rpc.RetryInfo"):
            delay = re.fullmatch(r"(\d+(\.\d+)?)s", str(detail.get("retryDelay", "")))
            if delay:
                yield float(delay[1])


def _google_session() -> requests.Session:
    """Returns a session that adds and refreshes the application default credentials."""
    try:
        import google.auth
        from google.auth.transport.requests import AuthorizedSession
    except ImportError as error:
        raise SystemicError("google-auth is missing; install beam-ml-expansion[gcp] on the workers") from error
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except google.auth.exceptions.GoogleAuthError as error:
        raise SystemicError(f"no credentials for Vertex AI: {first_line(error)}") from error
    session: requests.Session = AuthorizedSession(credentials)
    return session


def _of_credentials(error: Exception) -> Exception:
    """Returns what the caller makes of an exception of google-auth."""
    reason = f"no access token: {type(error).__name__}: {first_line(error)}"
    is_passing = type(error).__name__ == "TransportError" or getattr(error, "retryable", False)
    return Unavailable(reason) if is_passing else SystemicError(reason)
