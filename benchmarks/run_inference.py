# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Java → model → Java: our RunInference beside Beam's own, on the same runner, with the same model and rows.

The model is a logistic regression on rows of 4 and of 512 doubles. Each side runs in a JVM of its own: a few times to
warm up, then at two sizes in turn. The difference of their times, divided by the difference in rows, is the time for
one row, without start-up; the median counts.

Writes build/bench/results.json and prints a table. Usage: python benchmarks/run_inference.py [--repeats N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pickle
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
JAVA = ROOT / "java-example/samples/build/install/samples/lib"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        width: Doubles in a row.
        small: Rows of the small run, the same on both sides: their predictions are compared.
        large: Rows of the large run, by side: enough for several seconds.
        batch: Rows in a batch of the model, by side: the fastest of 1,024, 4,096, 16,384 and more.
        target: How many times faster ours should be.
    """

    width: int
    small: int
    large: dict[str, int]
    batch: dict[str, int]
    target: int


# Runs that don't count: what the JVM compiles, and the memory that every process takes, is there after them.
WARM_UP = 3
CASES = [
    Case(4, 20_000, {"stock": 400_000, "ours": 4_000_000}, {"stock": 1024, "ours": 16384}, 10),
    Case(512, 1_000, {"stock": 20_000, "ours": 100_000}, {"stock": 1024, "ours": 1024}, 50),
]


@dataclass(frozen=True)
class Services:
    """Addresses of what both sides use: one runner with its workers, and an expansion service each."""

    job: str
    expansion: dict[str, str]


def main() -> int:
    """Measures every case; returns 1 if predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each size on each side (default: 3)")
    repeats = parser.parse_args().repeats
    BUILD.mkdir(parents=True, exist_ok=True)
    say("building the Java side")
    subprocess.run(["gradle", "-p", "java-example", "-q", ":samples:installDist"], cwd=ROOT, check=True)
    with services() as running:
        results = [measure(case, running, repeats) for case in CASES]
    (BUILD / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print_table(results)
    return 0 if all(result["same_predictions"] for result in results) else 1


def measure(case: Case, running: Services, repeats: int) -> dict:
    """Runs a case on both sides, one after the other."""
    train(case.width)
    runs = {}
    for side in ("stock", "ours"):
        say(f"{case.width} doubles, {side}: {case.small:,} and {case.large[side]:,} rows, {repeats} times")
        runs[side] = run_java(case, side, running, repeats)
    return result_of(case, repeats, runs)


def result_of(case: Case, repeats: int, runs: dict[str, list[dict]]) -> dict:
    """Returns what results.json says of a case; times in microseconds for one row."""
    slopes = {
        side: [
            1e6 * (large["seconds"] - small["seconds"]) / (large["rows"] - small["rows"])
            for small, large in zip(lines[::2], lines[1::2], strict=True)
        ]
        for side, lines in runs.items()
    }
    stock, ours = (statistics.median(slopes[side]) for side in ("stock", "ours"))
    compared = {line["checksum"] for lines in runs.values() for line in lines if line["rows"] == case.small}
    return {
        "case": f"sklearn logistic regression, {case.width} doubles",
        "stock_us_per_row": stock,
        "ours_us_per_row": ours,
        "ratio": stock / ours,
        "target": case.target,
        "rows": {side: [case.small, case.large[side]] for side in slopes},
        "batch": case.batch,
        "repeats": repeats,
        "spread_us_per_row": {side: [min(values), max(values)] for side, values in slopes.items()},
        "checksum": sorted(compared),
        "same_predictions": len(compared) == 1,
    }


def print_table(results: list[dict]) -> None:
    """Prints the results for people."""
    print(f"\n{'case':45} {'stock µs/row':>14} {'ours µs/row':>14} {'ratio':>8} {'target':>8}  same predictions")
    for result in results:
        numbers = f"{result['stock_us_per_row']:14.2f} {result['ours_us_per_row']:14.2f} {result['ratio']:7.1f}×"
        print(f"{result['case']:45} {numbers} {result['target']:7}×  {'yes' if result['same_predictions'] else 'NO'}")


def train(width: int) -> None:
    """Writes one model in the formats of both sides."""
    rows = np.random.default_rng(0).normal(size=(1000, width))
    model = LogisticRegression().fit(rows, (rows[:, 0] + rows[:, -1] > 0).astype(int))
    skops.io.dump(model, model_path(width, "ours"))
    model_path(width, "stock").write_bytes(pickle.dumps(model))


def model_path(width: int, side: str) -> Path:
    """Returns where a side's model is."""
    return BUILD / f"logistic_regression_{width}.{'skops' if side == 'ours' else 'pickle'}"


def run_java(case: Case, side: str, running: Services, repeats: int) -> list[dict]:
    """Runs the Java pipeline at both sizes in turn, in one JVM that is warm; returns the lines that it prints."""
    warm_up = [case.large[side]] * WARM_UP
    options = {
        "side": side,
        "rows": ",".join(map(str, warm_up + [case.small, case.large[side]] * repeats)),
        "width": case.width,
        "batch": case.batch[side],
        "model": model_path(case.width, side),
        "jobEndpoint": running.job,
        "expansionService": running.expansion[side],
    }
    command = ["java", "-Xmx6g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{JAVA}/*"]
    command += ["io.github.beamml.samples.Bench", *(f"--{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        sys.exit(f"the benchmark's Java side failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return lines[WARM_UP:]


@contextlib.contextmanager
def services() -> Iterator[Services]:
    """Starts our service with the local runner, and Beam's own expansion service with the same workers."""
    say("starting the services")
    log = (BUILD / "services.log").open("w")
    serve = [str(Path(sys.executable).with_name("beam-ml-expansion")), "serve", "--local-runner", "--port=0"]
    with process(serve, stdout=subprocess.PIPE, stderr=log, text=True) as ours:
        greeting = ""
        while "LISTENING" not in greeting:
            line = ours.stdout.readline()
            if not line:
                sys.exit(f"the service did not start; see {log.name}")
            greeting += line
        expansion, job = re.search(r"LISTENING expansion=(\S+) job=(\S+)", greeting).groups()
        workers = re.search(r"external:(\S+)", greeting).group(1)
        port = free_port()
        stock = [sys.executable, "-m", "apache_beam.runners.portability.expansion_service_main", f"--port={port}"]
        stock += ["--fully_qualified_name_glob=*", "--environment_type=EXTERNAL", f"--environment_config={workers}"]
        with process(stock, stdout=log, stderr=log):
            wait_for(port)
            yield Services(job, {"ours": expansion, "stock": f"localhost:{port}"})


@contextlib.contextmanager
def process(command: list[str], **options) -> Iterator[subprocess.Popen]:
    """Runs a command and ends it."""
    started = subprocess.Popen(command, cwd=ROOT, **options)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    """Waits until somebody listens on a port, for a minute at most."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    sys.exit("Beam's expansion service did not start")


def say(text: str) -> None:
    """Reports progress."""
    print(f"== {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
