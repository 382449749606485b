# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models of which the configuration says what their file holds: no other is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from expansion.errors import SystemicError
from expansion.files import local_file, sha256_of
from expansion.models.runtime import Runtime
from expansion.models.signature import Model


def build_pinned(build: Callable[[Any, Runtime], Model], config: Any, runtime: Runtime, sha256: str) -> Model:
    """Loads a model from a copy of its file that nobody can write over between the look at it and the loading.

    Args:
        build: Loads it.
        config: The framework's message.
        runtime: Device and threads for the model.
        sha256: What the file has to have, in hexadecimal digits.

    Raises:
        SystemicError: It is another file, it can't be read, or it does not load.
    """
    with local_file(config.uri, private=True) as path:
        found = sha256_of(path)
        if found != sha256:
            reason = "the file was changed, or it is another one"
            raise SystemicError(f"{config.uri!r} has the SHA-256 {found}; expected {sha256}: {reason}")
        copied = type(config)()
        copied.CopyFrom(config)
        copied.uri = str(path)
        try:
            return build(copied, runtime)
        except SystemicError as error:
            raise type(error)(str(error).replace(str(path), config.uri)) from error
