# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest
import yaml


def test_a_hook_is_described_with_its_fields_their_types_and_defaults(run):
    code, text = run("describe", "scale")
    assert code == 0
    assert text.startswith("hook scale Maps x to x × factor + offset, or a range onto another")
    assert "affine.factor number Multiplier. Default: 1." in text
    assert "affine Affine x × factor + offset. (one of method)" in text


def test_a_name_of_two_kinds_is_described_as_both_unless_the_kind_is_named(run_json):
    assert [entry["kind"] for entry in run_json("describe", "impute")] == ["hook", "operation"]
    assert run_json("describe", "operation.impute")["kind"] == "operation"


def test_a_transform_is_described_with_the_fields_of_the_messages_in_it(run_json):
    entry = run_json("describe", "RunInference")
    fields = {field["name"]: field for field in entry["fields"]}
    assert fields["pre_hooks"]["type"] == "list of Hook"
    assert fields["pre_hooks"]["fields"] == []
    assert "min_rows" in [field["name"] for field in fields["error_handling"]["fields"]]
    assert entry["identifiers"] == ["beamml:transform:run_inference:v1", "beamml:schematransform:run_inference:v1"]


def test_a_preset_is_described_with_what_the_operator_has_published(run, server_file, model_file):
    code, text = run("describe", "add", "--config", server_file)
    assert code == 0
    assert "preset add Adds 1.5. Twice is 3." in text
    assert str(model_file) in text


def test_types_that_a_skops_file_has_to_trust_stand_in_the_configuration(run_json, models, tmp_path):
    import skops.io
    from sklearn.neural_network import MLPClassifier

    path = tmp_path / "perceptron.skops"
    skops.io.dump(MLPClassifier((2,), max_iter=1).fit([[0.0], [1.0]], [0, 1]), path)
    [trusted] = run_json("describe", path)["config"]["model"]["sklearn"]["trusted_types"]
    assert trusted.endswith("AdamOptimizer")


def test_outputs_that_a_file_says_nothing_of_are_to_be_filled_in(run_json, tmp_path):
    path = tmp_path / "model.joblib"
    path.write_bytes(b"\x80\x04")
    described = run_json("describe", path)
    assert described["outputs"] == [{"name": "predict", "datatype": "", "shape": []}]
    assert described["config"]["outputs"] == [{"source": "predict", "datatype": "FP32", "shape": []}]


def test_what_a_torchscript_does_not_say_is_to_be_filled_in(run, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/constants.pkl", b"")
        archive.writestr("model/code/__torch__.py", b"")
        archive.writestr("model/data.pkl", b"")
    code, text = run("describe", tmp_path / "model.pt")
    assert code == 1
    assert "inputs: missing; expected what forward takes" in text
    assert "Fill in: model: pytorch:" in text


def test_an_unknown_name_of_a_kind_is_told(run):
    assert run("describe", "hook.sofmax") == (1, "there is nothing called 'hook.sofmax'; did you mean 'softmax'?")


def test_an_unknown_name_is_told_with_what_may_have_been_meant(run):
    assert run("describe", "sofmax") == (1, "there is nothing called 'sofmax'; did you mean 'softmax'?")


def test_a_model_file_is_described_by_its_signature(run, run_json, model_file):
    described = run_json("describe", model_file)
    assert described == {
        "framework": "onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2]}],
        "outputs": [{"name": "sum", "datatype": "FP32", "shape": [2]}],
        "config": {"model": {"onnx": {"uri": str(model_file)}}},
    }
    code, text = run("describe", model_file)
    assert code == 0
    assert "Inputs name datatype shape of a row" in text
    assert " x FP32 [2] " in text


def test_the_printed_configuration_is_a_good_one(run, model_file, tmp_path):
    from click.testing import CliRunner

    from expansion import cli

    printed = CliRunner().invoke(cli.main, ["describe", str(model_file)]).output
    config = tmp_path / "config.yaml"
    config.write_text(printed.split("Configuration:\n")[1])
    assert run("validate", config, "--columns", "x:FP32[2]")[0] == 0
    assert yaml.safe_load(config.read_text())["model"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.onnx", "uri: can't read"),
        ("broken.onnx", "uri: "),
        ("model.h5", "is no model that is known; expected a file that ends in .onnx, .skops"),
        ("script.pt", "is no PyTorch model"),
    ],
)
def test_what_is_no_model_is_told_in_one_line(run, tmp_path, name, said):
    if name != "missing.onnx":
        (tmp_path / name).write_bytes(b"this is no model")
    code, text = run("describe", tmp_path / name)
    assert code == 1
    assert said in text
    assert "Traceback" not in text
