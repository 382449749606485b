# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Snippets do what the configuration says: compiled, run, and compared with it."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.config import parse_mapping, to_mapping
from expansion.snippets import LANGUAGES
from expansion.snippets.call import Call
from expansion.snippets.input_columns import columns_of
from expansion.transforms import config as run_inference_config
from expansion.transforms import ml_transform_config

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))
GO = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
_PRINT_CONFIGS = """
public final class PrintConfigs {{
  private static void print(String name, com.google.protobuf.Message config) {{
    System.out.println(name + " " + java.util.Base64.getEncoder().encodeToString(config.toByteArray()));
  }}

  public static void main(String[] args) {{
{lines}
  }}
}}
"""


def of_samples():
    """Yields the samples' transforms: those of files that configure one."""
    for path in SAMPLES:
        content = yaml.safe_load(path.read_text())
        if "model" in content or "operations" in content:
            yield f"{path.parent.name}_{path.stem}", content


def of_cases():
    """Yields the transforms of the conformance cases, which have every framework, hook and operation."""
    for folder in ("run_inference", "ml_transform"):
        for path in sorted((ROOT / "tests/conformance" / folder).glob("*.json")):
            yield f"{folder}_{path.stem}", json.loads(path.read_text())["config"]


def good_calls(contents):
    """Yields calls of the configurations that are good by themselves."""
    for name, content in contents:
        is_inference = "operations" not in content and "read_artifact_location" not in content
        kind, check = (
            (RunInferenceConfig, run_inference_config.check)
            if is_inference
            else (MLTransformConfig, ml_transform_config.check)
        )
        parsed = parse_mapping(kind, content)
        if not parsed.problems and not list(check(parsed.config)):
            parsed.config.ClearField("tensor_batch")
            yield Call(parsed.config, columns_of(parsed.config), name)


def as_meant(message):
    """A configuration without what says the same written out as left out, and without what Java's client decides."""
    meant = _as_meant(to_mapping(message))
    handling = meant.pop("error_handling", {})
    handling.pop("output", None)
    return {**meant, "error_handling": handling}


def _as_meant(value):
    if isinstance(value, list):
        return [_as_meant(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _as_meant(item) for key, item in value.items() if item is not None}
    if "column" in plain and plain.get("output") == plain["column"]:
        del plain["output"]
    if plain.get("name") is not None and plain.get("name") == plain.get("source"):
        del plain["name"]
    if "affine" in plain:
        plain["affine"] = {"factor": 1.0, "offset": 0.0, **plain["affine"]}
    return plain


@pytest.fixture(scope="module")
def compiled(java_samples, tmp_path_factory):
    """Compiles Java classes, by name; returns the class path."""

    def compiled(classes):
        folder = tmp_path_factory.mktemp("java")
        for name, code in classes.items():
            (folder / f"{name}.java").write_text(code)
        libraries = f"{java_samples}/lib/*"
        command = ["javac", "-Werror", "-cp", libraries, "-d", folder / "classes", *folder.glob("*.java")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        return f"{libraries}:{folder / 'classes'}"

    return compiled


def test_java_snippets_build_the_configuration_that_they_are_made_of(compiled):
    calls = {call.class_name: call for call in good_calls([*of_samples(), *of_cases()])}
    assert len(calls) > 60
    lines = "\n".join(
        f'    print("{name}", {name}.transform({"null" if call.uris else ""}).config());'
        for name, call in calls.items()
    )
    classes = {name: LANGUAGES["java"](call) for name, call in calls.items()}
    class_path = compiled({**classes, "PrintConfigs": _PRINT_CONFIGS.format(lines=lines)})
    printed = subprocess.run(["java", "-cp", class_path, "PrintConfigs"], capture_output=True, text=True, check=True)
    built = dict(line.split(" ") for line in printed.stdout.splitlines() if line.split(" ")[0] in calls)
    assert set(built) == set(calls)
    wrong = {
        name: built[name]
        for name, call in calls.items()
        if as_meant(type(call.config).FromString(base64.b64decode(built[name]))) != as_meant(call.config)
    }
    assert wrong == {}


@pytest.fixture(scope="module")
def halves(adder, tmp_path_factory):
    """The configuration of a model with hooks around it: x FP32[2] → sum FP32[2], rounded."""
    path = tmp_path_factory.mktemp("models") / "adder.onnx"
    path.write_bytes(adder(1.25, shape=[2]))
    content = {
        "model": {"onnx": {"uri": str(path)}, "model_id": 'adder "1"'},
        "outputs": [{"source": "y", "name": "sum"}],
        "pre_hooks": [{"scale": {"columns": ["x"], "affine": {"factor": 2}}}],
        "post_hooks": [{"round": {"columns": ["sum"], "decimals": 1}}],
    }
    config = run_inference_config.read_config(content)
    return Call(config, columns_of(config), "halves")


@pytest.fixture(scope="module")
def server_file(halves, tmp_path_factory):
    """A server's configuration that publishes it."""
    path = tmp_path_factory.mktemp("server") / "server.yaml"
    preset = {"name": "halves", "description": "Adds.", "run_inference": to_mapping(halves.config)}
    path.write_text(yaml.safe_dump({"presets": [preset], "http_port": -1}))
    return path


@pytest.fixture(scope="module")
def running(serving, server_file):
    """Runs a service with the preset; returns its address and that of its job service."""
    with serving("--config", str(server_file)) as addresses:
        yield addresses


def preset_of(call):
    """The same transform, as a preset that a service has published."""
    return Call(call.config, call.columns, call.name, call.name)


def run(*command, cwd=ROOT):
    """Runs a command; returns what it printed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name, _ in of_samples()])
def test_python_snippets_of_samples_compile_and_their_configuration_is_read_again(name):
    [call] = [call for call in good_calls(of_samples()) if call.name == name]
    names = {"__name__": "snippet"}
    exec(compile(LANGUAGES["python"](call), f"{name}.py", "exec"), names)  # noqa: S102 - it is what we have written
    read = run_inference_config.read_config if call.is_inference else ml_transform_config.read_config
    again = read(names["CONFIG"])
    assert again.error_handling.output == "errors"
    again.ClearField("error_handling")
    assert again == call.config


def test_a_python_snippet_runs(halves, tmp_path):
    (tmp_path / "halves.py").write_text(LANGUAGES["python"](halves))
    printed = run(sys.executable, tmp_path / "halves.py")
    assert "sum=[2.2" in printed  # 0.5 × 2 + 1.25, rounded half to even
    assert "model_id='adder \"1\"'" in printed
    assert "failed:" not in printed


def test_a_python_snippet_of_a_preset_runs(halves, running, tmp_path):
    code = LANGUAGES["python"](preset_of(halves)).replace("localhost:8097", running[0])
    (tmp_path / "halves.py").write_text(code)
    assert "sum=[2.2" in run(sys.executable, tmp_path / "halves.py")


def test_a_yaml_snippet_runs_a_configuration_and_one_a_preset(halves, running, tmp_path):
    pytest.importorskip("jsonschema", reason="Beam YAML needs apache-beam[yaml]")
    plain, preset = (yaml.safe_load(LANGUAGES["yaml"](call)) for call in (halves, preset_of(halves)))
    # Both in one pipeline: Beam YAML takes most of a minute to start where TensorFlow is installed.
    provider = preset["providers"][0]
    provider["transforms"] = {"Preset": provider["transforms"].pop("Halves")}
    elements, transform, *_ = preset["pipeline"]["transforms"]
    elements["name"], transform["type"], transform["input"] = "PresetElements", "Preset", "PresetElements"
    plain["pipeline"]["transforms"] += [elements, transform]
    for output in ("output", "errors"):
        log = {"type": "LogForTesting", "name": f"Preset {output}", "input": f"Preset.{output}"}
        plain["pipeline"]["transforms"].append(log)
    plain["providers"].append(provider)
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(plain).replace("localhost:8097", running[0]))
    printed = run(sys.executable, "-m", "apache_beam.yaml.main", f"--yaml_pipeline_file={tmp_path / 'both.yaml'}")
    assert printed.count('"sum": [2.2') == 2


def test_a_java_snippet_runs(halves, compiled):
    class_path = compiled({"Halves": LANGUAGES["java"](halves)})
    printed = "".join(run("java", "-cp", class_path, "Halves").split())
    assert "sum:[2.2" in printed


def test_a_java_snippet_of_a_preset_runs(halves, running, compiled):
    code = LANGUAGES["java"](preset_of(halves))
    code = code.replace("localhost:8097", running[0]).replace("localhost:8099", running[1])
    printed = "".join(run("java", "-cp", compiled({"Halves": code}), "Halves").split())
    assert "sum:[2.2" in printed


@pytest.mark.skipif(GO is None, reason="Go is not installed")
def test_go_snippets_are_good_programs_and_run(halves, running, tmp_path):
    (tmp_path / "go.mod").write_text("module snippets\n\ngo 1.23\n\nrequire github.com/apache/beam/sdks/v2 v2.77.0\n")
    [prepare] = [call for call in good_calls(of_samples()) if call.name == "penguins_prepare"]
    calls = {"halves": halves, "preset": preset_of(halves), "prepare": prepare}
    for name, call in calls.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "main.go").write_text(LANGUAGES["go"](call))
    go = [GO, "-C", tmp_path]
    subprocess.run([*go, "mod", "tidy"], check=True, capture_output=True)
    run(*go, "vet", "./...")
    for name in ("halves", "preset"):
        printed = run(*go, "run", f"./{name}", f"--service={running[0]}")
        assert "[2.2 2.2]" in printed, printed
