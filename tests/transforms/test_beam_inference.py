# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Beam's RunInference is imported without the PyTorch that stands beside it, and gives up nothing else."""

import importlib.util
import subprocess
import sys

import pytest

# A worker has read a coder when it reads the first step.
WORKER = "import sys, expansion.transforms.batch_coder, apache_beam.ml.inference.base as base; "


def printed(code):
    command = [sys.executable, "-c", WORKER + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_worker_imports_no_framework_before_its_model_asks_for_one():
    frameworks = "'torch', 'scipy', 'sklearn', 'tensorflow', 'onnxruntime', 'transformers', 'xgboost'"
    assert printed(f"print([name for name in ({frameworks},) if name in sys.modules])") == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_beam_still_measures_the_memory_of_models():
    assert printed("print(base.resource.__name__)") == "resource"


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
def test_who_asks_beam_for_its_model_manager_gets_it():
    asked = "from apache_beam.ml.inference.model_manager import ModelManager; "
    assert printed(asked + "print(ModelManager.__name__, 'torch' in sys.modules)") == "ModelManager True"
