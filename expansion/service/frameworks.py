# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Keeps machine-learning frameworks out of the service process.

Models load on workers only. Some of Beam's modules import a framework merely because it is installed
(apache_beam.ml.inference.base imports torch: 732 MiB and 20 s instead of 155 MiB and 2.7 s), and take its absence well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

FRAMEWORKS = frozenset(
    {
        "jax",
        "joblib",
        "keras",
        "onnx",
        "onnxruntime",
        "pandas",  # 34 MiB, and Beam takes its absence as well
        "sentence_transformers",
        "sklearn",
        "skops",
        "tensorflow",
        "tensorflow_hub",
        "tensorflow_transform",
        "tfx_bsl",
        "tensorrt",
        "torch",
        "torchvision",
        "transformers",
        "vllm",
        "xgboost",
    }
)


class _Refusal:
    """A finder that is asked first and refuses frameworks."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in FRAMEWORKS:
            reason = f"{name} is not imported in the expansion service; models load on workers"
            raise ModuleNotFoundError(reason, name=name)
        return None


def refuse() -> None:
    """Makes every later import of a framework in this process fail as if it were not installed."""
    sys.meta_path.insert(0, _Refusal())
