# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Memory and speed of a model that several worker processes share: ours beside Beam's own.

The model is a linear regression of scikit-learn with one matrix of weights. (Beam's ONNX handler can't be compared:
with large_model it fails with "cannot pickle NodeArg", as its session is called through a proxy.) The worker processes
are plain ones, as no local runner makes sure that all of them work at the same time. Each does what a Beam worker does:
Beam's side sets up the DoFn of Beam's RunInference and gives it batches, lists of rows; ours loads or connects to the
model as our handler does, and gives it batches, columns. All load at once; then all run batches for some seconds.

The modes: "default", a copy in each worker; "large_model", one for all; "model_copies", two for all. Both sides may use
all cores for a call, but ours divides them among the workers or copies, as its defaults do for frameworks other than
scikit-learn.

Memory is the sum of the proportional set sizes (PSS: pages that processes share count once) of the workers and all
processes that they have started: the most while they load, and the median while they run. It is sampled five times a
second. Linux only.

Writes build/bench/memory.json and prints a table. Usage: python benchmarks/memory.py [--model-mb MB] [--seconds S]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
MODES = {"default": 0, "large_model": 1, "model_copies": 2}  # copies for all workers; 0 is one for each
ROWS = 64  # in a batch


def main() -> int:
    """Measures every mode on both sides; returns 1 if predictions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-mb", type=int, default=500, help="size of the model in MiB (default: 500)")
    parser.add_argument("--seconds", type=float, default=15, help="seconds to run batches for (default: 15)")
    parser.add_argument("--workers", type=int, default=4, help="worker processes (default: 4)")
    parser.add_argument("--work", nargs=2, metavar=("SIDE", "MODE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(*arguments.work, Path(os.environ["MODEL"]), arguments.seconds, arguments.workers)
        return 0
    BUILD.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="bml") as folder:
        model = write_model(Path(folder), arguments.model_mb)
        for mode in MODES:
            for side in ("stock", "ours"):
                print(f"== {mode}, {side}", file=sys.stderr, flush=True)
                measured = measure(side, mode, model, arguments.seconds, arguments.workers)
                results.append({"side": side, "mode": mode, "model_mb": arguments.model_mb, **measured})
    (BUILD / "memory.json").write_text(json.dumps(results, indent=2) + "\n")
    print_table(results)
    return 0 if len({result["checksum"] for result in results}) == 1 else 1


def write_model(folder: Path, size_mb: int) -> Path:
    """Writes a linear regression with a square matrix of float32 of about a size."""
    from sklearn.linear_model import LinearRegression

    width = int((size_mb * 2**20 / 4) ** 0.5)
    model = LinearRegression()
    model.coef_ = np.random.default_rng(0).random((width, width), np.float32)
    model.intercept_ = np.zeros(width, np.float32)
    model.n_features_in_ = width
    path = folder / "model.pickle"
    with path.open("wb") as file:
        pickle.dump(model, file)
    return path


def measure(side: str, mode: str, model: Path, seconds: float, count: int) -> dict:
    """Runs the workers of one side and mode."""
    command = [sys.executable, __file__, "--work", side, mode, f"--seconds={seconds}", f"--workers={count}"]
    samples: list[int] = []
    with tempfile.TemporaryDirectory(prefix="bml") as folder, contextlib.ExitStack() as stack:
        log = stack.enter_context((BUILD / "memory.log").open("w"))
        environment = {**os.environ, "MODEL": str(model), "TMPDIR": folder, "BEAM_ML_EXPANSION_MODEL_GRACE_SECS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True, "cwd": ROOT}
        workers = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
        stack.callback(lambda: [(worker.kill(), worker.wait()) for worker in workers])
        with sampled(samples):
            load_seconds = max(json.loads(line)["load_seconds"] for line in answers(workers))
            loaded = len(samples)
            done = answers(workers)
            running = samples[loaded:]
        tell(workers)  # that they may end: what they share may live in the first of them
        for worker in workers:
            worker.wait()
        while list(Path(folder).glob("*/*.socket")):  # the processes of our models outlive the workers
            time.sleep(0.2)
    lines = [json.loads(line) for line in done]
    return {
        "load_seconds": round(load_seconds, 2),
        "loading_peak_mb": max(samples[: loaded or 1]) >> 20,
        "running_mb": int(statistics.median(running)) >> 20,
        "rows_per_second": round(sum(line["rows"] / line["seconds"] for line in lines), 1),
        "rows_per_second_by_worker": [round(line["rows"] / line["seconds"], 1) for line in lines],
        "checksum": lines[0]["checksum"],
    }


def answers(workers: list[subprocess.Popen]) -> list[str]:
    """Tells all workers to go on, and returns what each says when it has."""
    tell(workers)
    lines = [worker.stdout.readline() for worker in workers]
    if not all(lines):
        sys.exit(f"a worker failed; see {BUILD / 'memory.log'}")
    return lines


def tell(workers: list[subprocess.Popen]) -> None:
    """Tells all workers to go on."""
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()


@contextlib.contextmanager
def sampled(samples: list[int]) -> Iterator[None]:
    """Samples the memory of all descendants of this process, in bytes, while the block runs."""
    end = threading.Event()

    def sample() -> None:
        while not end.wait(0.2):
            samples.append(sum(map(proportional_bytes, descendants())))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def descendants() -> list[int]:
    """Returns the ids of the processes that this one has started, and those that they have."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found, new = [], [os.getpid()]
    while new:
        new = [process for process, parent in parents.items() if parent in new]
        found += new
    return found


def proportional_bytes(process: int) -> int:
    """Returns the proportional set size of a process; 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def print_table(results: list[dict]) -> None:
    """Prints the results for people."""
    print(f"\n{'mode':14} {'side':6} {'loading, peak MiB':>18} {'running MiB':>12} {'load s':>8} {'rows/s':>9}")
    for result in results:
        numbers = f"{result['loading_peak_mb']:18,} {result['running_mb']:12,} {result['load_seconds']:8.1f}"
        print(f"{result['mode']:14} {result['side']:6} {numbers} {result['rows_per_second']:9,.0f}")


def work(side: str, mode: str, path: Path, seconds: float, workers: int) -> None:
    """Is a worker: loads the model, runs batches, and says so, each when it is told to."""
    load = stock if side == "stock" else ours
    sys.stdin.readline()
    began = time.monotonic()
    predict = load(path, MODES[mode], workers)
    print(json.dumps({"load_seconds": time.monotonic() - began}), flush=True)
    sys.stdin.readline()
    rows = 0
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        checksum = predict()
        rows += ROWS
    line = {"rows": rows, "seconds": time.monotonic() - began, "checksum": round(checksum, 1)}
    print(json.dumps(line), flush=True)
    sys.stdin.readline()


def features(path: Path) -> np.ndarray:
    """Returns the batch, [rows, features] of float32: as wide as the model, whose size says how wide that is."""
    width = int((path.stat().st_size / 4) ** 0.5)
    return np.linspace(0, 1, ROWS * width, dtype=np.float32).reshape(ROWS, width)


def stock(path: Path, copies: int, workers: int) -> Callable[[], float]:
    """Sets up the DoFn of Beam's RunInference; returns what runs a batch and sums one row of it."""
    from apache_beam.ml.inference.base import _RunInferenceDoFn
    from apache_beam.ml.inference.sklearn_inference import SklearnModelHandlerNumpy

    options = {"large_model": True} if copies == 1 else {"model_copies": copies} if copies else {}
    handler = SklearnModelHandlerNumpy(str(path), **options)
    do_fn = _RunInferenceDoFn(handler, time, None, model_tag="model")
    do_fn.setup()
    batch = list(features(path))
    return lambda: float(do_fn._run_inference(batch, None)[-1].inference.mean())


def ours(path: Path, copies: int, workers: int) -> Callable[[], float]:
    """Loads the model or connects to its copies; returns what runs a batch and sums one row of it."""
    import expansion.transforms.handler  # noqa: F401 - with what our workers import, which is what Beam's do and more
    from expansion.contract._gen.model_pb2 import Model, SklearnModel
    from expansion.models import processes, sklearn
    from expansion.models.runtime import Runtime, cores
    from expansion.tensors.columns import Columns, Dense

    threads = max(1, cores() // (copies or workers))
    config = Model(sklearn=SklearnModel(uri=str(path), format="pickle"), model_copies=copies, threads=threads)
    model = processes.connect(config, copies) if copies else sklearn.build(config.sklearn, Runtime(threads=threads))
    inputs = {"X": Columns({"features": Dense(features(path))}, ROWS)}
    return lambda: float(model.run(inputs, ["predict"])["predict"].values[-1].mean())


if __name__ == "__main__":
    sys.exit(main())
