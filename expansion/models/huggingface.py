# Licensed under the Apache License, Version 2.0; see LICENSE.
"""huggingface: models of transformers, run by PyTorch.

A directory is read as the service and the workers see it. What the hub has (hf://) only workers read: they download
JSON, text and safetensors files, into the hub's own cache, and check them as the service checks a directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem, SystemicError, first_line
from expansion.files import local_copy
from expansion.models import hub
from expansion.models.huggingface_files import read_files
from expansion.models.pytorch_gpu import pick_device
from expansion.models.runtime import Runtime
from expansion.models.signature import Model, Signature

_LABELS = {"label": Field("label", "STRING"), "score": Field("score", "FP32")}
_TASKS = {
    "sentence-embedding": Signature(
        {"text": Field("text", "STRING")}, {"embedding": Field("embedding", "FP32", (-1,))}
    ),
    "text-classification": Signature({"text": Field("text", "STRING")}, _LABELS),
    "image-classification": Signature({"image": Field("image", "BYTES")}, _LABELS),
    "text-generation": Signature(
        {"text": Field("text", "STRING")}, {"generated_text": Field("generated_text", "STRING")}
    ),
}
_DOWNLOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")  # neither code nor pickles


def check(config: model_pb2.HuggingFaceModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from hub.check_uri(config.uri)
    if config.task not in _TASKS:
        got = f"unknown task {config.task!r}" if config.task else "missing"
        yield Problem("task", f"{got}; {did_you_mean(config.task, _TASKS)}")
    for name, task in (("max_tokens", "sentence-embedding"), ("max_new_tokens", "text-generation")):
        value = getattr(config, name)
        if value < 0:
            yield Problem(name, f"got {value}; expected a positive number, or none for the default")
        elif value and config.task != task:
            yield Problem(name, f"only task {task} has it, and task is {config.task!r}; leave it out")


def permissions(config: model_pb2.HuggingFaceModel) -> Iterator[Permission]:
    """Yields nothing: no code is run but that of transformers, and safetensors files hold numbers only."""
    yield from ()


def signature(config: model_pb2.HuggingFaceModel) -> Signature:
    """Returns what the task takes and gives; of a directory also the size of embeddings."""
    read = _TASKS[config.task]
    if hub.is_of_hub(config.uri):
        return read
    files = read_files(config.uri, config.task)
    if config.task != "sentence-embedding":
        return read
    if files.max_positions and config.max_tokens > files.max_positions:
        reason = f"got {config.max_tokens}; the model has positions for {files.max_positions} tokens"
        raise ConfigError([Problem("max_tokens", f"{reason}; make it smaller, or leave it out")])
    return Signature(read.inputs, {"embedding": Field("embedding", "FP32", (files.embedding_size,))})


def build(config: model_pb2.HuggingFaceModel, runtime: Runtime = Runtime()) -> Model:
    """Loads the model, and what its task needs beside it.

    The number of threads is PyTorch's, of the whole process: of several models the one that is loaded last sets it.
    """
    # transformers 4 imports TensorFlow where it finds it, which ends a process that has Triton, as PyTorch may.
    os.environ.setdefault("USE_TF", "0")
    try:
        import torch

        from expansion.models.huggingface_tasks import load
    except ImportError as error:
        raise SystemicError(
            f"{error.name or 'transformers'} is missing; install beam-ml-expansion[huggingface] on the workers"
        ) from error

    device = pick_device(runtime)
    torch.set_num_threads(runtime.thread_count())
    with _directory(config.uri, runtime.files_change) as path:
        try:
            files = read_files(str(path), config.task)
        except ConfigError as error:
            raise SystemicError(error.reason) from error
        try:
            return load(config, path, files, device)
        except SystemicError:
            raise
        except Exception as error:  # damaged files may raise anything
            raise SystemicError(f"transformers can't load {config.uri!r}: {first_line(error)}") from error


def _directory(uri: str, private: bool) -> AbstractContextManager[Path]:
    """Gives the model's files as a local directory.

    Raises:
        SystemicError: They can't be read.
    """
    model = hub.read_uri(uri)
    if model is None:
        return local_copy(uri, private)
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(model.name, revision=model.revision or None, allow_patterns=list(_DOWNLOADED))
    except Exception as error:  # of the network, of the hub, or of the cache
        raise SystemicError(f"can't download {uri!r} from the hub: {first_line(error)}") from error
    return nullcontext(Path(path))
