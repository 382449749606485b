# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes the two halves of the data that the Penguins samples need: train.csv and test.csv.

The data, penguins.csv, are 344 penguins of three species that were measured on the Palmer Archipelago in the years 2007
to 2009; 11 of them have measures, or the sex, missing ("NA"). They are in the public domain (CC0): K. B. Gorman, T. D.
Williams and W. R. Fraser, PLoS ONE 9(3), 2014; A. M. Horst, A. P. Hill and K. B. Gorman, palmerpenguins, 2020,
doi:10.5281/zenodo.3960218. Every second one is for training, with what is missing as nothing at all.
"""

import argparse
import csv
from pathlib import Path

PENGUINS = Path(__file__).with_name("penguins.csv")


def main(directory: Path) -> None:
    """Writes the even rows for training and the odd ones for testing, numbered as they are in the data."""
    directory.mkdir(parents=True, exist_ok=True)
    with PENGUINS.open(newline="") as file:
        header, *rows = csv.reader(file)
    for start, name in enumerate(("train", "test")):
        with (directory / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", *header])
            for number in range(start, len(rows), 2):
                writer.writerow([number, *("" if value == "NA" else value for value in rows[number])])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("build/penguins"), help="default: %(default)s")
    main(parser.parse_args().directory)
