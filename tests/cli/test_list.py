# Licensed under the Apache License, Version 2.0; see LICENSE.
from expansion import hooks, models, operations


def test_everything_that_there_is_is_listed_with_what_it_does(run):
    code, text = run("list")
    assert code == 0
    for name in ("RunInference", "MLTransform", *models.NAMES, *hooks.NAMES, *operations.NAMES):
        assert f" {name} " in text
    assert "softmax Turn scores into probabilities." in text
    assert "onnx onnx (installed) ONNX Runtime." in text


def test_presets_are_those_of_a_servers_configuration(run, run_json, server_file):
    assert "add Adds 1.5." in run("list", "--config", server_file)[1]
    [preset] = [entry for entry in run_json("list", "--config", server_file) if entry["kind"] == "preset"]
    assert preset["name"] == "add"
    assert preset["extras"] == {"onnx": True}
    assert preset["identifiers"][1] == "beamml:schematransform:preset:add:v1"


def test_a_wrong_server_configuration_is_told_with_the_paths_of_all_problems(run, tmp_path):
    path = tmp_path / "server.yaml"
    path.write_text("presets: [{name: Digits}]\nport: -1\n")
    code, text = run("list", "--config", path)
    assert code == 1
    assert f"{path}: port: got -1" in text
    assert f"{path}: presets[0].name: got 'Digits'" in text


def test_a_service_that_is_not_there_is_told(run):
    code, text = run("list", "--server", "127.0.0.1:1")
    assert code == 1
    assert "127.0.0.1:1: does not answer; is a service running there" in text


def test_a_service_and_a_file_are_not_both_asked(run, server_file):
    assert run("list", "--server", "a:1", "--config", server_file)[0] == 2
