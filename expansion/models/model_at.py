# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which framework a model file is of, and how a configuration names it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from expansion.contract._gen.model_pb2 import (
    HuggingFaceModel,
    Model,
    OnnxModel,
    PyTorchModel,
    SklearnModel,
    TensorFlowModel,
    TensorRtModel,
    XGBoostModel,
)
from expansion.errors import ConfigError, Problem
from expansion.files import open_on_host

# The end of a file's name → the model that it is of.
_BY_SUFFIX = {
    ".onnx": Model(onnx=OnnxModel()),
    ".skops": Model(sklearn=SklearnModel()),
    ".joblib": Model(sklearn=SklearnModel(format="joblib")),
    ".pkl": Model(sklearn=SklearnModel(format="pickle")),
    ".pickle": Model(sklearn=SklearnModel(format="pickle")),
    ".pt2": Model(pytorch=PyTorchModel()),
    ".pt": Model(pytorch=PyTorchModel()),
    ".pth": Model(pytorch=PyTorchModel()),
    ".safetensors": Model(pytorch=PyTorchModel()),
    ".json": Model(xgboost=XGBoostModel()),
    ".ubj": Model(xgboost=XGBoostModel()),
    ".keras": Model(tensorflow=TensorFlowModel()),
    ".engine": Model(tensorrt=TensorRtModel()),
    ".plan": Model(tensorrt=TensorRtModel()),
}
# What ends the name of a class of transformers → the task that it is for.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForImageClassification": "image-classification",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
}
_MAX_JSON_BYTES = 4 << 20


def model_at(uri: str) -> Model:
    """Returns the model at a path or URI, as a configuration says it; only names and small JSON files are looked at.

    Args:
        uri: A file, told by the end of its name; or the directory of a SavedModel or of a model of Hugging Face.

    Raises:
        ConfigError: It is none that is known.
    """
    for suffix, known in _BY_SUFFIX.items():
        if uri.lower().endswith(suffix):
            return _with_uri(known, uri)
    directory = uri.rstrip("/")
    if _read(f"{directory}/saved_model.pb", 1):
        return _with_uri(Model(tensorflow=TensorFlowModel()), uri)
    if _read(f"{directory}/modules.json", 1):
        return _with_uri(Model(huggingface=HuggingFaceModel(task="sentence-embedding")), uri)
    config = _read(f"{directory}/config.json", _MAX_JSON_BYTES)
    if config:
        return _with_uri(Model(huggingface=HuggingFaceModel(task=_task_of(config) or "sentence-embedding")), uri)
    expected = (
        f"a file that ends in {', '.join(_BY_SUFFIX)}, or the directory of a SavedModel or of a transformers model"
    )
    raise ConfigError([Problem("", f"{uri!r} is no model that is known; expected {expected}")])


def _with_uri(known: Model, uri: str) -> Model:
    model = Model()
    model.CopyFrom(known)
    getattr(model, str(model.WhichOneof("framework"))).uri = uri
    return model


def _read(uri: str, size: int) -> bytes:
    try:
        with open_on_host(uri) as file:
            return file.read(size)
    except ConfigError:
        return b""


def _task_of(config: bytes) -> str:
    """Returns the task of a model of transformers; empty where it has no head for one."""
    return next((task for name in _architectures(config) for end, task in _TASKS.items() if name.endswith(end)), "")


def _architectures(config: bytes) -> Iterator[str]:
    try:
        names = json.loads(config)["architectures"]
        yield from (name for name in names if isinstance(name, str))
    except (ValueError, TypeError, KeyError):
        return
