# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion.contract.column_list import format_columns
from expansion.snippets.input_columns import columns_of
from expansion.transforms import config, ml_transform_config


@pytest.fixture
def adder_file(tmp_path, adder):
    path = tmp_path / "adder.onnx"
    path.write_bytes(adder(1, shape=[2]))
    return str(path)


def columns(content):
    read = ml_transform_config if "operations" in content or "read_artifact_location" in content else config
    return format_columns(columns_of(read.read_config(content)).values())


def test_columns_that_feed_the_model_are_as_the_model_takes_them(adder_file):
    model = {"onnx": {"uri": adder_file}}
    assert columns({"model": model}) == "x:FP32[2]"
    assert columns({"model": model, "inputs": [{"name": "x", "columns": ["a", "b"]}]}) == "a:FP32,b:FP32"
    scaled = {"pre_hooks": [{"scale": {"columns": ["a"], "affine": {}}}], "inputs": [{"name": "x", "columns": ["a"]}]}
    assert columns({"model": model, **scaled}) == "a:FP32[2]"


@pytest.mark.parametrize(
    ("hook", "column"),
    [
        ({"tokenize": {"column": "c", "uri": "tokenizer.json", "ids_output": "x"}}, "c:STRING"),
        ({"decode_image": {"column": "c", "output": "x", "width": 2, "height": 2}}, "c:BYTES"),
        ({"impute": {"columns": ["c"], "text": "none"}}, "c:STRING"),
        ({"impute": {"columns": ["c"], "value": 1}}, "c:FP64"),
        ({"one_hot": {"column": "c", "categories": ["a"], "output": "x"}}, "c:STRING"),
        ({"concat": {"columns": ["c", "d"], "output": "x"}}, "c:FP64,d:FP64"),
        ({"rename": {"columns": {"c": "x"}}}, "c:FP64"),
    ],
)
def test_columns_that_hooks_read_are_as_the_hooks_take_them(adder_file, hook, column):
    read = columns({"model": {"onnx": {"uri": adder_file}}, "pre_hooks": [hook]}).removesuffix(",x:FP32[2]")
    assert read == column


def test_a_column_that_a_hook_makes_is_none_of_the_inputs(adder_file):
    hooks = [{"concat": {"columns": ["a"], "output": "x"}}]
    assert columns({"model": {"onnx": {"uri": adder_file}}, "pre_hooks": hooks}) == "a:FP64"


def test_later_models_of_a_chain_read_what_no_model_makes(adder_file):
    model = {"onnx": {"uri": adder_file}}
    hooks = [{"concat": {"columns": ["y", "z"], "output": "x"}}]
    assert columns({"model": model, "then": [{"model": model, "pre_hooks": hooks}]}) == "x:FP32[2],z:FP64"


def test_of_an_artifact_its_columns_are_known(adder_file, write_artifact, tmp_path):
    write_artifact(str(tmp_path / "artifact"))
    location = {"read_artifact_location": str(tmp_path / "artifact")}
    assert columns(location) == "age:FP64,city:STRING"
    inputs = [{"name": "x", "columns": ["age", "index"]}]
    served = {"model": {"onnx": {"uri": adder_file}}, "pre_hooks": [{"ml_transform": location}], "inputs": inputs}
    assert columns(served) == "age:FP64,city:STRING"


def test_of_a_model_that_can_t_be_read_what_is_declared_is_known():
    assert columns({"model": {"onnx": {"uri": "missing.onnx"}}, "inputs": [{"name": "a"}]}) == "a:FP64[4]"


def test_operations_say_whether_they_read_texts_or_numbers():
    operations = [{"scale_to_01": {"columns": ["n"]}}, {"bag_of_words": {"columns": ["t"]}}]
    assert columns({"operations": operations, "write_artifact_location": "/a"}) == "n:FP64,t:STRING"
