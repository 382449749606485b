# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from expansion import models
from expansion.contract._gen.model_pb2 import Model
from expansion.errors import ConfigError, SystemicError
from expansion.models.runtime import Runtime
from expansion.transforms.config import read_config

ONNX = {"onnx": {"uri": "m.onnx"}}


@pytest.fixture
def model(tmp_path) -> Model:
    path = tmp_path / "line.pickle"
    path.write_bytes(pickle.dumps(LinearRegression().fit(np.array([[0.0], [1.0]]), [0.0, 2.0])))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Model(sklearn={"uri": str(path), "format": "pickle"}, sha256=sha256)


def test_a_file_with_the_sha256_is_loaded(model):
    assert hasattr(models.build(model, Runtime()), "run")


def test_a_file_with_another_is_not_loaded_and_its_code_does_not_run(model, tmp_path):
    canary = tmp_path / "code-ran"

    class Exploit:
        def __reduce__(self):
            return canary.touch, ()

    (tmp_path / "line.pickle").write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(SystemicError, match=f"' has the SHA-256 [0-9a-f]{{64}}; expected {model.sha256}: the"):
        models.build(model, Runtime())
    assert not canary.exists()
    model.sha256 = ""
    with pytest.raises(SystemicError):
        models.build(model, Runtime())
    assert canary.exists()  # the exploit of this test works


def test_what_is_wrong_with_a_file_names_it_and_not_its_copy(model, tmp_path):
    (tmp_path / "line.pickle").write_bytes(b"\x80broken")
    model.sha256 = hashlib.sha256(b"\x80broken").hexdigest()
    with pytest.raises(SystemicError) as raised:
        models.build(model, Runtime())
    assert str(tmp_path / "line.pickle") in str(raised.value)
    assert "/beam-ml-expansion-" not in str(raised.value)


@pytest.mark.parametrize(
    ("config", "path", "reason"),
    [
        ({"model": {**ONNX, "sha256": "AB" * 32}}, "model.sha256", "64 hexadecimal digits in lower case"),
        ({"model": {**ONNX, "sha256": "ab" * 31}}, "model.sha256", "64 hexadecimal digits in lower case"),
        ({"model": {"tensorflow": {"uri": "saved"}, "sha256": "ab" * 32}}, "model.sha256", "is not one file"),
        (
            {"model": {"huggingface": {"uri": "hf://a/b", "task": "x"}, "sha256": "ab" * 32}},
            "model.sha256",
            "not one file",
        ),
        ({"model": {**ONNX, "sha256": "ab" * 32, "refresh_interval_secs": 1}}, "model.sha256", "refresh_interval_secs"),
        ({"model": {**ONNX, "sha256": "ab" * 32}, "model_uris": {}}, "model_uris", "model.sha256 is set"),
        ({"model": {**ONNX, "sha256": "ab" * 32}, "per_key": {"uris": {"a": "b"}}}, "per_key", "model.sha256 is set"),
    ],
)
def test_a_sha256_is_of_one_file_that_does_not_change(config, path, reason):
    with pytest.raises(ConfigError) as raised:
        read_config(config)
    assert any(problem.path == path and reason in problem.message for problem in raised.value.problems)
