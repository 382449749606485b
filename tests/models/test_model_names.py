# Licensed under the Apache License, Version 2.0; see LICENSE.
import subprocess
import sys

import pytest

from expansion.contract._gen import model_pb2
from expansion.errors import ConfigError
from expansion.models import NAMES, framework, module_of


def test_every_framework_of_the_contract_has_a_module_of_its_name():
    assert [field.name for field in model_pb2.Model.DESCRIPTOR.oneofs_by_name["framework"].fields] == list(NAMES)
    for name in NAMES:
        model = model_pb2.Model()
        getattr(model, name).SetInParent()
        module = module_of(model)
        assert module.__name__ == f"expansion.models.{name}"
        for question in ("check", "permissions", "signature", "build"):
            assert callable(getattr(module, question))
        needs = {problem.path for problem in module.check(framework(model)[1])}
        assert needs >= {"model_class" if name == "custom" else "uri"}


def test_a_model_without_a_framework_is_a_problem():
    with pytest.raises(ConfigError, match="no framework is set; expected one of onnx, sklearn"):
        module_of(model_pb2.Model(model_id="x"))


def test_reading_signatures_imports_no_framework():
    program = (
        "import sys\n"
        "from expansion.models import onnx, sklearn\n"
        "from expansion.contract._gen import model_pb2\n"
        "for module, message in ((onnx, model_pb2.OnnxModel), (sklearn, model_pb2.SklearnModel)):\n"
        "    try: module.signature(message(uri='none'))\n"
        "    except Exception as error: print(type(error).__name__)\n"
        "print([name for name in sys.modules if name in ('onnx', 'onnxruntime', 'sklearn', 'skops', 'joblib')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["ConfigError", "ConfigError", "[]"]
