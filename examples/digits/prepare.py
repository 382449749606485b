# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes everything that the Digits samples need: data as CSV, and one classifier as ONNX and as skops file.

The data are the 1,797 handwritten digits (8 × 8 pixels, 0 to 16) that ship with scikit-learn: every second one trains
the classifier, the others are for the pipelines.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import skops.io
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier


def main(directory: Path) -> None:
    """Trains on the even rows and writes the odd ones for testing."""
    directory.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    ids = np.arange(len(digits.target))
    train = ids % 2 == 0
    _write_csv(directory / "digits_test.csv", ids[~train], digits.target[~train], digits.data[~train])

    # The pipelines scale pixels to [0, 1] in a pre hook, so the classifier learns from pixels scaled alike.
    pixels = (digits.data / 16).astype(np.float32)
    classifier = MLPClassifier(hidden_layer_sizes=(128,), alpha=0.01, max_iter=400, random_state=0)
    classifier.fit(pixels[train], digits.target[train])
    skops.io.dump(classifier, directory / "digits.skops")
    inputs = [("pixels", FloatTensorType([None, pixels.shape[1]]))]
    onnx_model = convert_sklearn(classifier, initial_types=inputs, options={"zipmap": False})
    (directory / "digits.onnx").write_bytes(onnx_model.SerializeToString())


def _write_csv(path: Path, ids: np.ndarray, labels: np.ndarray, pixels: np.ndarray) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", *(f"p{index}" for index in range(pixels.shape[1]))])
        for row_id, label, values in zip(ids, labels, pixels, strict=True):
            writer.writerow([row_id, label, *values.astype(int)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("build/demo"), help="default: build/demo")
    main(parser.parse_args().directory)
