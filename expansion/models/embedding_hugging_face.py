# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Embeddings of Hugging Face's inference API and endpoints, through Beam's handler.

Of Beam's handler (apache_beam/ml/transforms/embeddings/huggingface.py of Beam 2.77) we take the address and the
request, and give it a session that does what it does not do: it sends "Bearer None" where the token is in the
environment (line 193), takes whatever JSON comes for embeddings, errors as well (line 197), and waits for ever.
"""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from expansion.contract._gen import model_pb2
from expansion.contract.problems import shown
from expansion.errors import SystemicError, first_line
from expansion.models import stacks
from expansion.models.embedding_server import read_server
from expansion.models.embedding_service import Embed
from expansion.models.remote_calls import RemoteCalls, Unavailable
from expansion.models.rest_errors import retry_after, translated

_KEY = "HF_TOKEN"
_CONNECTIONS = 64  # that are kept, for as many threads
_OPTIONS = {"wait_for_model": True, "use_cache": True}  # what Beam's transform sends


def connect(config: model_pb2.EmbeddingServiceModel, calls: RemoteCalls) -> Embed:
    """Returns what makes a request.

    Raises:
        SystemicError: There is no token on this worker.
    """
    server = read_server("hugging_face", config.endpoint)
    if server is None:
        raise SystemicError(f"{config.endpoint!r} is no address")
    token = server.key(_KEY)
    _mind_sentence_transformers()
    from apache_beam.ml.transforms.embeddings.huggingface import InferenceAPIEmbeddings

    handler = InferenceAPIEmbeddings(token, ["text"], config.uri, server.url or None).get_model_handler()
    session = requests.Session()
    session.hooks["response"].append(_check)
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(token, calls.timeout_secs))
    return lambda texts: calls.request(lambda _: _attempt(handler, session, texts))


def _mind_sentence_transformers() -> None:
    """Readies this process for what Beam's module imports where it is installed: sentence-transformers.

    Raises:
        SystemicError: This process has loaded a framework that does not go together with it.
    """
    if importlib.util.find_spec("sentence_transformers"):
        stacks.claim("huggingface")
        os.environ.setdefault("USE_TF", "0")


class _Adapter(HTTPAdapter):  # type: ignore[misc]
    """Sends requests in time, and without a token where there is none."""

    def __init__(self, token: str, timeout_secs: float):
        super().__init__(pool_maxsize=_CONNECTIONS, max_retries=0)
        self._token = token
        self._timeout_secs = timeout_secs

    def send(self, request: Any, **options: Any) -> Any:
        """Sends a request."""
        if not self._token:
            request.headers.pop("Authorization", None)
        return super().send(request, **{**options, "timeout": self._timeout_secs})


def _attempt(handler: Any, session: requests.Session, texts: list[str]) -> Any:
    try:
        return handler.run_inference(texts, session, _OPTIONS)
    except requests.RequestException as error:
        raise Unavailable(f"{type(error).__name__}: {first_line(error)}") from error


def _check(response: requests.Response, *_: Any, **__: Any) -> None:
    """Raises what a response means that has no embeddings; redirects are none, as what is sent is for one address."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = response.content[:1000].decode(errors="replace")
    if response.status_code == 200:
        if not isinstance(body, list):
            raise SystemicError(f"{response.url} returned no embeddings: {shown(body)}")
        return
    said = body.get("error") if isinstance(body, dict) else body
    reason = f"HTTP {response.status_code}: {said or 'no reason given'}"
    waits = [*retry_after(response.headers)]
    if isinstance(body, dict) and isinstance(body.get("estimated_time"), int | float):  # until a model is loaded
        waits.append(float(body["estimated_time"]))
    credentials = f"{_KEY} in the environment of the workers"
    raise translated("Hugging Face", response.status_code, reason, max(waits, default=None), credentials=credentials)
