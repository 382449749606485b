# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where an engine comes from: a file, the cache, or the builder. Imports TensorRT: for workers only."""

from __future__ import annotations

import logging

import tensorrt

from expansion.errors import SystemicError
from expansion.models.signature import Signature
from expansion.models.tensorrt_build import Log, build_engine
from expansion.models.tensorrt_cache import engine_key, read_engine, write_engine
from expansion.models.tensorrt_engine import TensorRtEngine
from expansion.models.tensorrt_gpu import Gpu
from expansion.models.tensorrt_settings import Settings

_LOG = logging.getLogger(__name__)


def load_engine(uri: str, content: bytes, signature: Signature, gpu_index: int) -> TensorRtEngine:
    """Loads an engine.

    Args:
        uri: Where it is, for messages.
        content: The file.
        signature: What is declared of it.
        gpu_index: The GPU.

    Raises:
        SystemicError: It can't be loaded, or is not as declared.
    """
    log = _log()
    try:
        return TensorRtEngine(content, signature, Gpu(gpu_index), log)
    except (MemoryError, SystemicError) as error:
        raise SystemicError(f"{uri!r}: {error}") from error


def load_onnx(
    uri: str, model: bytes, signature: Signature, settings: Settings, cache_uri: str, gpu_index: int
) -> TensorRtEngine:
    """Loads the engine of an ONNX model from the cache, or builds it and keeps it there.

    Args:
        uri: Where the model is, for messages.
        model: The ONNX file.
        signature: What it takes and returns.
        settings: What the engine is for.
        cache_uri: Directory of the cache; empty for none.
        gpu_index: The GPU.

    Raises:
        SystemicError: TensorRT can't run the model.
    """
    log, gpu = _log(), Gpu(gpu_index)
    key = engine_key(model, settings.as_json(), tensorrt.__version__, gpu.description())
    kept = read_engine(cache_uri, key) if cache_uri else None
    try:
        if kept is not None:
            try:
                return TensorRtEngine(kept, signature, gpu, log)
            except SystemicError as error:
                _LOG.warning("the engine of %s in the cache does not load, and is built again: %s", uri, error)
        engine = build_engine(uri, model, signature, settings, log)
        loaded = TensorRtEngine(engine, signature, gpu, log)
    except MemoryError as error:
        raise SystemicError(f"{uri!r}: {error}; set workspace_bytes or fewer max_rows") from error
    if cache_uri:  # only now that it is known to load
        write_engine(cache_uri, key, engine)
    return loaded


def _log() -> Log:
    log = Log()
    if hasattr(tensorrt, "init_libnvinfer_plugins"):
        tensorrt.init_libnvinfer_plugins(log, "")  # the plugins that come with TensorRT, for models that use them
    return log
