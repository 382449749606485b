# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What engine TFT can't do is refused where the pipeline is built, with the path of what asks for it."""

import pytest

from expansion.contract._gen import operation_pb2
from expansion.errors import ConfigError
from expansion.operations import NAMES
from expansion.tft import config as tft_config
from expansion.transforms.ml_transform_config import permissions, read_config

SCALE = {"scale_to_01": {"columns": ["age"]}}


def problems(*operations, **config):
    config.setdefault("write_artifact_location", "a")
    with pytest.raises(ConfigError) as raised:
        read_config({"engine": "TFT", "operations": list(operations), **config})
    return {problem.path: problem.message for problem in raised.value.problems}


def test_operations_that_tensorflow_transform_lacks_are_refused():
    found = problems(
        SCALE,
        {"one_hot": {"columns": ["city"], "size": 3}},
        {"impute": {"columns": ["age"], "strategy": "mean"}},
    )
    assert list(found) == ["operations[1].one_hot", "operations[2].impute"]
    assert "tensorflow-transform has no such operation" in found["operations[2].impute"]


def test_every_operation_is_either_done_or_refused():
    assert set(tft_config.NAMES) < set(NAMES)
    fields = operation_pb2.Operation.DESCRIPTOR.oneofs_by_name["operation"].fields
    assert [field.name for field in fields if field.name in tft_config.NAMES] == list(tft_config.NAMES)


def test_delimiters_are_ascii():
    found = problems({"ngrams": {"columns": ["text"], "delimiters": " –"}})
    assert list(found) == ["operations[0].ngrams.delimiters"]
    assert "splits texts at bytes" in found["operations[0].ngrams.delimiters"]


def test_windows_do_not_learn_by_themselves():
    assert list(problems(SCALE, write_artifact_location="", per_window=True)) == ["per_window"]


def test_the_graph_needs_a_place_even_if_nothing_is_learned():
    found = problems({"hash_strings": {"columns": ["city"], "buckets": 10}}, write_artifact_location="")
    assert list(found) == ["write_artifact_location"]


def test_only_reading_needs_the_operators_leave():
    assert not list(permissions(read_config({"engine": "TFT", "operations": [SCALE], "write_artifact_location": "a"})))
    assert not list(permissions(read_config({"read_artifact_location": "a"})))
    [asked] = permissions(read_config({"engine": "TFT", "read_artifact_location": "gs://a/b"}))
    assert (asked.path, asked.option, asked.value) == ("read_artifact_location", "--trust-artifact-root", "gs://a/b")
