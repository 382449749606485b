# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A preset, called from Java by its name, beside the same configuration in full."""

import csv
import runpy
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A directory with the data and models of the Digits sample, and its configuration."""
    folder = tmp_path_factory.mktemp("demo")
    runpy.run_path(str(ROOT / "examples/digits/prepare.py"))["main"](folder)
    text = (ROOT / "examples/digits/onnx.yaml").read_text().replace("build/demo", str(folder))
    (folder / "full.yaml").write_text(text)
    return folder


def test_java_calls_a_preset_by_its_name_and_gets_what_its_configuration_gives(demo, serving, java_samples):
    preset = {"name": "digits", "run_inference": yaml.safe_load((demo / "full.yaml").read_text())}
    (demo / "server.yaml").write_text(yaml.safe_dump({"presets": [preset]}))
    (demo / "named.yaml").write_text("preset: digits\n")
    rows = {}
    with serving(f"--config={demo}/server.yaml") as (expansion, job):
        for name in ("named", "full"):
            output = demo / name
            options = [f"--config={demo}/{name}.yaml", f"--input={demo}/digits_test.csv", f"--output={output}"]
            options += [f"--expansionService={expansion}", f"--jobEndpoint={job}"]
            command = ["java", "-cp", f"{java_samples}/lib/*", "io.github.beamml.samples.Digits", *options]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr[-4000:]
            with (output / "predictions.csv").open(newline="") as file:
                rows[name] = sorted(csv.reader(file))
    assert len(rows["named"]) == 899
    assert rows["named"] == rows["full"]
