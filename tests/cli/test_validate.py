# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest


def test_a_good_configuration_is_told_and_what_it_configures(run, config_file):
    path = config_file(post_hooks=[{"softmax": {"column": "sum"}}])
    assert run("validate", path) == (0, f"{path}: a good configuration of RunInference")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("operations: [{scale_to_01: {columns: [age]}}]\nwrite_artifact_location: /tmp/a", "MLTransform"),
        ("port: 8000\npresets: []", "server"),
        ("preset: x\nthen: []", "RunInference"),
    ],
)
def test_what_a_file_configures_is_told_by_its_fields(run, tmp_path, text, kind):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    _, said = run("validate", path)
    assert kind in said or "only a service has presets" in said


def test_every_problem_is_told_with_its_path_and_what_may_have_been_meant(run, config_file):
    path = config_file(pre_hooks=[{"scal": {}}], batching={"max_batch_size": -1}, eror_handling={})
    code, text = run("validate", path)
    assert code == 1
    for said in (
        f"{path}: pre_hooks[0].scal: unknown field; did you mean 'scale'?",
        f"{path}: eror_handling: unknown field; did you mean 'error_handling'?",
        f"{path}: batching.max_batch_size: got -1",
    ):
        assert said in text


def test_a_servers_presets_are_checked_too(run, tmp_path):
    path = tmp_path / "server.yaml"
    path.write_text("presets: [{name: a, run_inference: {model: {onnx: {}}}}]")
    code, text = run("validate", path)
    assert code == 1
    assert "presets[0].run_inference.model.onnx.uri: missing" in text


def test_with_columns_it_is_checked_against_the_model_and_output_columns_are_printed(run, config_file):
    path = config_file(post_hooks=[{"argmax": {"column": "sum", "output": "best"}}])
    code, text = run("validate", path, "--columns", "x:FP32[2], key:STRING")
    assert code == 0
    assert "Output rows column datatype shape of a row" in text
    for row in ("x FP32 [2]", "key STRING []", "sum FP32 [2]", "best INT64 []", "model_id STRING []"):
        assert row in text
    code, text = run("validate", path, "--columns", "y:FP32[2]")
    assert code == 1
    assert "inputs: model input 'x': no column 'x'" in text


def test_a_file_of_rows_says_what_the_columns_are(run, config_file, rows_file):
    code, text = run("validate", config_file(), "--input", rows_file)
    assert code == 0
    assert "id INT64 []" in text


def test_what_the_operator_must_allow_is_told(run, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("model: {sklearn: {uri: a.joblib, format: joblib, methods: [predict]}}")
    code, text = run("validate", path)
    assert code == 0
    assert "only where the operator of the service allows it: model.sklearn.format" in text
    assert "--allow-format joblib" in text


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("a: 1", [], "can't be told; say it with --kind"),
        ("", [], "can't be told; say it with --kind"),
        ("port: 1", ["--columns", "a:FP64"], "a server's configuration has no input"),
    ],
)
def test_wrong_usage_exits_with_2(run, tmp_path, text, arguments, said):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    code, printed = run("validate", path, *arguments)
    assert code == 2
    assert said in printed


@pytest.mark.parametrize("text", ["preset: 2026-13-45", "[" * 3000], ids=["date", "deep"])
@pytest.mark.parametrize("command", ["validate", "try", "snippet"])
def test_a_file_that_is_no_yaml_is_told_without_being_told_its_kind(run, tmp_path, rows_file, command, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    arguments = {"validate": [path], "try": [path, rows_file], "snippet": ["--lang", "java", path]}[command]
    code, printed = run(command, *arguments)
    assert code == 1
    assert "not valid YAML or JSON" in printed


def test_a_missing_file_is_wrong_usage(run, tmp_path):
    assert run("validate", tmp_path / "nothing.yaml")[0] == 2


def test_the_kind_can_be_said(run, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: 1")
    code, text = run("validate", path, "--kind", "mltransform")
    assert code == 1
    assert "a: unknown field" in text


def test_wrong_columns_are_all_told(run, config_file):
    code, text = run("validate", config_file(), "--columns", "x:FP33[2],y:FP32[a],x:FP32")
    assert code == 1
    for said in ("--columns.x.datatype: got 'FP33'; did you mean 'FP32'?", "--columns.y: got shape [a]", "there twice"):
        assert said in text


def test_files_of_a_servers_configuration_are_looked_up_beside_it(run, tmp_path):
    (tmp_path / "tokens").write_text("0123456789abcdef\n")
    path = tmp_path / "server.yaml"
    path.write_text("token_file: tokens\nport: 1\n")
    assert run("validate", path)[0] == 0
    path.write_text("token_file: other\nport: 1\n")
    code, text = run("validate", path)
    assert code == 1
    assert f"can't read '{tmp_path}/other'" in text
