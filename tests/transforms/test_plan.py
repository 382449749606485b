# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What suits what is settled at expansion, with every problem named at once."""

import pytest

from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.transforms.config import read_config
from expansion.transforms.plan import make_plan


def plan(config, *fields, taken=()):
    return make_plan(read_config(config), {field.name: field for field in fields}, taken)


def problems(config, *fields, taken=()):
    with pytest.raises(ConfigError) as error:
        plan(config, *fields, taken=taken)
    return {problem.path: problem.message for problem in error.value.problems}


@pytest.fixture
def two_inputs(models):
    return {"model": {"onnx": {"uri": str(models / "sum_and_difference.onnx")}}}


@pytest.fixture
def vector(models):
    return {"model": {"onnx": {"uri": str(models / "identity.onnx")}}}


@pytest.fixture
def integers(models):
    return {"model": {"onnx": {"uri": str(models / "identity_int64.onnx")}}}


def test_inputs_take_columns_of_their_own_names_and_outputs_keep_theirs(two_inputs):
    made = plan(two_inputs, Field("a", "FP32"), Field("b", "FP64"), Field("other", "STRING"))
    assert [(i.field.name, i.columns) for i in made.steps[0].inputs] == [("a", ("a",)), ("b", ("b",))]
    assert list(made.predictions.values()) == [Field("sum", "FP32"), Field("difference", "FP32")]


def test_only_columns_that_hooks_or_the_model_read_are_features(two_inputs):
    config = {**two_inputs, "pre_hooks": [{"scale": {"columns": ["z"], "affine": {}}}]}
    made = plan(config, *(Field(name, "FP32") for name in "abcz"))
    assert list(made.features) == ["a", "b", "z"]


def test_several_columns_are_joined_into_one_input(vector):
    config = {**vector, "inputs": [{"name": "x", "columns": ["p", "q"]}]}
    assert plan(config, Field("p", "FP32"), Field("q", "FP64", (3,))).steps[0].inputs[0].columns == ("p", "q")


def test_declared_feature_columns_all_feed_the_only_input(vector):
    columns = [{"name": name, "datatype": "FP32"} for name in "pq"]
    config = {**vector, "tensor_batch": {"columns": columns}}
    assert plan(config, Field("p", "FP32"), Field("q", "FP32")).steps[0].inputs[0].columns == ("p", "q")


def test_columns_of_rows_are_never_guessed_to_be_features(vector):
    assert list(problems(vector, Field("id", "FP32"))) == ["inputs"]


def test_outputs_can_be_chosen_and_named(two_inputs):
    config = {**two_inputs, "outputs": [{"source": "sum", "name": "total"}]}
    assert plan(config, Field("a", "FP32"), Field("b", "FP32")).predictions == {"total": Field("total", "FP32")}


@pytest.mark.parametrize("datatype", ["INT64", "INT8", "BOOL", "FP64", "FP16"])
def test_any_number_goes_where_a_float_is_expected(two_inputs, datatype):
    plan(two_inputs, Field("a", datatype), Field("b", "FP32"))


def test_a_float_does_not_go_where_an_integer_is_expected(integers):
    found = problems(integers, Field("x", "FP32", (2,)))
    assert "convert it with a cast pre hook" in found["inputs"]


def test_text_does_not_go_where_a_number_is_expected(two_inputs):
    found = problems(two_inputs, Field("a", "STRING"), Field("b", "FP32"))
    assert found["inputs"].startswith("column 'a' is STRING; model input 'a' takes FP32")


def test_text_does_not_go_into_a_matrix_of_numbers(models):
    config = {
        "model": {"sklearn": {"uri": str(models / "sign.skops")}},
        "inputs": [{"name": "X", "columns": ["a", "s"]}],
    }
    found = problems(config, Field("a", "FP64"), Field("s", "STRING"))
    assert found["inputs[0].columns"].startswith("column 's' is STRING; model input 'X' takes numbers")


def test_a_row_of_another_shape_is_refused(two_inputs):
    found = problems(two_inputs, Field("a", "FP32", (2,)), Field("b", "FP32"))
    assert "got shape [2]; model input 'a' takes []" in found["inputs"]


def test_all_problems_of_inputs_and_outputs_are_named_at_once(two_inputs):
    config = {
        **two_inputs,
        "inputs": [{"name": "A", "columns": ["a"]}, {"name": "b", "columns": ["bb"]}],
        "outputs": [{"source": "summ"}, {"source": "sum", "datatype": "INT64"}],
    }
    found = problems(config, Field("a", "FP32"), Field("b", "FP32"))
    assert list(found) == ["inputs[0].name", "inputs[1].columns", "outputs[0].source", "outputs[1].datatype"]


def test_hooks_problems_have_the_hooks_path(two_inputs):
    config = {**two_inputs, "pre_hooks": [{"scale": {"columns": ["zz"], "affine": {}}}]}
    assert list(problems(config, Field("a", "FP32"), Field("b", "FP32"))) == ["pre_hooks[0].scale.columns[0]"]


def fills(two_inputs, *chain):
    fields = Field("a", "INT64"), Field("b", "FP32"), Field("c", "STRING"), Field("d", "FP32", (-1,))
    return plan({**two_inputs, "pre_hooks": chain}, *fields).fills


def impute(*columns, value=7.0):
    return {"impute": {"columns": columns, "value": value}}


def test_nulls_are_filled_in_where_impute_is_the_first_hook_to_touch_a_column(two_inputs):
    assert fills(two_inputs) == {}
    assert fills(two_inputs, impute("a", "b", "c")) == {"a": 7, "b": 7.0, "c": ""}
    assert fills(two_inputs, impute("a"), {"scale": {"columns": ["a"], "affine": {}}}, impute("b")) == {"a": 7, "b": 7}


def test_nulls_get_the_value_of_the_first_of_several_imputes(two_inputs):
    assert fills(two_inputs, impute("a", value=1), impute("a", "b", value=2)) == {"a": 1, "b": 2}


def test_nulls_stay_where_an_earlier_hook_reads_or_changes_the_column(two_inputs):
    scale = {"scale": {"columns": ["a"], "affine": {"factor": 2}}}
    assert fills(two_inputs, scale, impute("a", "b", value=2.5)) == {"b": 2.5}
    concat = {"concat": {"columns": ["a", "b"], "output": "ab"}}
    assert fills(two_inputs, concat, impute("a")) == {}
    cast = {"cast": {"columns": ["c"], "datatype": "FP32"}}
    assert fills(two_inputs, cast, impute("c")) == {}
    overwrite = {"threshold": {"column": "b", "output": "a"}}
    assert fills(two_inputs, overwrite, impute("a", value=1)) == {}


def test_nulls_stay_where_rows_have_no_known_size(two_inputs):
    assert fills(two_inputs, impute("d")) == {}


@pytest.mark.parametrize("name", ["sum", "model_id"])
def test_a_prediction_may_not_have_the_name_of_a_column_of_the_output_row(two_inputs, name):
    config = {**two_inputs, "outputs": [{"source": "sum", "name": name}]}
    found = problems(config, Field("a", "FP32"), Field("b", "FP32"), taken=["sum"])
    assert "rename" in found["post_hooks"]


def test_an_input_that_says_model_id_already_is_refused(two_inputs):
    found = problems(two_inputs, Field("a", "FP32"), Field("b", "FP32"), taken=["model_id"])
    assert "rename or drop it before" in found[""]


@pytest.mark.parametrize("seconds", [-1, 0.05, 1e7, float("nan")])
def test_an_interval_to_look_for_new_models_is_refused_if_it_is_too_short_or_too_long(two_inputs, seconds):
    model = {**two_inputs["model"], "refresh_interval_secs": seconds}
    found = problems({"model": model})
    assert "expected seconds, from 0.1 to 1000000, or 0 for never" in found["model.refresh_interval_secs"]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"huggingface": {"uri": "hf://a/b", "task": "text-generation"}}, "is a name of the hub"),
        ({"custom": {"model_class": "a.B"}}, "names no file"),
    ],
)
def test_what_has_no_files_to_look_at_can_not_be_refreshed(model, reason):
    found = problems({"model": {**model, "refresh_interval_secs": 60}})
    assert reason in found["model.refresh_interval_secs"]


def test_only_where_models_are_refreshed_is_model_version_a_column_of_output_rows(two_inputs):
    columns = Field("a", "FP32"), Field("b", "FP32")
    refreshed = {"model": {**two_inputs["model"], "refresh_interval_secs": 60}}
    assert list(plan(two_inputs, *columns, taken=["model_version"]).constants) == ["model_id"]
    assert list(plan(refreshed, *columns).constants) == ["model_id", "model_version"]
    found = problems(refreshed, *columns, taken=["model_version"])
    assert "the input has a column 'model_version'" in found[""]
    outputs = [{"source": "sum", "name": "model_version"}]
    found = problems({**refreshed, "outputs": outputs}, *columns)
    assert "every output row has a column 'model_version' already" in found["post_hooks"]


def test_problems_before_and_after_the_model_are_named_together(two_inputs):
    config = {
        **two_inputs,
        "pre_hooks": [{"scale": {"columns": ["zz"], "affine": {}}}],
        "post_hooks": [{"softmax": {"column": "zz"}}],
    }
    found = problems(config, Field("a", "FP32"), Field("b", "FP32"))
    assert list(found) == ["pre_hooks[0].scale.columns[0]", "post_hooks[0].softmax.column"]


def test_a_configuration_is_copied_so_that_changing_it_later_changes_nothing(two_inputs):
    message = read_config(two_inputs)
    read = read_config(message)
    message.model.model_id = "changed"
    assert read.model.model_id == ""


def test_the_same_model_has_the_same_tag_in_any_step_and_another_model_another(two_inputs, vector):
    first = plan(two_inputs, Field("a", "FP32"), Field("b", "FP32"))
    second = plan({**two_inputs, "batching": {"max_batch_size": 2}}, Field("a", "FP64"), Field("b", "FP32"))
    other = plan(vector, Field("x", "FP32", (2,)))
    assert first.steps[0].model_tag == second.steps[0].model_tag != other.steps[0].model_tag


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({}, ["model"]),
        ({"model": {"onnx": {}}}, ["model.onnx.uri"]),
        ({"pre_hooks": [{}]}, ["model", "pre_hooks[0]"]),
        ({"batching": {"min_batch_size": 9, "max_batch_size": -1}}, ["model", "batching.max_batch_size"]),
        ({"batching": {"min_batch_size": 9, "max_batch_size": 8}}, ["model", "batching.min_batch_size"]),
        ({"error_handling": {"output": "output"}}, ["model", "error_handling.output"]),
        ({"error_handling": {}}, ["model", "error_handling.output"]),
        ({"outputs": [{"source": "y", "shape": [2]}]}, ["model", "outputs[0].shape"]),
        ({"outputs": [{"source": "y", "datatype": "STRING", "shape": [-2]}]}, ["model", "outputs[0].shape"]),
        (
            {"tensor_batch": {"columns": [{"name": "x", "datatype": "FP32"}], "opaque_columns": ["stage"]}},
            ["model", "tensor_batch.opaque_columns[0]"],
        ),
        ({"inputs": [{"name": "x"}, {"name": "x"}, {}]}, ["model", "inputs[1].name", "inputs[2].name"]),
        (
            {"outputs": [{"source": "y", "datatype": "FLOAT"}, {}]},
            ["model", "outputs[1].source", "outputs[0].datatype"],
        ),
        ({"tensor_batch": {"columns": [{"name": "x"}]}}, ["model", "tensor_batch.columns[0].datatype"]),
        (
            {"tensor_batch": {"return_columns": ["y"]}},
            ["model", "tensor_batch.columns", "tensor_batch.return_columns[0]"],
        ),
        ({"modle": {}, "pre_hooks": [{"pad": {"columns": ["x"]}}]}, ["modle", "model", "pre_hooks[0].pad"]),
    ],
)
def test_a_configuration_is_checked_whole_before_anything_is_known_of_its_input(config, paths):
    with pytest.raises(ConfigError) as error:
        read_config(config)
    assert sorted(problem.path for problem in error.value.problems) == sorted(paths)


@pytest.mark.parametrize("seconds", [-1, 1e7, 1e300, float("inf"), float("nan")])
def test_a_time_that_no_clock_takes_is_refused(vector, seconds):
    config = {
        **vector,
        "batching": {"max_batch_duration_secs": seconds},
        "error_handling": {"output": "errors", "timeout_secs": seconds},
    }
    found = problems(config, Field("x", "FP32", (2,)))
    assert set(found) == {"batching.max_batch_duration_secs", "error_handling.timeout_secs"}
    assert "expected seconds, 1000000 at most, or 0 for the default" in found["error_handling.timeout_secs"]


def test_an_output_that_is_kept_twice_is_refused_as_one_of_the_two_would_be_lost(two_inputs):
    outputs = [{"source": "sum", "name": "x"}, {"source": "sum", "name": "y"}]
    found = problems({**two_inputs, "outputs": outputs}, Field("a", "FP32"), Field("b", "FP32"))
    assert found == {"outputs[1].source": "'sum' is there twice; each may be there once"}
