# Licensed under the Apache License, Version 2.0; see LICENSE.
"""RunInference and MLTransform for Apache Beam as typed, safe cross-language transforms.

A Python pipeline imports what it applies from here; everything else is an implementation detail.
"""

from typing import Any

__all__ = ["MLTransform", "RunInference"]


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: the contract and the command line work without importing Beam.
    if name == "RunInference":
        from expansion.transforms.run_inference import RunInference

        return RunInference
    if name == "MLTransform":
        from expansion.transforms.ml_transform import MLTransform

        return MLTransform
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
