# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models: one framework a module, named after its field of Model.framework.

To add a framework: add its message to model.proto, copy the module that is most like it, and add its name to ``NAMES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Protocol, cast

from expansion.contract._gen import model_pb2
from expansion.contract.permissions import Permission
from expansion.errors import ConfigError, Problem
from expansion.models import stacks
from expansion.models.pinned import build_pinned
from expansion.models.runtime import Runtime
from expansion.models.signature import Model, Signature

NAMES = (
    "onnx",
    "sklearn",
    "pytorch",
    "xgboost",
    "custom",
    "tensorflow",
    "tensorrt",
    "huggingface",
    "open_inference",
    "vertex_ai",
    "vllm",
    "embedding_service",
)


class ModelModule(Protocol):
    """What every framework's module provides. ``config`` is its own message, as OnnxModel is for onnx.py.

    A module may have ``UNFIT`` besides: why fields of Model, by name, make no sense for its framework. One whose models
    are single files says so by ``is_one_file(config)``.
    """

    def check(self, config: Any) -> Iterator[Problem]:
        """Yields what is wrong with the message by itself; paths are relative to it. Reads no file."""

    def permissions(self, config: Any) -> Iterator[Permission]:
        """Yields what the operator of a service must allow before workers do it."""

    def signature(self, config: Any) -> Signature:
        """Returns the model's inputs and outputs, read from its file as data; the framework is never imported.

        Raises:
            ConfigError: The file can't be read, or holds no model that can be served; paths are relative to it.
        """

    def build(self, config: Any, runtime: Runtime) -> Model:
        """Loads the model. Called on workers; imports the framework.

        Args:
            config: The message.
            runtime: Device and threads for the model.

        Raises:
            SystemicError: The model does not load, or the framework is not installed.
        """


def build(model: model_pb2.Model, runtime: Runtime) -> Model:
    """Loads a model; see ModelModule.

    Raises:
        SystemicError: It does not load, or this process has loaded a framework that does not go together with its own.
    """
    name, message = framework(model)
    stacks.claim(name)
    build_it = module_of(model).build
    return build_pinned(build_it, message, runtime, model.sha256) if model.sha256 else build_it(message, runtime)


def framework(model: model_pb2.Model) -> tuple[str, Any]:
    """Returns the name of the model's framework and its message.

    Raises:
        ConfigError: The model has none.
    """
    name = model.WhichOneof("framework")
    if name is None:
        raise ConfigError([Problem("", f"no framework is set; expected one of {', '.join(NAMES)}")])
    return name, getattr(model, name)


def module_of(model: model_pb2.Model) -> ModelModule:
    """Returns the module of the model's framework.

    Raises:
        ConfigError: The model has none.
    """
    name, _ = framework(model)
    return cast(ModelModule, importlib.import_module(f"{__name__}.{name}"))
