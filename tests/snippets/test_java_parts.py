# Licensed under the Apache License, Version 2.0; see LICENSE.
"""That they compile, and build the same message: tests/runners/test_snippets.py."""

import pytest

from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.config import parse_mapping
from expansion.snippets import java_parts
from expansion.snippets.java_literal import Expressions


def said(kind, content):
    parsed = parse_mapping(kind, content)
    assert parsed.problems == []
    make = {Hook: java_parts.hook, Model: java_parts.model, Operation: java_parts.operation}[kind]
    return make(parsed.config, Expressions())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"scale": {"columns": ["a"], "affine": {"factor": 2}}}, 'Hooks.scale(2.0, 0.0, "a")'),
        ({"scale": {"columns": ["a"], "min_max": {"min": 0, "max": 9}}}, 'Hooks.minMax(0.0, 9.0, "a")'),
        ({"pad": {"columns": ["a"], "longest": True}}, 'Hooks.padToLongest("a")'),
        ({"labels": {"column": "a", "labels": ['"x"']}}, 'Hooks.labels("a", "a", List.of("\\"x\\""))'),
        ({"reshape": {"column": "a", "shape": [2, -1]}}, 'Hooks.reshape("a", 2L, -1L)'),
        ({"top_k": {"column": "a", "k": 1, "values_output": "v", "indices_output": "i"}},
         'Hooks.topK("a", 1L, "v", "i")'),
        ({"rename": {"columns": {"a": "b"}}}, 'Hooks.rename("a", "b")'),
        ({"cast": {"columns": ["a", "b"], "datatype": "FP32"}}, 'Hooks.cast(Datatype.FP32, "a", "b")'),
    ],
)  # fmt: skip
def test_hooks_are_made_by_short_methods_that_say_it_all(content, code):
    assert said(Hook, content) == code


def test_a_setting_that_no_short_method_has_is_set_in_the_message():
    code = said(Hook, {"pad": {"columns": ["a"], "length": 3, "value": 1.5}})
    assert code.startswith("Hook.newBuilder()")
    assert ".setLength(3L).setValue(1.5)" in code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"onnx": {"uri": "a.onnx"}}, 'Models.onnx("a.onnx")'),
        ({"sklearn": {"uri": "a", "methods": ["predict"]}}, 'Models.sklearn("a", "predict")'),
        ({"onnx": {"uri": "a", "providers": ["P"]}}, "Models.of(OnnxModel.newBuilder()"),
    ],
)
def test_models_are_made_by_their_methods(content, code):
    assert said(Model, content).startswith(code)


def test_operations_without_a_short_method_are_messages():
    assert said(Operation, {"scale_to_01": {"columns": ["a"]}}) == 'Operations.scaleTo01("a")'
    with_output = said(Operation, {"scale_to_01": {"columns": ["a"], "outputs": ["b"]}})
    assert with_output.startswith("Operations.of(ScaleTo01.newBuilder()")
