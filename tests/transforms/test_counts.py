# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How much of everything a configuration may have, and that what is refused for it is not looked at further."""

import pytest

from expansion.errors import ConfigError
from expansion.transforms import config as run_inference
from expansion.transforms import counts, ml_transform_config
from expansion.transforms.counts import MAX_COLUMNS, MAX_HOOKS_AND_MODELS, MAX_STEPS

MODEL = {"onnx": {"uri": "a.onnx"}}
HOOK = {"softmax": {"column": "a"}}
WRONG = {"softmax": {}}
SCALE = {"scale_to_01": {"columns": ["age"]}}
COLUMNS = {"columns": [{"name": "a", "datatype": "FP32"}]}


def problems(read, config):
    with pytest.raises(ConfigError) as raised:
        read(config)
    return {problem.path: problem.message for problem in raised.value.problems}


def arms(count):
    return [{"name": f"arm{number}", "weight": 1, "model": MODEL} for number in range(count)]


@pytest.mark.parametrize(
    ("path", "config"),
    [
        ("then", {"model": MODEL, "then": [{"model": MODEL}] * (MAX_STEPS + 1)}),
        ("pre_hooks", {"model": MODEL, "pre_hooks": [WRONG] * (MAX_HOOKS_AND_MODELS + 1)}),
        ("post_hooks", {"model": MODEL, "pre_hooks": [WRONG] * 400, "post_hooks": [WRONG] * 601}),
        ("then[1].post_hooks", {"model": MODEL, "then": [{"pre_hooks": [WRONG] * 500}, {"post_hooks": [WRONG] * 501}]}),
        ("split.arms", {"split": {"column": "key", "arms": arms(MAX_HOOKS_AND_MODELS + 1)}}),
        ("ensemble.models", {"ensemble": {"models": [MODEL] * (MAX_HOOKS_AND_MODELS + 1)}}),
        ("tensor_batch.columns", {"model": MODEL, "tensor_batch": {"columns": [{}] * (MAX_COLUMNS + 1)}}),
        (
            "tensor_batch.opaque_columns",
            {"model": MODEL, "tensor_batch": {**COLUMNS, "opaque_columns": [""] * (MAX_COLUMNS + 1)}},
        ),
        (
            "tensor_batch.return_columns",
            {"model": MODEL, "tensor_batch": {**COLUMNS, "return_columns": ["b"] * (MAX_COLUMNS + 1)}},
        ),
    ],
)
def test_of_a_configuration_with_too_much_of_something_only_that_is_said(path, config):
    found = problems(run_inference.read_config, config)
    assert list(found) == [path]
    assert "expected at most" in found[path]


@pytest.mark.parametrize(
    ("path", "config"),
    [
        ("operations", {"operations": [{}] * (MAX_STEPS + 1)}),
        ("pre_hooks", {"operations": [SCALE], "pre_hooks": [WRONG] * (MAX_HOOKS_AND_MODELS + 1)}),
        (
            "operations[1].embed.pre_hooks",
            {"operations": [SCALE, {"embed": {"pre_hooks": [WRONG] * (MAX_HOOKS_AND_MODELS + 1)}}]},
        ),
        ("tensor_batch.columns", {"operations": [SCALE], "tensor_batch": {"columns": [{}] * (MAX_COLUMNS + 1)}}),
    ],
)
def test_of_a_configuration_of_ml_transform_too(path, config):
    assert list(problems(ml_transform_config.read_config, config)) == [path]


def test_as_much_as_is_allowed_is_taken():
    columns = [{"name": f"c{number}", "datatype": "FP32"} for number in range(MAX_COLUMNS)]
    config = {"model": MODEL, "pre_hooks": [HOOK] * MAX_HOOKS_AND_MODELS, "tensor_batch": {"columns": columns}}
    assert run_inference.read_config({**config, "then": [{"model": MODEL}] * MAX_STEPS})
    artifact = {"write_artifact_location": "gs://features/visits"}
    assert ml_transform_config.read_config({"operations": [SCALE] * MAX_STEPS, **artifact})
    assert run_inference.read_config({"split": {"column": "key", "arms": arms(MAX_HOOKS_AND_MODELS)}})


def test_thousands_of_keys_are_taken_and_not_with_a_large_configuration_each():
    uris = {f"key{number}": f"gs://models/{number}.onnx" for number in range(5_000)}
    config = {"model": MODEL, "per_key": {"column": "key", "uris": uris}}
    assert run_inference.read_config(config)
    large = {**MODEL, "env_vars": {f"VARIABLE_{number}": "value" for number in range(1_000)}}
    found = problems(run_inference.read_config, {**config, "model": large})
    assert list(found) == ["per_key.uris"]
    assert found["per_key.uris"].startswith("got 5000 for a model whose configuration has ")


def test_nothing_is_planned_of_what_is_refused(monkeypatch):
    monkeypatch.setattr(counts, "MAX_STEPS", 1)
    monkeypatch.setattr(run_inference, "steps_of", lambda config: pytest.fail("it is worked out"))
    assert list(problems(run_inference.read_config, {"model": MODEL, "then": [{"model": MODEL}] * 2})) == ["then"]
