# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Images sample in Java, beside the one in Python and beside PyTorch called by hand."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
DATA = ROOT / "build/images"

# In a process of its own, as whatever imports PyTorch.
BY_HAND = """
import csv, sys
import numpy as np, torch
from pathlib import Path
from PIL import Image

data, output = map(Path, sys.argv[1:])
names, labels = zip(*list(csv.reader((data / "labels.csv").open()))[1:])
pixels = np.stack([np.asarray(Image.open(data / "test" / name)) for name in names]).astype(np.float32)
network = torch.export.load(data / "cnn.pt2").module()
logits = network(torch.from_numpy((pixels[:, None] / 255 - 0.31) / 0.35))["logits"]
scores, predicted = logits.softmax(1).max(1)
with output.open("w", newline="") as file:
    csv.writer(file).writerows([["file"], *zip(names, labels, predicted.tolist(), scores.tolist())])
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A directory of the image files, and one that is cut off."""
    script = ROOT / "examples/images/prepare.py"
    network = DATA / "cnn.pt2"  # written last
    if not network.exists() or network.stat().st_mtime < script.stat().st_mtime:
        subprocess.run([sys.executable, str(script), str(DATA)], check=True)
    folder = tmp_path_factory.mktemp("images") / "test"
    shutil.copytree(DATA / "test", folder)
    whole = (folder / "0001.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[:-100])
    return folder


@pytest.fixture(scope="module")
def java(images, run_sample, tmp_path_factory):
    """Runs the Java sample; returns where it wrote, and what it printed."""
    output = tmp_path_factory.mktemp("java")
    return output, run_sample("Images", f"--input={images}/*.jpg", f"--output={output}")


@pytest.fixture(scope="module")
def python(images, tmp_path_factory):
    """Runs the Python sample; returns where it wrote."""
    output = tmp_path_factory.mktemp("python")
    command = [sys.executable, "examples/images/pipeline.py", f"--input={images}/*.jpg"]
    subprocess.run([*command, f"--output={output}/predictions.csv"], cwd=ROOT, check=True, capture_output=True)
    return output


def rows_of(path):
    with path.open(newline="") as file:
        return sorted(list(csv.reader(file))[1:])


def same(rows, others):
    """Whether files, labels and predictions are the same, and scores but for rounding: batches may differ in size."""
    return [row[:3] for row in rows] == [row[:3] for row in others] and [
        float(row[3]) for row in rows
    ] == pytest.approx([float(row[3]) for row in others], abs=1e-5)


def test_java_predicts_what_python_and_pytorch_by_hand_do_row_by_row(java, python, tmp_path):
    subprocess.run([sys.executable, "-c", BY_HAND, str(DATA), str(tmp_path / "by_hand.csv")], check=True)
    rows = rows_of(java[0] / "predictions.csv")
    assert len(rows) == 898
    assert same(rows, rows_of(python / "predictions.csv"))
    assert same(rows, rows_of(tmp_path / "by_hand.csv"))


def test_nineteen_of_twenty_images_are_recognized(java):
    rows = rows_of(java[0] / "predictions.csv")
    accuracy = sum(label == predicted for _, label, predicted, _ in rows) / len(rows)
    assert accuracy >= 0.95
    assert f"accuracy {accuracy:.4f}" in java[1]


def test_an_image_that_is_cut_off_is_an_error_row(images, java, python):
    size = (images / "broken.jpg").stat().st_size
    for path in (java[0] / "errors.csv", python / "errors_python.csv"):
        ((file, stage, message),) = rows_of(path)
        assert (file, stage) == ("broken.jpg", "preprocess")
        assert f"can't decode the image of {size} bytes: image file is truncated" in message
