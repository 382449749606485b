# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Embeddings of OpenAI, and of servers that speak as it does, through Beam's handler and OpenAI's client.

Of Beam's handler (apache_beam/ml/transforms/embeddings/open_ai.py of Beam 2.77) we take the client and the request, and
do ourselves what it does not do well: ``dimensions`` is sent as a list of text, which the server refuses (line 112);
every error is tried again, a wrong key as well (line 59), and again by the client behind its back; there is no
time-out; and vectors are taken in whatever order they come (line 118).
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import openai
from apache_beam.ml.transforms.embeddings.open_ai import OpenAITextEmbeddings

from expansion.contract._gen import model_pb2
from expansion.errors import SystemicError, first_line
from expansion.models.embedding_server import read_server
from expansion.models.embedding_service import Embed
from expansion.models.remote_calls import RemoteCalls, Unavailable
from expansion.models.rest_errors import retry_after, translated

_KEY = "OPENAI_API_KEY"
_MAX_ROWS = 2048  # https://platform.openai.com/docs/api-reference/embeddings/create
# What the client wants in place of a key, where none is sent.
_NO_KEY = "none"


def connect(config: model_pb2.EmbeddingServiceModel, calls: RemoteCalls) -> Embed:
    """Returns what makes a request.

    Raises:
        SystemicError: There is no key on this worker.
    """
    server = read_server("openai", config.endpoint)
    if server is None:
        raise SystemicError(f"{config.endpoint!r} is no address")
    key = server.key(_KEY) or _NO_KEY
    beams = OpenAITextEmbeddings(config.uri, ["text"], api_key=key, organization=config.organization or None)
    handler = beams.get_model_handler()
    # Attempts are counted elsewhere. Without an endpoint it is OPENAI_BASE_URL of the worker that counts.
    further: dict[str, Any] = {"base_url": server.url} if server.url else {}
    client = handler.create_client().with_options(max_retries=0, timeout=calls.timeout_secs, **further)
    create = partial(client.embeddings.create, **({"dimensions": config.size} if config.shorten else {}))
    model = SimpleNamespace(embeddings=SimpleNamespace(create=partial(_in_order, create)))
    calls.limit_rows(_MAX_ROWS)
    return lambda texts: calls.request(lambda _: _attempt(handler, model, texts))


def _in_order(create: Any, **request: Any) -> Any:
    """Makes a request; its vectors come back in the order of the texts."""
    response = create(**request)
    response.data.sort(key=lambda each: each.index)
    return response


def _attempt(handler: Any, model: Any, texts: list[str]) -> Any:
    try:
        return handler.request(texts, model)
    except openai.APIConnectionError as error:  # a time-out is one as well
        raise Unavailable(f"{type(error).__name__}: {first_line(error)}") from error
    except openai.APIStatusError as error:
        raise _translated(error) from error
    except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:  # the client's, at odd answers
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise SystemicError(f"the server returned no embeddings: {reason}") from error


def _translated(error: Any) -> Exception:
    said = error.body.get("message") if isinstance(error.body, dict) else None
    reason = f"HTTP {error.status_code}: {said or first_line(error)}"
    if error.code == "insufficient_quota":  # comes as 429, and does not pass
        return SystemicError(f"OpenAI refuses: {reason}")
    waits = max(retry_after(error.response.headers), default=None)
    credentials = f"{_KEY} in the environment of the workers"
    return translated("OpenAI", error.status_code, reason, waits, credentials=credentials)
