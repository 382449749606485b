# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Prepare and Serve samples: Java prepares, Python trains, Java serves; beside the samples in Python."""

import ast
import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import skops.io
import yaml
from sklearn.preprocessing import StandardScaler

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/penguins"

# In a process of its own, as whatever imports TensorFlow.
READ_TF_RECORD = """
import json, sys
import tensorflow as tf

kinds = {
    "id": tf.io.FixedLenFeature([], tf.int64),
    "species": tf.io.FixedLenFeature([], tf.string),
    "features": tf.io.FixedLenFeature([int(sys.argv[2])], tf.float32),
}
for record in tf.data.TFRecordDataset(sys.argv[1]):
    row = {name: tensor.numpy() for name, tensor in tf.io.parse_single_example(record, kinds).items()}
    print(json.dumps([int(row["id"]), row["species"].decode(), row["features"].tolist()]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A directory with both halves of the data, and the configurations, whose files are in it."""
    folder = tmp_path_factory.mktemp("penguins")
    runpy.run_path(str(EXAMPLE / "split.py"))["main"](folder)
    for name in ("prepare.yaml", "serve.yaml"):
        (folder / name).write_text((EXAMPLE / name).read_text().replace("build/penguins", str(folder)))
    return folder


@pytest.fixture(scope="module")
def prepared(folder, run_sample):
    """What the Java sample made of the first half of the data, by id; its files are in ``folder``."""
    run_sample("Prepare", f"--config={folder}/prepare.yaml", f"--input={folder}/train.csv", f"--output={folder}")
    return read_parquet(folder / "prepared.parquet")


@pytest.fixture(scope="module")
def served(folder, prepared, run_sample):
    """Trains on what Java prepared, and serves the other half in Java; returns the predictions and what was printed."""
    runpy.run_path(str(EXAMPLE / "train.py"))["main"](folder)
    printed = run_sample("Serve", f"--config={folder}/serve.yaml", f"--input={folder}/test.csv", f"--output={folder}")
    return rows_of(folder / "predictions.csv"), printed


def run_python(job, config, data, output, *options):
    """Runs a sample in Python; asserts that no row failed."""
    command = [sys.executable, "examples/penguins/pipeline.py", job, f"--config={config}", f"--input={data}"]
    subprocess.run([*command, f"--output={output}", *options], cwd=ROOT, check=True, capture_output=True)
    assert rows_of(output.with_name("errors_python.csv")) == []


def read_parquet(path):
    return {row["id"]: row for row in pq.read_table(path).to_pylist()}


def rows_of(path):
    with path.open(newline="") as file:
        return sorted(list(csv.reader(file))[1:])


def test_java_prepares_every_penguin_also_those_with_nulls(folder, prepared):
    assert sorted(prepared) == list(range(0, 344, 2))
    assert rows_of(folder / "errors.csv") == []
    features = np.array([row["features"] for row in prepared.values()])
    assert features.shape == (172, 14)
    assert np.abs(features[:, :4].mean(axis=0)).max() < 1e-9  # z-scores
    assert (features[:, 4:].sum(axis=1) == 3).all()  # a quartile, an island, a sex
    with (folder / "train.csv").open(newline="") as file:
        without_sex = [int(row["id"]) for row in csv.DictReader(file) if not row["sex"]]
    assert [prepared[number]["features"][11:] for number in without_sex] == [[0, 0, 1]] * 6


def test_the_python_sample_prepares_and_learns_the_same(folder, prepared, tmp_path):
    config = tmp_path / "prepare.yaml"
    config.write_text((folder / "prepare.yaml").read_text().replace(f"{folder}/artifact", f"{tmp_path}/artifact"))
    run_python("prepare", config, folder / "train.csv", tmp_path / "prepared.parquet")
    assert read_parquet(tmp_path / "prepared.parquet") == prepared
    by_java, by_python = (
        {file.name: file.read_bytes() for file in (where / "artifact").iterdir()} for where in (folder, tmp_path)
    )
    assert by_java == by_python


def test_tensorflow_reads_the_rows_that_java_wrote_for_it(folder, prepared):
    command = [sys.executable, "-c", READ_TF_RECORD, str(folder / "prepared.tfrecord"), "14"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = {number: row for number, *row in map(json.loads, lines)}
    assert rows == {number: [row["species"], np.float32(row["features"]).tolist()] for number, row in prepared.items()}


def test_a_model_that_is_trained_on_what_java_prepared_knows_the_species_of_the_others(folder, served):
    rows, printed = served
    assert sorted(int(number) for number, *_ in rows) == list(range(1, 344, 2))
    assert rows_of(folder / "errors.csv") == []
    accuracy = sum(species == predicted for _, species, predicted, _ in rows) / len(rows)
    assert accuracy >= 0.97
    assert f"accuracy {accuracy:.4f}" in printed


def test_the_python_sample_serves_the_same_row_by_row(folder, served, tmp_path):
    run_python("serve", folder / "serve.yaml", folder / "test.csv", tmp_path / "predictions.csv")
    rows = rows_of(tmp_path / "predictions.csv")
    assert [row[:3] for row in rows] == [row[:3] for row in served[0]]
    assert [float(row[3]) for row in rows] == pytest.approx([float(row[3]) for row in served[0]], abs=1e-9)


def test_the_hook_before_the_model_makes_what_mltransform_makes_row_by_row(folder, prepared, run_sample, tmp_path):
    run_sample(
        "Prepare",
        f"--config={folder}/prepare.yaml",
        f"--artifact={folder}/artifact",
        f"--input={folder}/test.csv",
        f"--output={tmp_path}",
    )
    made = read_parquet(tmp_path / "prepared.parquet")
    assert sorted(made) == list(range(1, 344, 2))

    # A model that returns what it gets.
    features = np.array([row["features"] for row in prepared.values()])
    skops.io.dump(StandardScaler(with_mean=False, with_std=False).fit(features), tmp_path / "same.skops")
    config = yaml.safe_load((folder / "serve.yaml").read_text())
    config["model"] = {"sklearn": {"uri": str(tmp_path / "same.skops"), "methods": ["transform"]}}
    config["outputs"] = [{"source": "transform", "name": "predicted"}]
    config["post_hooks"] = [{"argmax": {"column": "predicted", "output": "score"}}]
    (tmp_path / "same.yaml").write_text(yaml.safe_dump(config))
    run_python("serve", tmp_path / "same.yaml", folder / "test.csv", tmp_path / "features.csv")
    rows = rows_of(tmp_path / "features.csv")
    assert len(rows) == len(made)
    for number, _, got, _ in rows:
        assert ast.literal_eval(got) == made[int(number)]["features"]
