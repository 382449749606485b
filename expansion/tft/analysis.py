# Licensed under the Apache License, Version 2.0; see LICENSE.
"""tensorflow-transform's analysis of a data set, on a worker, in a process of its own.

A process of its own, as it runs a pipeline of Beam's, which has no place within a worker, and as TensorFlow must not
meet PyTorch; and what it takes of memory is given back when it ends.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from expansion import lifeline
from expansion.contract.fields import Fields
from expansion.errors import SystemicError
from expansion.operations import manifest
from expansion.operations.manifest import Manifest
from expansion.tft.record_batches import decode, schema_of

# Names in the folder in which the process works.
BATCHES, OUTPUT = "batches.arrow", "output"
_ARCHIVE = "transform_fn.zip"

_LOG = logging.getLogger(__name__)


def analyze(streams: Iterable[bytes], asked: Manifest, folder: Path) -> Path:
    """Lets tensorflow-transform learn.

    Args:
        streams: All rows, in the form of ``record_batches.encode``.
        asked: The operations, and the columns before them.
        folder: An empty folder; what the process needs stays there.

    Returns:
        A zip file of a directory that ``tft.TFTransformOutput`` reads: ``transform_fn``, ``transformed_metadata``.

    Raises:
        SystemicError: There are no rows; tensorflow-transform is missing, or fails.
    """
    _spool(streams, {field.name: field for field in asked.before}, folder / BATCHES)
    (folder / manifest.NAME).write_bytes(asked.to_json())
    # What is importable here must be there. It computes on the CPU: a GPU is the models', which take its memory.
    paths = os.pathsep.join(filter(None, sys.path))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    process = lifeline.start(
        "expansion.tft.analysis_main",
        [str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        environment={**os.environ, **quiet, "PYTHONPATH": paths},
    )
    with process:
        assert process.stdout is not None  # noqa: S101 - a pipe
        output = process.stdout.read()
    if process.returncode != 0:
        _LOG.error("tensorflow-transform failed:\n%s", output[-20_000:])
        raise SystemicError(_reason(process.returncode, output))
    return _zipped(folder / OUTPUT, folder / _ARCHIVE)


def _spool(streams: Iterable[bytes], takes: Fields, path: Path) -> None:
    """Writes all rows to one file."""
    rows = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema_of(takes)) as writer:
        for stream in streams:
            batch = decode(stream)
            writer.write_batch(batch)
            rows += batch.num_rows
    if not rows:
        raise SystemicError("there are no rows to learn from, which engine TFT needs; leave it out, or send some")


def _reason(code: int, output: str) -> str:
    if code < 0:
        return f"tensorflow-transform's process was ended by signal {-code}; perhaps the machine has too little memory"
    last = (output.strip().splitlines() or [f"exit status {code}"])[-1]
    if last.startswith("ModuleNotFoundError") and ("tensorflow" in last or "tfx_bsl" in last):
        return f"engine TFT needs tensorflow-transform: {last}; install beam-ml-expansion[tft] on the workers"
    return f"tensorflow-transform failed: {last}; the log says more"


def _zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    return archive
