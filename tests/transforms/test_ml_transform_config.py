# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is wrong with a configuration of MLTransform by itself, all at once and with paths."""

import json

import pytest

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.errors import ConfigError
from expansion.transforms.ml_transform_config import read_config

SCALE = {"scale_to_01": {"columns": ["age"]}}
YAML = """
operations:
  - scale_to_01: {columns: [age]}
write_artifact_location: gs://features/visits
"""


def problems(**config):
    with pytest.raises(ConfigError) as raised:
        read_config(config)
    return {problem.path: problem.message for problem in raised.value.problems}


def test_every_form_of_a_configuration_is_the_same_message():
    mapping = {"operations": [SCALE], "write_artifact_location": "gs://features/visits"}
    message = MLTransformConfig(**mapping)
    for source in (YAML, json.dumps(mapping), mapping, message, message.SerializeToString()):
        assert read_config(source) == message


def test_all_problems_are_reported_at_once():
    found = problems(
        operations=[{"scale_to_01": {}}, {}, {"hash_strings": {"columns": ["a"], "bucket": 2}}],
        pre_hooks=[{"scale": {"columns": ["a"]}}],
        overwrite=True,
        engine="tft",
        max_batch_size=-1,
        error_handling={"output": "output"},
        tensor_batch={},
    )
    assert list(found) == [
        "operations[2].hash_strings.bucket",
        "operations[0].scale_to_01.columns",
        "operations[1]",
        "overwrite",
        "engine",
        "pre_hooks[0].scale",
        "max_batch_size",
        "error_handling.output",
        "tensor_batch.columns",
    ]
    assert "expected one of scale_to_01, scale_by_min_max" in found["operations[1]"]


def test_there_must_be_an_operation_or_an_artifact():
    assert problems() == {"operations": "missing; expected one or more, or read_artifact_location"}
    assert read_config({"read_artifact_location": "gs://features/visits"})


def test_an_artifact_is_written_or_read():
    found = problems(operations=[SCALE], write_artifact_location="a", read_artifact_location="b")
    assert list(found) == ["read_artifact_location"]
    assert "write_artifact_location is set too" in found["read_artifact_location"]


def test_what_is_learned_by_window_is_not_kept():
    found = problems(operations=[SCALE], per_window=True, write_artifact_location="a")
    assert list(found) == ["write_artifact_location"]
    wire = {"columns": [{"name": "age", "datatype": "FP64"}]}
    assert list(problems(operations=[SCALE], per_window=True, tensor_batch=wire)) == ["per_window"]


def test_an_engine_that_there_is_not_is_refused():
    assert "did you mean 'native'?" in problems(operations=[SCALE], engine="nativ")["engine"]
    for engine in ("native", "TFT"):
        assert read_config({"operations": [SCALE], "engine": engine, "write_artifact_location": "a"})
