# Licensed under the Apache License, Version 2.0; see LICENSE.
"""RunInference for Apache Beam as a typed, safe cross-language transform.

A Python pipeline imports what it applies from here; everything else is an implementation detail.
"""

from typing import Any

__all__ = ["RunInference"]


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: the contract and the command line work without importing Beam.
    if name == "RunInference":
        from expansion.transforms.run_inference import RunInference

        return RunInference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
