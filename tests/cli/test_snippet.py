# Licensed under the Apache License, Version 2.0; see LICENSE.
"""That snippets compile and run: tests/runners/test_snippets.py."""

import pytest


@pytest.mark.parametrize("language", ["java", "python", "yaml", "go"])
def test_a_snippet_is_printed_in_each_language(run, config_file, model_file, language):
    code, text = run("snippet", "--lang", language, config_file())
    assert code == 0
    assert str(model_file) in text


def test_a_snippet_of_a_preset_names_the_preset_alone(run, server_file, model_file):
    code, text = run("snippet", "--lang", "java", "add", "--config", server_file)
    assert code == 0
    assert 'RunInference.<Row>preset("add") .feature("x", 2L)' in text
    assert str(model_file) not in text


def test_columns_that_are_said_are_those_of_the_code(run, config_file):
    path = config_file(pre_hooks=[{"cast": {"columns": ["x"], "datatype": "FP32"}}])
    _, text = run("snippet", "--lang", "java", path, "--columns", "x:STRING[2]")
    assert '.addField("x", FieldType.array(FieldType.STRING))' in text


def test_where_columns_are_a_guess_it_is_said(run, config_file):
    path = config_file(model={"onnx": {"uri": "missing.onnx"}}, inputs=[{"name": "x"}])
    code, text = run("snippet", "--lang", "java", path)
    assert code == 0
    assert "The input's columns are a guess; say what they are with --columns. model.onnx.uri: can't read" in text


def test_columns_that_python_has_no_names_for_are_told(run, config_file):
    code, text = run(
        "snippet", "--lang", "python", config_file(), "--columns", "x:FP32[2],sepal length:FP64,class:STRING"
    )
    assert code == 1
    assert "column 'sepal length' is no name" in text
    assert "column 'class' is no name" in text


def test_a_second_input_is_told_where_a_language_has_none(run, config_file):
    code, text = run("snippet", "--lang", "yaml", config_file(model_uris={}))
    assert code == 1
    assert "model_uris: takes a second input" in text


def test_a_servers_configuration_is_no_transform(run, server_file):
    code, text = run("snippet", "--lang", "go", server_file)
    assert code == 2
    assert "name one of its presets" in text


def test_an_unknown_preset_is_told(run, server_file):
    code, text = run("snippet", "--lang", "go", "ad", "--config", server_file)
    assert code == 1
    assert "ad: no such preset or file; did you mean 'add'?" in text
