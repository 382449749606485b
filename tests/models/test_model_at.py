# Licensed under the Apache License, Version 2.0; see LICENSE.
import json

import pytest

from expansion.contract.config import to_mapping
from expansion.errors import ConfigError
from expansion.models.model_at import model_at


@pytest.mark.parametrize(
    ("uri", "model"),
    [
        ("gs://models/a.onnx", {"onnx": {"uri": "gs://models/a.onnx"}}),
        ("a.SKOPS", {"sklearn": {"uri": "a.SKOPS"}}),
        ("a.joblib", {"sklearn": {"uri": "a.joblib", "format": "joblib"}}),
        ("a.pt2", {"pytorch": {"uri": "a.pt2"}}),
        ("a.ubj", {"xgboost": {"uri": "a.ubj"}}),
        ("a.keras", {"tensorflow": {"uri": "a.keras"}}),
        ("a.engine", {"tensorrt": {"uri": "a.engine"}}),
    ],
)
def test_the_end_of_its_name_says_what_a_file_is(uri, model):
    assert to_mapping(model_at(uri)) == model


def test_a_directory_with_saved_model_pb_is_a_saved_model(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    assert to_mapping(model_at(str(tmp_path))) == {"tensorflow": {"uri": str(tmp_path)}}


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("ViTForImageClassification", "image-classification"),
        ("LlamaForCausalLM", "text-generation"),
        ("BertModel", "sentence-embedding"),
    ],
)
def test_the_head_of_a_transformers_model_says_its_task(tmp_path, architecture, task):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    assert model_at(str(tmp_path)).huggingface.task == task


def test_a_damaged_config_is_taken_for_that_of_embeddings(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert model_at(str(tmp_path)).huggingface.task == "sentence-embedding"


def test_anything_else_is_refused_with_what_there_could_be(tmp_path):
    with pytest.raises(ConfigError, match=r"is no model that is known; expected a file that ends in \.onnx"):
        model_at(str(tmp_path))
