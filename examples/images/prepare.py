# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes everything that the Images samples need: JPEG files, an index of their labels, and a convolutional network.

The data are the 1,797 handwritten digits (8 × 8 pixels, 0 to 16) that ship with scikit-learn, enlarged to 32 × 32:
every second one trains the network, the others are for the pipelines.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

SIZE = 32
MEAN, STANDARD_DEVIATION = 0.31, 0.35  # of the pixels, from 0 to 1; cnn.yaml has them too


def main(directory: Path) -> None:
    """Trains on the even rows and writes the odd ones for testing."""
    (directory / "test").mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    files = [_jpeg(image) for image in digits.images]
    train = np.arange(len(files)) % 2 == 0
    _write(directory, np.flatnonzero(~train), files, digits.target)

    # Of the files, as the pipelines have nothing else.
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])[:, None].astype(np.float32)
    inputs = torch.from_numpy((pixels / 255 - MEAN) / STANDARD_DEVIATION)
    network = _trained(inputs[train], torch.from_numpy(digits.target[train]))
    # Two rows, because torch.export takes a size of 1 for one that never changes.
    example = torch.zeros(2, 1, SIZE, SIZE)
    program = torch.export.export(network, (example,), dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}})
    torch.export.save(program, directory / "cnn.pt2")


def _jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    large = Image.fromarray((image * 255 / 16).astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    large.save(file, "JPEG", quality=90)
    return file.getvalue()


def _write(directory: Path, rows: np.ndarray, files: list[bytes], labels: np.ndarray) -> None:
    with (directory / "labels.csv").open("w", newline="") as index:
        writer = csv.writer(index)
        writer.writerow(["file", "label"])
        for row in rows:
            name = f"{row:04}.jpg"
            (directory / "test" / name).write_bytes(files[row])
            writer.writerow([name, labels[row]])


class Network(torch.nn.Module):
    """pixels FP32[1, 32, 32] → logits FP32[10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            *(torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Conv2d(32, 32, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
            *(torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(32 * 4 * 4, 10)),
        )

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns the score of each digit."""
        return {"logits": self.layers(pixels)}


def _trained(inputs: torch.Tensor, labels: torch.Tensor) -> Network:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # batches this small gain nothing from more, and lose much where cores are busy
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(15):
        for batch in torch.randperm(len(inputs)).split(32):
            loss = torch.nn.functional.cross_entropy(network(inputs[batch])["logits"], labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("build/images"), help="default: build/images")
    main(parser.parse_args().directory)
