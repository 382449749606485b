# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Trains a classifier on what the Prepare sample wrote: prepared.parquet, with features and species of each penguin."""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import skops.io
from sklearn.linear_model import LogisticRegression


def main(directory: Path) -> None:
    """Reads prepared.parquet and writes penguins.skops."""
    penguins = pq.read_table(directory / "prepared.parquet")
    features = np.array(penguins["features"].to_pylist())
    classifier = LogisticRegression(max_iter=1000).fit(features, penguins["species"].to_pylist())
    skops.io.dump(classifier, directory / "penguins.skops")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("build/penguins"), help="default: %(default)s")
    main(parser.parse_args().directory)
