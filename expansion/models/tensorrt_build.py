# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Building an engine of an ONNX model."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import tensorrt

from expansion.errors import SystemicError
from expansion.models.resource_errors import resource_error
from expansion.models.signature import Signature
from expansion.models.tensorrt_settings import Settings

_LOG = logging.getLogger(__name__)


class Log(tensorrt.ILogger):  # type: ignore[misc]
    """Where TensorRT says what it does; its functions return None or False and say the reason only here."""

    def __init__(self) -> None:
        tensorrt.ILogger.__init__(self)  # of a class in C++, which super() does not initialise
        self._errors: deque[str] = deque(maxlen=100)

    def log(self, severity: Any, message: str) -> None:
        """Keeps errors and hands everything on to Python's logging, one level lower, as TensorRT warns of trifles."""
        if severity in (tensorrt.ILogger.INTERNAL_ERROR, tensorrt.ILogger.ERROR):
            self._errors.append(message)
        elif severity == tensorrt.ILogger.WARNING:
            _LOG.info("TensorRT: %s", message)

    def failure(self, what: str) -> Exception:
        """Returns what to raise when something has failed, and forgets the errors.

        Args:
            what: What has failed.

        Returns:
            MemoryError where the GPU is out of memory, else a SystemicError, with the first line of the first error.
        """
        errors, self._errors = list(self._errors), deque(maxlen=100)
        reason = " ".join(errors[0].split("\n")[:1]) if errors else "TensorRT does not say why"
        return resource_error("\n".join(errors), f"{what}: {reason}") or SystemicError(f"{what}: {reason}")


def build_engine(uri: str, model: bytes, signature: Signature, settings: Settings, log: Log) -> bytes:
    """Builds an engine on the thread's current GPU, in seconds to many minutes.

    Args:
        uri: Where the model is, for messages.
        model: The ONNX file.
        signature: What it takes.
        settings: What the engine is for.
        log: Where TensorRT says what it does.

    Raises:
        SystemicError: TensorRT can't run the model, or has no such precision.
    """
    # Each of these objects is used by those made after it, so all of them live to the end.
    builder = tensorrt.Builder(log)
    network = builder.create_network(_network_flags(settings))
    parser = tensorrt.OnnxParser(network, log)
    config = builder.create_builder_config()
    if not parser.parse(model):
        errors = [parser.get_error(index).desc().strip() for index in range(parser.num_errors)]
        reason = " ".join("; ".join(errors).split()) or "TensorRT does not say why"
        raise SystemicError(f"TensorRT can't run {uri!r}: {reason}; change the model, or run it with onnx")
    _set_precision(config, settings)
    if settings.workspace_bytes:
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
    profile = builder.create_optimization_profile()
    for name, field in signature.inputs.items():
        profile.set_shape(name, *settings.shapes(field))
    config.add_optimization_profile(profile)
    _LOG.info("building a TensorRT engine of %s", uri)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise log.failure(f"TensorRT can't build an engine of {uri!r}")
    return bytes(engine)


def _network_flags(settings: Settings) -> int:
    """Returns flags for a network of the model's own datatypes, unless TensorRT may choose among them.

    From TensorRT 11 on there is no choice:
    https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x.html
    """
    flag = getattr(tensorrt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if settings.precision or flag is None else 1 << int(flag)


def _set_precision(config: Any, settings: Settings) -> None:
    if not settings.precision:
        return
    flag = getattr(tensorrt.BuilderFlag, settings.precision, None)
    if flag is None:
        reason = f"TensorRT {tensorrt.__version__} computes in the model's own datatypes and has no precision to choose"
        fix = "convert the model (python -m modelopt.onnx.autocast), and leave out precision"
        raise SystemicError(f"{reason}; {fix}, or run workers with TensorRT 10")
    config.set_flag(flag)
