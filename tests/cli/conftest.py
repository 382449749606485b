# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Configurations, data and models that commands are given."""

import json

import pytest
import yaml
from click.testing import CliRunner

from expansion import cli


@pytest.fixture
def run():
    """Runs a command; returns its exit code, and its output as one line of words."""

    def run(*arguments):
        result = CliRunner().invoke(cli.main, list(map(str, arguments)), catch_exceptions=False)
        return result.exit_code, " ".join(result.output.split())

    return run


@pytest.fixture
def run_json():
    """Runs a command with --json; returns what it prints, read."""

    def run_json(*arguments):
        result = CliRunner().invoke(cli.main, [*map(str, arguments), "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    return run_json


@pytest.fixture
def model_file(tmp_path, adder):
    """An ONNX model: x FP32[2] → sum FP32[2], 1.5 more."""
    path = tmp_path / "adder.onnx"
    path.write_bytes(adder(1.5, output="sum", shape=[2]))
    return path


@pytest.fixture
def config_file(tmp_path, model_file):
    """Writes a configuration of the model; fields that are given are added. Returns its path."""

    def config_file(**fields):
        path = tmp_path / "adder.yaml"
        path.write_text(yaml.safe_dump({"model": {"onnx": {"uri": str(model_file)}}, **fields}))
        return path

    return config_file


@pytest.fixture
def server_file(tmp_path, model_file):
    """A server's configuration with a preset of the model."""
    path = tmp_path / "server.yaml"
    transform = {"model": {"onnx": {"uri": str(model_file)}}}
    preset = {"name": "add", "description": "Adds 1.5. Twice is 3.", "run_inference": transform}
    path.write_text(yaml.safe_dump({"presets": [preset]}))
    return path


@pytest.fixture
def rows_file(tmp_path):
    """JSON lines: three rows, of which the second has an array of another size."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": i, "x": x}) + "\n" for i, x in enumerate([[1, 2], [1, 2, 3], [0.5, 4]])))
    return path
