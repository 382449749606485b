# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform beside Beam's own, which needs tensorflow-transform: min-max, z-score and a vocabulary on three columns.

All sides get the same rows, learn of them and transform them: Beam's in Python, as it has no other way; ours from
Java, and in Python. All run on Beam's FnApiRunner: those in Python in their own process, Java's through the service's
local runner. Each is run once to warm up, then at two sizes in turn. The difference of their times, divided by the
difference in rows, is the time for one row, without start-up; the median counts. Making the rows is a part of it.

Adds its cases to build/bench/results.json and prints a table. Usage: python benchmarks/ml_transform.py [--repeats N]
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import run_inference

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build/bench"
RESULTS = BUILD / "results.json"
VISITS = BUILD / "visits.tsv"
CASE = "MLTransform: min-max, z-score, vocabulary"
SIZES = {"stock": (20_000, 100_000), "python": (20_000, 400_000), "java": (20_000, 2_000_000)}
TARGET = 20
DIFFERENT = 10_000  # rows of the file, which are repeated


class Visit(NamedTuple):
    """A row."""

    age: float
    income: float
    city: str


beam.coders.registry.register_coder(Visit, beam.coders.RowCoder)


def main() -> int:
    """Measures all sides; returns 1 if what they make of the rows differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each size on each side (default: 3)")
    parser.add_argument("--side", choices=[*SIZES], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.repeats)
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    write_visits()
    runs = {side: measure(side, arguments.repeats) for side in SIZES}
    results = [result_of(side, runs, arguments.repeats) for side in ("java", "python")]
    ours = {result["case"] for result in results}
    others = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    kept = [case for case in others if case["case"] not in ours]
    RESULTS.write_text(json.dumps([*kept, *results], indent=2) + "\n")
    run_inference.print_table(results)
    return 0 if all(result["same_predictions"] for result in results) else 1


def write_visits() -> None:
    """Writes the rows of all sides."""
    random = np.random.default_rng(7)
    cities = np.minimum(random.zipf(1.5, DIFFERENT), 1000)
    columns = random.normal(40, 12, DIFFERENT), random.lognormal(8, 1, DIFFERENT), cities
    lines = [
        f"{age!r}\t{income!r}\tcity {city}\n"
        for age, income, city in zip(*map(np.ndarray.tolist, columns), strict=True)
    ]
    VISITS.write_text("".join(lines))


def measure(side: str, repeats: int) -> list[dict]:
    """Runs a side at both sizes in turn; returns a line for each run but the first, which warms up."""
    small, large = SIZES[side]
    run_inference.say(f"MLTransform, {side}: {small:,} and {large:,} rows, {repeats} times")
    command = [sys.executable, __file__, f"--side={side}", f"--repeats={repeats}"]
    if side != "java":
        return lines_of(command)
    subprocess.run(["gradle", "-p", "java-example", "-q", ":samples:installDist"], cwd=ROOT, check=True)
    with run_inference.services() as running, tempfile.TemporaryDirectory() as folder:
        rows = ",".join(map(str, [large] + [small, large] * repeats))
        options = {"rows": rows, "data": VISITS, "folder": folder, "jobEndpoint": running.job}
        options["expansionService"] = running.expansion["ours"]
        command = ["java", "-Xmx6g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
        command += ["-cp", f"{run_inference.JAVA}/*", "io.github.beamml.samples.BenchTransform"]
        return lines_of(command + [f"--{name}={value}" for name, value in options.items()])[1:]


def lines_of(command: list[str]) -> list[dict]:
    """Runs a command; returns the lines of JSON that it prints."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return lines


def run_side(side: str, repeats: int) -> None:
    """Runs one side in this process; prints a line for each run but the first."""
    logging.disable(logging.WARNING)
    small, large = SIZES[side]
    for number, rows in enumerate([small] + [small, large] * repeats):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            sums = run(side, rows, folder)
            seconds = time.perf_counter() - start
        if number:
            print(json.dumps({"rows": rows, "seconds": seconds, "sums": sums}), flush=True)


def run(side: str, rows: int, folder: str) -> list[float]:
    """Runs a pipeline; returns the sum of each column that it made."""
    found = os.path.join(folder, "sums")
    with beam.Pipeline() as pipeline:
        chunks = pipeline | beam.Create(range(rows // DIFFERENT), reshuffle=False)
        transformed = {"stock": of_stock, "python": of_ours}[side](chunks, os.path.join(folder, "artifact"))
        sums = transformed | beam.ParDo(Sums()) | beam.CombineGlobally(lambda parts: np.sum(list(parts), 0))
        lines = sums | beam.Map(lambda total: json.dumps(np.asarray(total).tolist()))
        _ = lines | beam.io.WriteToText(found, "", shard_name_template="")
    return json.loads(Path(found).read_text())


def visits() -> list[Visit]:
    """Returns the rows of the file."""
    lines = (line.split("\t") for line in VISITS.read_text().splitlines())
    return [Visit(float(age), float(income), city) for age, income, city in lines]


def of_ours(chunks: beam.PCollection, artifact: str) -> beam.PCollection:
    """Transforms the rows with this package."""
    from expansion import MLTransform

    config = {
        "operations": [
            {"scale_to_01": {"columns": ["age"]}},
            {"scale_to_z_score": {"columns": ["income"]}},
            {"compute_and_apply_vocabulary": {"columns": ["city"]}},
        ],
        "write_artifact_location": artifact,
    }
    rows = chunks | beam.FlatMap(lambda chunk: visits()).with_output_types(Visit)
    return (rows | MLTransform(config))["output"] | beam.Map(lambda row: (row.age, row.income, row.city))


def of_stock(chunks: beam.PCollection, artifact: str) -> beam.PCollection:
    """Transforms the rows with Beam's own MLTransform."""
    from apache_beam.ml.transforms import tft
    from apache_beam.ml.transforms.base import MLTransform

    os.makedirs(artifact)
    fields = [("age", float), ("income", float), ("city", str)]
    rows = chunks | beam.FlatMap(lambda chunk: [beam.Row(**visit._asdict()) for visit in visits()]).with_output_types(
        beam.row_type.RowTypeConstraint.from_fields(fields)
    )
    transform = (
        MLTransform(write_artifact_location=artifact)
        .with_transform(tft.ScaleTo01(columns=["age"]))
        .with_transform(tft.ScaleToZScore(columns=["income"]))
        .with_transform(tft.ComputeAndApplyVocabulary(columns=["city"]))
    )
    return rows | transform | beam.Map(lambda row: (row.age[0], row.income[0], row.city[0]))


class Sums(beam.DoFn):
    """Adds up each bundle's columns: the same work on each side, and little."""

    def start_bundle(self) -> None:
        """Begins at zero."""
        self._sums = [0.0, 0.0, 0.0]

    def process(self, values: tuple[float, float, float]) -> None:
        """Adds one row."""
        sums = self._sums
        sums[0] += values[0]
        sums[1] += abs(values[1])
        sums[2] += values[2]

    def finish_bundle(self) -> Iterator[beam.utils.windowed_value.WindowedValue]:
        """Yields the sums."""
        window = beam.transforms.window.GlobalWindow()
        yield beam.utils.windowed_value.WindowedValue(np.array(self._sums), window.max_timestamp(), (window,))


def result_of(side: str, runs: dict[str, list[dict]], repeats: int) -> dict:
    """Returns what results.json says of one of our sides; times in microseconds for one row."""
    slopes = {
        name: [
            1e6 * (large["seconds"] - small["seconds"]) / (large["rows"] - small["rows"])
            for small, large in zip(lines[::2], lines[1::2], strict=True)
        ]
        for name, lines in (("stock", runs["stock"]), ("ours", runs[side]))
    }
    stock, ours = (statistics.median(slopes[name]) for name in ("stock", "ours"))
    expected = runs["stock"][0]["sums"]
    # Theirs are computed in single precision.
    same = all(np.allclose(line["sums"], expected, rtol=1e-4) for line in [*runs["stock"][::2], *runs[side][::2]])
    return {
        "case": f"{CASE}, from {side.capitalize()}",
        "stock_us_per_row": stock,
        "ours_us_per_row": ours,
        "ratio": stock / ours,
        "target": TARGET,
        "rows": {"stock": list(SIZES["stock"]), "ours": list(SIZES[side])},
        "repeats": repeats,
        "spread_us_per_row": {name: [min(values), max(values)] for name, values in slopes.items()},
        "checksum": [round(value, 2) for value in runs[side][0]["sums"]],
        "same_predictions": same,
    }


if __name__ == "__main__":
    sys.exit(main())
