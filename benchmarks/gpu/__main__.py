# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Rows a second of a model on a GPU: a plain loop of its framework beside what our worker does with the same batches.

Four loops run in turn, over the same batches, on one device:

- raw: arrays to arrays with the framework alone, as its tutorials have it.
- handler: our handler, as Beam's RunInference calls it, in the same process and with the same loaded model.
- step: bytes of a TensorBatch → decode → handler → encode → bytes: all that our steps do for a Java pipeline. What a
  runner does between them is left out.
- large_model: the handler with the model in a process of its own, as several workers share it. Batches cross to it.

Predictions of all loops are compared. PyTorch, ONNX Runtime and TensorRT each run in a process of their own; those that
are not installed, or can't use the device, are left out, and that is said. Without a GPU it runs on the CPU.

Writes build/bench/gpu.json and prints a table.
Usage: python -m benchmarks.gpu [--device auto|cpu|cuda] [--frameworks pytorch,onnx] [--seconds S] [--repeats R]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.cases import CASES
from benchmarks.gpu.loops import LOOPS, Loop, make_loops
from expansion.models.process_main import GRACE_VARIABLE
from expansion.models.runtime import cores, cuda_gpu_count

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "bench"

# Names of the packages by framework, the first of them that is imported.
PACKAGES = {"pytorch": ("torch",), "onnx": ("onnxruntime", "onnxruntime-gpu"), "tensorrt": ("tensorrt",)}


def main() -> int:
    """Measures every framework; returns 1 if predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--frameworks", default=",".join(PACKAGES), help="default: all")
    parser.add_argument("--seconds", type=float, default=2, help="seconds of each loop, each time (default: 2)")
    parser.add_argument("--repeats", type=int, default=3, help="times that each loop runs (default: 3)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # a framework: measures it in this process
    arguments = parser.parse_args()
    device = arguments.device if arguments.device != "auto" else "cuda" if cuda_gpu_count() else "cpu"
    if arguments.measure:
        print(json.dumps(list(measure(arguments.measure, device, arguments.seconds, arguments.repeats))))
        return 0
    results = []
    for framework in arguments.frameworks.split(","):
        if not importlib.util.find_spec(PACKAGES[framework][0]):
            print(f"{framework}: {PACKAGES[framework][0]} is not installed", file=sys.stderr)
            continue
        command = [sys.executable, "-m", "benchmarks.gpu", "--measure", framework, "--device", device]
        command += ["--seconds", str(arguments.seconds), "--repeats", str(arguments.repeats)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{framework}: not measured on {device}; see above", file=sys.stderr)
            continue
        results += json.loads(done.stdout.splitlines()[-1])
    BUILD.mkdir(parents=True, exist_ok=True)
    written = {"machine": machine(), "device": device, "results": results}
    (BUILD / "gpu.json").write_text(json.dumps(written, indent=2) + "\n")
    print_table(written)
    return 0 if results and all(result["same_predictions"] for result in results) else 1


def measure(framework: str, device: str, seconds: float, repeats: int) -> Iterator[dict[str, Any]]:
    """Yields the result of each case."""
    version = next(filter(None, map(version_of, PACKAGES[framework])))
    for case in CASES:
        # Model processes of the case have a directory of their own, with a short path: it holds a socket.
        with tempfile.TemporaryDirectory(prefix="bml", dir="/tmp") as folder:
            tempfile.tempdir = os.environ["TMPDIR"] = folder
            os.environ[GRACE_VARIABLE] = "0.5"
            loops, first = make_loops(framework, case, device, Path(folder))
            say(f"{framework} {version}, {case.model}, {case.rows} rows, {device}")
            speeds: dict[str, list[float]] = {name: [] for name in loops}
            for _ in range(repeats):
                for name, loop in loops.items():
                    speeds[name].append(rows_per_second(loop, case.rows, seconds))
            tempfile.tempdir = None
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        yield {
            "framework": framework,
            "version": version,
            "model": case.model,
            "batch_rows": case.rows,
            "rows_per_second": medians,
            "ratio_to_raw": {name: medians[name] / medians["raw"] for name in LOOPS[1:]},
            "spread": {name: [min(values), max(values)] for name, values in speeds.items()},
            "largest_difference": (largest := max(float(np.abs(one - first["raw"]).max()) for one in first.values())),
            "same_predictions": largest < 1e-2,  # GPUs may multiply in TF32
        }


def rows_per_second(loop: Loop, rows: int, seconds: float) -> float:
    """Runs a loop for about so many seconds."""
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        loop(count)
        count += 1
    return count * rows / passed


def machine() -> dict[str, Any]:
    """Returns what the figures were measured on."""
    query, gpus = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"], ""
    with suppress(OSError, subprocess.CalledProcessError):
        gpus = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return {"gpus": gpus.splitlines(), "cpu": cpu(), "cores": cores(), "python": platform.python_version()}


def cpu() -> str:
    """Returns the name of the processor."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return platform.machine()


def version_of(package: str) -> str:
    """Returns the version of an installed package; empty if it is not."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return ""


def print_table(written: dict[str, Any]) -> None:
    """Prints the results for people."""
    of = written["machine"]
    where = "; ".join(of["gpus"]) if written["device"] == "cuda" else "no GPU: on the CPU"
    print(f"\n{where}; {of['cpu']}, {of['cores']} cores; Python {of['python']}; rows a second, and in % of raw\n")
    print(f"{'framework':18} {'model':14} {'batch':>6} " + " ".join(f"{name:>20}" for name in LOOPS))
    for result in written["results"]:
        speeds, ratios = result["rows_per_second"], {"raw": 1.0, **result["ratio_to_raw"]}
        numbers = " ".join(f"{speeds[name]:14,.0f} {ratios[name]:5.0%}" for name in LOOPS)
        name = f"{result['framework']} {result['version']}"
        same = "" if result["same_predictions"] else "  PREDICTIONS DIFFER"
        print(f"{name:18} {result['model']:14} {result['batch_rows']:6} {numbers}{same}")


def say(text: str) -> None:
    """Says what is going on."""
    print(f"== {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
