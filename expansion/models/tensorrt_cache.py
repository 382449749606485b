# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Engines that workers have built, kept in a directory on any of Beam's filesystems.

A file is a header of three lines – what it is, the key, the SHA-256 of the engine – and the engine. The header tells a
damaged file, or one of something else, from an engine. It does not tell one that somebody has put there on purpose: the
directory must be as trustworthy as the model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Mapping

from expansion.errors import first_line

_LOG = logging.getLogger(__name__)

_MAGIC = b"beam-ml-expansion TensorRT engine 1"


def engine_key(model: bytes, settings: Mapping[str, object], tensorrt_version: str, gpu: str) -> str:
    """Returns the key of an engine: 64 hexadecimal digits, another one for whatever makes another engine.

    Args:
        model: The ONNX file.
        settings: What the engine is built for; of JSON's types.
        tensorrt_version: The version that builds it; no other is sure to load it.
        gpu: The GPU's name and compute capability; no other is sure to run it.
    """
    parts = [hashlib.sha256(model).hexdigest(), settings, tensorrt_version, gpu]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_engine(directory: str, key: str) -> bytes | None:
    """Returns an engine; None where there is none, or what is there is damaged or can't be read, which is logged."""
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    path = _path(directory, key)
    try:
        if not FileSystems.exists(path):
            return None
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            content: bytes = file.read()
    except Exception as error:  # each filesystem raises its own
        _LOG.warning("can't read the engine cache, and an engine is built: %s: %s", path, first_line(error))
        return None
    header, engine = content[: len(_header(key, b""))], content[len(_header(key, b"")) :]
    if header != _header(key, engine):
        _LOG.warning("%s is damaged, or is not the engine that its name says; it is built again", path)
        return None
    return engine


def write_engine(directory: str, key: str, engine: bytes) -> None:
    """Keeps an engine. Others see all of it or nothing. That it can't be written is logged, and does no other harm."""
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    path = _path(directory, key)
    part = f"{path}.{uuid.uuid4().hex}.part"  # several workers may write the same engine at once
    try:
        if FileSystems.get_scheme(path) is None:  # other filesystems make directories as they are needed
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with FileSystems.create(part, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(_header(key, engine) + engine)
        FileSystems.rename([part], [path])
    except Exception as error:  # each filesystem raises its own
        _LOG.warning("can't write to the engine cache: %s: %s", path, first_line(error))


def _path(directory: str, key: str) -> str:
    return f"{directory.removeprefix('file://').rstrip('/')}/{key}.engine"


def _header(key: str, engine: bytes) -> bytes:
    return b"\n".join([_MAGIC, key.encode(), hashlib.sha256(engine).hexdigest().encode(), b""])
