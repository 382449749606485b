# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Memory of MLTransform while it learns a vocabulary of many words and applies it, on Prism.

The words are made in the pipeline: so many distinct ones of 16 hexadecimal digits, one a row. They come in
TensorBatches, as from Java, or as rows, which take a minute or two a million. Workers are processes of Beam's
worker pool, and Prism has one of them for the whole job. Memory is the peak resident set of each process, sampled ten
times a second, and by kind: the workers, Prism, and what starts the job. Linux only.

Writes build/bench/vocabulary.json and prints it. Prism is built by tools/prism.sh.
Usage: python benchmarks/vocabulary.py [--words N] [--rows]
"""

from __future__ import annotations

import argparse
import binascii
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from expansion import MLTransform
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
PRISM = shutil.which("prism", path=f"{ROOT / 'build/prism'}:{os.environ['PATH']}")
ROWS_AT_ONCE = 100_000


Row = NamedTuple("Row", [("word", str)])  # noqa: UP014 - Beam reads types, not their names
beam.coders.registry.register_coder(Row, beam.coders.RowCoder)


def main() -> int:
    """Learns and applies the vocabulary; returns 1 if a row has another index than expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=10_000_000, help="distinct words (default: 10,000,000)")
    parser.add_argument("--times", type=int, default=1, help="rows that each word is in (default: 1)")
    parser.add_argument("--rows", action="store_true", help="elements are rows (default: TensorBatches)")
    parser.add_argument("--top-k", type=int, default=0, help="words to keep (default: all)")
    arguments = parser.parse_args()
    if PRISM is None:
        sys.exit("Prism is missing; tools/prism.sh builds it where there is Go")
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bml") as folder, contextlib.ExitStack() as stack:
        log = stack.enter_context((BUILD / "vocabulary.log").open("w"))
        pool_port, prism_port = free_port(), free_port()
        pool = ["-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool_port}"]
        processes = {
            "workers": subprocess.Popen([sys.executable, *pool], cwd=ROOT, stdout=log, stderr=log),
            "prism": subprocess.Popen([PRISM, f"-job_port={prism_port}", "-serve_http=false"], stdout=log, stderr=log),
        }
        for process in processes.values():
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for port in (pool_port, prism_port):
            wait_for(port)
        peaks: dict[str, int] = {}
        with sampled({name: process.pid for name, process in processes.items()}, peaks):
            start = time.monotonic()
            right = run(arguments, Path(folder) / "artifact", pool_port, prism_port)
            seconds = time.monotonic() - start
        size = sum(file.stat().st_size for file in (Path(folder) / "artifact").iterdir())
    result = {
        "elements": "rows" if arguments.rows else "TensorBatches",
        "words": arguments.words,
        "top_k": arguments.top_k,
        "rows": arguments.times * arguments.words,
        "seconds": round(seconds, 1),
        "peak_mb": {name: peak >> 20 for name, peak in peaks.items()},
        "artifact_mb": size >> 20,
        "right": right,
    }
    (BUILD / "vocabulary.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 0 if right else 1


def run(arguments: argparse.Namespace, artifact: Path, pool_port: int, prism_port: int) -> bool:
    """Runs the job; returns whether every row got an index, and each index as many rows as its word."""
    words, top_k, rows = arguments.words, arguments.top_k, arguments.times * arguments.words
    options = PipelineOptions(
        [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{prism_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{pool_port}",
            "--job_server_timeout=3600",  # seconds that the job may take
        ]
    )
    operation = {"compute_and_apply_vocabulary": {"columns": ["word"], "top_k": top_k}}
    config = {"operations": [operation], "write_artifact_location": str(artifact)}
    pipeline = beam.Pipeline(options=options)
    numbers = pipeline | beam.Create(range(0, rows, ROWS_AT_ONCE), reshuffle=True)
    if arguments.rows:
        elements = numbers | beam.FlatMap(make_rows, rows, words).with_output_types(Row)
    else:
        elements = numbers | beam.Map(make_batch, rows, words).with_output_types(bytes)
        config["tensor_batch"] = {"columns": [{"name": "word", "datatype": "STRING"}]}
    results = elements | MLTransform(config)
    _ = results["output"] | "Summarize" >> beam.ParDo(Summarize(str(artifact) + "-sums"))
    pipeline.run().wait_until_finish()
    sums = [json.loads(line) for file in artifact.parent.glob("artifact-sums*") for line in file.open()]
    seen, known, total = (sum(each) for each in zip(*sums, strict=True))
    kept = min(words, top_k or words)
    times = arguments.times
    return seen == rows and known == times * kept and total == times * kept * (kept - 1) // 2


def make_batch(first: int, rows: int, words: int) -> bytes:
    """Returns a TensorBatch; each word is made of its number, so that no two are alike, and far from each other."""
    numbers = np.arange(first, min(first + ROWS_AT_ONCE, rows), dtype=np.uint64) % np.uint64(words)
    digits = binascii.hexlify((numbers * np.uint64(0x9E3779B97F4A7C15)).astype(">u8").tobytes())
    texts = pa.Array.from_buffers(pa.binary(16), len(numbers), [None, pa.py_buffer(digits)]).cast(pa.binary())
    return tensor_batch.encode(Columns({"word": Blobs("STRING", texts, (), len(numbers))}, len(numbers)))


def make_rows(first: int, rows: int, words: int) -> Iterator[Row]:
    """Yields the rows of a batch."""
    for word in tensor_batch.decode(make_batch(first, rows, words)).columns["word"].to_rows():
        yield Row(word)


class Summarize(beam.DoFn):  # type: ignore[misc]
    """Appends to a file, for each bundle, its rows, those whose word is known, and the sum of their indices."""

    def __init__(self, path: str):
        self._path = path

    def start_bundle(self) -> None:
        """Begins with nothing."""
        self._sums = np.zeros(3, np.int64)

    def process(self, element: Row | bytes) -> None:
        """Adds a row, or those of a TensorBatch."""
        if isinstance(element, bytes):
            indices = tensor_batch.decode(element).columns["word"].values
        else:
            indices = np.array([element.word])
        self._sums += (len(indices), np.sum(indices >= 0), np.sum(indices[indices >= 0]))

    def finish_bundle(self) -> None:
        """Writes the sums."""
        with open(f"{self._path}-{os.getpid()}-{threading.get_ident()}", "a") as file:
            file.write(json.dumps(self._sums.tolist()) + "\n")


@contextlib.contextmanager
def sampled(roots: dict[str, int], peaks: dict[str, int]) -> Iterator[None]:
    """Notes the largest resident set of any process below each of some, in bytes, while the block runs."""
    end = threading.Event()

    def sample() -> None:
        while not end.wait(0.1):
            parents = parents_of_all()
            for name, root in {**roots, "launcher": os.getpid()}.items():
                family = [root] if name == "launcher" else family_of(root, parents)
                peaks[name] = max([peaks.get(name, 0), *map(resident_bytes, family)])

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def parents_of_all() -> dict[int, int]:
    """Returns the parent of every process."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    return parents


def family_of(root: int, parents: dict[int, int]) -> list[int]:
    """Returns a process and those that descend from it."""
    found, new = [root], [root]
    while new:
        new = [process for process, parent in parents.items() if parent in new]
        found += new
    return found


def resident_bytes(process: int) -> int:
    """Returns the resident set of a process; 0 if it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    """Waits until somebody listens on a port."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"nobody listens on port {port}; see {BUILD / 'vocabulary.log'}")


if __name__ == "__main__":
    sys.exit(main())
