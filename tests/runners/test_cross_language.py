# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Java sample through the Python service, beside the Python sample, on the embedded runner."""

import csv
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def samples(java_samples):
    """The script that starts the Java sample."""
    return str(java_samples / "bin/samples")


def rows_of(path):
    with path.open(newline="") as file:
        return sorted(list(csv.reader(file))[1:])


@pytest.mark.parametrize(("framework", "suffix"), [("onnx", "onnx"), ("sklearn", "skops")])
def test_java_and_python_predict_the_same_row_by_row(demo, run_sample, tmp_path, framework, suffix):
    config = tmp_path / f"{framework}.yaml"
    text = (ROOT / f"examples/digits/{framework}.yaml").read_text()
    config.write_text(text.replace("build/demo", str(demo)))
    printed = run_sample("Digits", f"--config={config}", f"--input={demo}/digits_test.csv", f"--output={tmp_path}")
    python = [sys.executable, "examples/digits/pipeline.py", f"--config={config}", f"--input={demo}/digits_test.csv"]
    subprocess.run([*python, f"--output={tmp_path}/python.csv"], cwd=ROOT, check=True, capture_output=True)
    java_rows, python_rows = rows_of(tmp_path / "predictions.csv"), rows_of(tmp_path / "python.csv")
    assert len(java_rows) == 898
    assert java_rows == python_rows
    accuracy = sum(label == predicted for _, label, predicted, _ in java_rows) / len(java_rows)
    assert accuracy >= 0.95
    assert f"accuracy {accuracy:.4f}" in printed
    assert rows_of(tmp_path / "errors.csv") == []


def test_java_reads_what_a_model_that_is_refreshed_returns(demo, run_sample, tmp_path):
    config = tmp_path / "onnx.yaml"
    text = (ROOT / "examples/digits/onnx.yaml").read_text().replace("build/demo", str(demo))
    config.write_text(text.replace("model:\n", "model:\n  refresh_interval_secs: 0.1\n", 1))
    assert "refresh" in config.read_text()
    run_sample("Digits", f"--config={config}", f"--input={demo}/digits_test.csv", f"--output={tmp_path}")
    assert len(rows_of(tmp_path / "predictions.csv")) == 898
    assert rows_of(tmp_path / "errors.csv") == []


def test_a_hundred_thousand_rows_of_which_one_in_a_hundred_is_bad_are_all_accounted_for(demo, run_sample, tmp_path):
    with (demo / "digits_test.csv").open(newline="") as file:
        header, *digits = csv.reader(file)
    with (tmp_path / "many.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in range(100_000):
            _, label, *pixels = digits[row % len(digits)]
            writer.writerow([row, label, *(["NaN"] if row % 100 == 0 else [pixels[0]]), *pixels[1:]])
    options = ["--config=examples/digits/sklearn.yaml", f"--modelUri={demo}/digits.skops", f"--output={tmp_path}"]
    run_sample("Digits", f"--input={tmp_path}/many.csv", *options)
    good, bad = rows_of(tmp_path / "predictions.csv"), rows_of(tmp_path / "errors.csv")
    assert sorted(int(row[0]) for row in bad) == list(range(0, 100_000, 100))
    assert sorted(int(row[0]) for row in good) == sorted(set(range(100_000)) - set(range(0, 100_000, 100)))
    assert {stage for _, stage, _ in bad} == {"inference"}
    assert all("NaN" in message for _, _, message in bad)


def test_without_an_address_the_sample_starts_a_service_and_stops_it(demo, samples, tmp_path):
    command = str(Path(sys.executable).with_name("beam-ml-expansion"))
    mark = f"OF_THIS_TEST={tmp_path}"  # which all have that the sample starts, and none that other tests do
    environment = {**os.environ, "BEAM_ML_EXPANSION_COMMAND": command, **dict([mark.split("=")])}
    options = [f"--modelUri={demo}/digits.onnx", f"--input={demo}/digits_test.csv", f"--output={tmp_path}"]
    with subprocess.Popen([samples, *options], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as sample:
        seen = False
        while sample.poll() is None:
            seen = seen or bool(_local_runners(mark))
            time.sleep(0.1)
    assert sample.returncode == 0
    assert seen
    assert len(rows_of(tmp_path / "predictions.csv")) == 898
    assert _local_runners(mark) == []


def test_a_mistake_in_the_configuration_reaches_java_as_one_plain_message(demo, samples, tmp_path):
    config = tmp_path / "wrong.yaml"
    text = (ROOT / "examples/digits/onnx.yaml").read_text()
    config.write_text(text.replace("build/demo", str(demo)).replace("columns: [pixels]", "columns: [pixel]"))
    environment = {**os.environ, "BEAM_ML_EXPANSION_COMMAND": str(Path(sys.executable).with_name("beam-ml-expansion"))}
    options = [f"--config={config}", f"--input={demo}/digits_test.csv", f"--output={tmp_path}"]
    done = subprocess.run([samples, *options], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "pre_hooks[0].scale.columns[0]: there is no column 'pixel'; did you mean 'pixels'?" in done.stderr
    assert 'File "' not in done.stderr  # no Python traceback


def _local_runners(mark):
    """Returns the processes of local runners that have a variable in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if mark.encode() in (process / "environ").read_bytes():
                found += [process] * (b"expansion.service.local_runner" in (process / "cmdline").read_bytes())
    return found
