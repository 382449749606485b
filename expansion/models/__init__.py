# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models: one framework a module, named after its field of Model.framework.

To add a framework: add its message to model.proto, copy the module that is most like it, and add its name to ``NAMES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

from expansion.contract._gen import model_pb2
from expansion.errors import ConfigError, Problem
from expansion.models.signature import Model, Signature

NAMES = ("onnx", "sklearn")


class ModelModule(Protocol):
    """What every framework's module provides. ``config`` is its own message, as OnnxModel is for onnx.py."""

    def check(self, config: Any) -> Iterator[Problem]:
        """Yields what is wrong with the message by itself; paths are relative to it. Reads no file."""

    def unsafe_format(self, config: Any) -> str | None:
        """Returns the format of the model's file if loading it runs code from it, else None."""

    def unsafe_types(self, config: Any) -> Mapping[str, str]:
        """Returns the types that the message tells workers to trust and that are not known to be harmless.

        Returns:
            The types, as "module.Class", by their path relative to the message; empty where a framework has none.
        """

    def signature(self, config: Any) -> Signature:
        """Returns the model's inputs and outputs, read from its file as data; the framework is never imported.

        Raises:
            ConfigError: The file can't be read, or holds no model that can be served; paths are relative to it.
        """

    def build(self, config: Any) -> Model:
        """Loads the model. Called on workers; imports the framework.

        Raises:
            SystemicError: The model does not load, or the framework is not installed.
        """


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
