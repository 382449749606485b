# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import os
from pathlib import Path

import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from expansion.models import onnx
from expansion.service import environments
from expansion.service.expand import ExpansionServicer
from expansion.service.policy import Policy
from expansion.transforms.config import read_config


@pytest.fixture
def servicer() -> ExpansionServicer:
    return ExpansionServicer(environments.parse("docker:worker:1"))


def test_formats_that_run_code_are_refused_unless_the_operator_allows_them(
    servicer, python_request, row_source, row_config
):
    row_config.model.sklearn.format = "pickle"
    request = python_request(row_source, row_config.SerializeToString())
    refused = servicer.Expand(request).error
    assert refused.startswith("model.sklearn.format: got 'pickle', which runs code from the model's file")
    assert refused.endswith("start the service with --allow-format pickle")
    permissive = ExpansionServicer(environments.parse("docker:worker:1"), Policy(allowed_formats=frozenset({"pickle"})))
    assert "--allow-format" not in permissive.Expand(request).error


def test_types_that_may_run_code_are_refused_unless_the_operator_trusts_them(
    servicer, python_request, row_source, row_config, tmp_path
):
    path = tmp_path / "model.skops"
    skops.io.dump(FunctionTransformer(os.system), path)
    row_config.model.sklearn.uri = str(path)
    row_config.model.sklearn.methods.append("transform")
    row_config.model.sklearn.trusted_types.extend(["sklearn.tree._tree.Tree", "posix.system"])
    row_config.outputs.add(source="transform", datatype="FP64")
    request = python_request(row_source, row_config.SerializeToString())
    refused = servicer.Expand(request).error
    assert refused.startswith("model.sklearn.trusted_types[1]: got 'posix.system', which may run code from the model's")
    assert refused.endswith("start the service with --trust-type posix.system")
    assert len(refused.splitlines()) == 1
    trusting = Policy(trusted_types=frozenset({"posix.system"}))
    assert ExpansionServicer(environments.parse("docker:worker:1"), trusting).Expand(request).error == ""


def test_the_types_that_the_digits_example_trusts_need_no_operator(servicer, python_request, row_source, row_config):
    example = (Path(__file__).parents[2] / "examples/digits/sklearn.yaml").read_text()
    types = read_config(example).model.sklearn.trusted_types
    assert types
    row_config.model.sklearn.trusted_types.extend(types)
    assert servicer.Expand(python_request(row_source, row_config.SerializeToString())).error == ""


def test_a_framework_of_any_name_is_asked_what_runs_code(monkeypatch, servicer, java_request, wire_config):
    wire_config.model.onnx.uri = "model.onnx"
    monkeypatch.setattr(onnx, "unsafe_format", lambda message: f"format of {message.uri}")
    monkeypatch.setattr(onnx, "unsafe_types", lambda message: {"some[3]": "a.B"})
    errors = servicer.Expand(java_request("bytes", wire_config.SerializeToString())).error.splitlines()
    assert [error.split(",")[0] for error in errors] == [
        "model.onnx.format: got 'format of model.onnx'",
        "model.onnx.some[3]: got 'a.B'",
    ]
