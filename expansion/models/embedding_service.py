# Licensed under the Apache License, Version 2.0; see LICENSE.
"""embedding_service: models that turn texts into vectors, called at the provider that has them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import at, did_you_mean
from expansion.contract.secrets import looks_like_key, redacted_start
from expansion.errors import BadRows, Problem, SystemicError
from expansion.models.embedding_server import read_server
from expansion.models.remote_calls import RemoteCalls, check_calls
from expansion.models.runtime import Runtime
from expansion.models.signature import Signature
from expansion.models.vertex_ai_address import is_endpoint_or_model, read_address
from expansion.tensors.arrays import joined
from expansion.tensors.columns import Column, Columns
from expansion.tensors.results import declared_column

# Providers, and the extra that workers need for them. Each has a module embedding_NAME with connect(config, calls).
_EXTRAS = {"openai": "openai", "hugging_face": "", "vertex_ai": "gcp"}
_TEXT = Field("text", "STRING")
_OUTPUT = "embedding"
# Settings that not every provider has.
_SETTINGS = {"shorten": ("openai", "vertex_ai"), "task_type": ("vertex_ai",), "organization": ("openai",)}
_LARGEST = 65536

# Makes one request of texts, in several attempts if need be, and returns a vector for each.
Embed = Callable[[list[str]], Any]


def check(config: model_pb2.EmbeddingServiceModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if config.provider not in _EXTRAS:
        got = f"unknown provider {config.provider[:60]!r}" if config.provider else "missing"
        yield Problem("provider", f"{got}; {did_you_mean(config.provider, _EXTRAS)}")
    if not config.uri:
        yield Problem("uri", "missing; expected the model's name, such as 'text-embedding-3-small'")
    elif config.provider == "vertex_ai" and not is_endpoint_or_model(config.uri):
        expected = "projects/PROJECT/locations/LOCATION/publishers/google/models/MODEL"
        yield Problem("uri", f"got {redacted_start(config.uri, 200)!r}; expected {expected}")
    if not 0 < config.size <= _LARGEST:
        got = f"got {config.size}" if config.size else "missing"
        yield Problem("size", f"{got}; expected how many numbers the model's vectors have, such as 1536")
    for name, providers in _SETTINGS.items():
        if getattr(config, name) and config.provider in _EXTRAS and config.provider not in providers:
            yield Problem(name, f"only {' and '.join(providers)} have it, and provider is {config.provider!r}")
    for name in ("uri", "task_type", "organization", "endpoint"):
        if looks_like_key(getattr(config, name)):
            yield Problem(name, "looks like a key; keys are set in the environment of the workers, never here")
    yield from _check_endpoint(config)
    yield from at("calls", check_calls(config.calls))


def _check_endpoint(config: model_pb2.EmbeddingServiceModel) -> Iterator[Problem]:
    if not config.endpoint:
        return
    got = f"got {redacted_start(config.endpoint, 200)!r}"
    if config.provider == "vertex_ai":
        if read_address(config.uri, config.endpoint) is None:
            yield Problem("endpoint", f"{got}; expected HOST or HOST:PORT; http:// only for the worker's own machine")
    elif read_server(config.provider, config.endpoint) is None:
        yield Problem("endpoint", f"{got}; expected https://HOST/PATH or http://HOST:PORT/PATH, and no more")


def permissions(config: model_pb2.EmbeddingServiceModel) -> Iterator[Permission]:
    """Yields nothing: workers run nothing that a server sends."""
    yield from ()


def signature(config: model_pb2.EmbeddingServiceModel) -> Signature:
    """Returns text STRING → embedding FP32[size]."""
    return Signature({_TEXT.name: _TEXT}, {_OUTPUT: Field(_OUTPUT, "FP32", (config.size,))})


def build(config: model_pb2.EmbeddingServiceModel, runtime: Runtime = Runtime()) -> EmbeddingService:
    """Finds the worker's key; nothing is called before there are rows.

    Device and threads are the provider's own business; ``runtime`` is not used.

    Raises:
        SystemicError: There is no key, or a package is missing.
    """
    calls = RemoteCalls(config.calls, f"{config.provider} {config.uri}")
    try:
        provider = importlib.import_module(f"expansion.models.embedding_{config.provider}")
        return EmbeddingService(config, provider.connect(config, calls), calls)
    except ImportError as error:
        extra = _EXTRAS.get(config.provider, "")
        package = f"beam-ml-expansion[{extra}]" if extra else "beam-ml-expansion"
        raise SystemicError(f"{error.name} is missing; install {package} on the workers") from error


class EmbeddingService:
    """A model at a provider. Used by several threads at once.

    Args:
        config: The model's message.
        embed: Makes a request.
        calls: How many rows a request may have.
    """

    def __init__(self, config: model_pb2.EmbeddingServiceModel, embed: Embed, calls: RemoteCalls):
        self._field = signature(config).outputs[_OUTPUT]
        self._embed = embed
        self._calls = calls

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Has the texts of a batch embedded, in as few requests as it takes.

        Raises:
            BadRows: Some texts are empty, which no provider takes.
        """
        texts = joined(inputs[_TEXT.name], _TEXT).to_rows()
        empty = [row for row, text in enumerate(texts) if not text]
        if empty:
            raise BadRows(dict.fromkeys(empty, "the text is empty, and no provider of embeddings takes such"))

        def send(start: int, stop: int) -> Columns:
            vectors = self._embed(texts[start:stop])
            return Columns({_OUTPUT: declared_column(self._field, vectors, stop - start)}, stop - start)

        return dict(Columns.concat(self._calls.in_parts(len(texts), send)).select(outputs))
