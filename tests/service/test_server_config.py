# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from expansion.contract._gen.server_pb2 import ServerConfig
from expansion.errors import ConfigError
from expansion.service.limits import DEFAULT_LIMITS
from expansion.service.server_config import checked, environment_of, read

PRESET = {"name": "digits", "run_inference": {"model": {"onnx": {"uri": "digits.onnx"}}}}


def read_text(tmp_path, text: str) -> ServerConfig:
    file = tmp_path / "server.yaml"
    file.write_text(text)
    return read(file)


def problems_of(tmp_path, mapping) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        checked(read_text(tmp_path, yaml.safe_dump(mapping)))
    return [str(problem) for problem in caught.value.problems]


def test_a_file_is_yaml_and_unknown_fields_are_refused_with_the_right_name(tmp_path):
    assert read_text(tmp_path, "port: 1\npresets: []\n").port == 1
    with pytest.raises(ConfigError, match=r"server.yaml\.alow: unknown field; did you mean 'allow'\?"):
        read_text(tmp_path, "alow: {}\n")


def test_an_empty_file_is_all_defaults(tmp_path):
    config = checked(read_text(tmp_path, ""))
    assert (config.host, config.port, config.http_port, config.log_format) == ("127.0.0.1", 8097, 8098, "text")
    assert config.limits == DEFAULT_LIMITS


def test_a_limit_of_zero_is_its_default(tmp_path):
    config = checked(read_text(tmp_path, "limits: {workers: 0, max_depth: 3}\n"))
    assert (config.limits.workers, config.limits.max_depth) == (8, 3)


def test_a_free_port_of_grpc_has_a_free_one_of_http_beside_it(tmp_path):
    assert checked(read_text(tmp_path, "port: 0\n")).http_port == 0
    assert checked(read_text(tmp_path, "port: 0\nhttp_port: -1\n")).http_port == -1


def test_relative_paths_start_at_the_files_directory(tmp_path):
    config = read_text(tmp_path, "token_file: tokens\ntls: {key_file: /a/key}\nworker_packages: [my.whl]\n")
    assert config.token_file == str(tmp_path / "tokens")
    assert config.tls.key_file == "/a/key"
    assert list(config.worker_packages) == [str(tmp_path / "my.whl")]


def test_every_problem_is_said_at_once_with_its_path(tmp_path):
    found = problems_of(
        tmp_path,
        {
            "port": 70_000,
            "host": "0.0.0.0",  # noqa: S104
            "allow": {"formats": ["dill"], "types": ["Tree"], "artifact_roots": ["features"]},
            "limits": {"max_depth": 1000, "deadline_secs": -1},
            "log_format": "xml",
            "environment": "gpu",
            "environments": {"cpu": "docker:"},
        },
    )
    assert [line.split(":")[0] for line in found] == [
        "port",
        "host",
        "allow.uri_prefixes",
        "allow.formats[0]",
        "allow.types[0]",
        "allow.artifact_roots[0]",
        "limits.max_depth",
        "limits.deadline_secs",
        "log_format",
        "environments.cpu",
        "environment",
    ]


def test_presets_are_checked_like_any_configuration(tmp_path):
    wrong = {"name": "Digits", "environment": "x", "run_inference": {"model": {"onnx": {}}, "tensor_batch": {}}}
    nothing = {"name": "digits"}
    bad_hook = {"name": "a", "ml_transform": {"operations": [{"scale_to_01": {}}]}}
    found = problems_of(tmp_path, {"presets": [wrong, nothing, PRESET, bad_hook]})
    assert [line.split(": ")[0] for line in found] == [
        "presets[0].name",
        "presets[0].environment",
        "presets[0].run_inference.tensor_batch",
        "presets[1]",
        "presets[2].name",
        "presets[3].ml_transform.operations[0].scale_to_01.columns",
    ]


def test_an_environment_is_named_or_a_spec(tmp_path):
    config = read_text(tmp_path, "environments: {gpu: 'docker:worker-gpu:1'}\n")
    assert environment_of(config, "gpu") == "docker:worker-gpu:1"
    assert environment_of(config, "docker:other:1") == "docker:other:1"


def test_a_configuration_is_checked_without_beam():
    code = "import sys, expansion.service.server_config; print({'apache_beam', 'grpc'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_the_configuration_in_the_documentation_is_read_and_lacks_only_its_files(tmp_path):
    text = (Path(__file__).parents[2] / "docs/secure-service.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    with pytest.raises(ConfigError) as caught:
        checked(read_text(tmp_path, example))
    missing = ["tls.certificate_file", "tls.key_file", "tls.client_ca_file", "token_file"]
    assert [problem.path for problem in caught.value.problems] == missing
    assert all("can't read" in problem.message for problem in caught.value.problems)


def test_frameworks_have_environments_that_are_named_or_specs(tmp_path):
    good = {"environments": {"tf": "docker:tf:1"}, "framework_environments": {"tensorflow": "tf", "onnx": "docker:o:1"}}
    assert checked(read_text(tmp_path, yaml.safe_dump(good))).framework_environments["tensorflow"] == "tf"
    bad = {
        "environments": {"tf": "docker:tf:1", "a b": "docker:x"},
        "framework_environments": {"tensorflw": "tf", "onnx": "t"},
    }
    assert problems_of(tmp_path, bad) == [
        "environments: got the name 'a b'; expected letters, digits, _, - and .",
        "framework_environments.onnx: got 't'; expected docker:IMAGE, process:COMMAND or external:HOST:PORT, or a name "
        "in environments: a b, tf",
        "framework_environments.tensorflw: no such framework; did you mean 'tensorflow'?",
    ]


def test_steps_of_presets_name_environments_of_the_file(tmp_path):
    model = {"onnx": {"uri": "digits.onnx"}}
    inference = {"model": model, "environment": "gpus", "then": [{"model": model, "environment": "tpu"}]}
    file = {"environments": {"gpu": "docker:gpu:1"}, "presets": [{"name": "digits", "run_inference": inference}]}
    assert problems_of(tmp_path, file) == [
        "presets[0].run_inference.environment: no such environment; got 'gpus'; did you mean 'gpu'?",
        "presets[0].run_inference.then[0].environment: no such environment; got 'tpu'; did you mean 'gpu'?",
    ]
