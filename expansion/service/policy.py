# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the operator of a service lets clients ask for, beyond what is right by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from expansion.contract._gen import run_inference_pb2
from expansion.errors import Problem

# Formats of model files that run code from the file when workers load them.
UNSAFE_FORMATS = ("joblib", "pickle")


def check(config: run_inference_pb2.RunInferenceConfig, allowed_formats: Collection[str]) -> Iterator[Problem]:
    """Yields what a configuration asks for that the operator does not allow.

    Args:
        config: The configuration.
        allowed_formats: Those of ``UNSAFE_FORMATS`` that are allowed.
    """
    format_ = config.model.sklearn.format
    if format_ in UNSAFE_FORMATS and format_ not in allowed_formats:
        yield Problem(
            "model.sklearn.format",
            f"got {format_!r}, which runs code from the model's file; expected 'skops'; save the model with skops, or "
            f"start the service with --allow-format {format_}",
        )
