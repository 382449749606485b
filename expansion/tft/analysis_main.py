# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The process in which tensorflow-transform learns; analysis.py runs it with the folder in which it works."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio

from expansion import lifeline
from expansion.contract.fields import Field
from expansion.operations import manifest
from expansion.tft.analysis import BATCHES, OUTPUT
from expansion.tft.graph import graph_of
from expansion.tft.preprocessing import preprocessing_of
from expansion.tft.record_batches import schema_of


def main() -> None:
    """Reads the folder's batches and manifest, and writes the graph into it."""
    lifeline.watch(lambda: os._exit(1))
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.ERROR)
    folder = Path(sys.argv[1])
    asked = manifest.parse((folder / manifest.NAME).read_bytes())
    takes = {field.name: field for field in asked.before}
    preprocessing = preprocessing_of(asked.messages, list(graph_of(asked.messages, takes).makes))
    config = tfxio.TensorAdapterConfig(schema_of(takes), {name: _tensor(takes[name]) for name in takes})
    # Later phases read the file again, so that what is read is not kept in memory from phase to phase.
    context = tft_beam.Context(temp_dir=str(folder / "temporary"), use_deep_copy_optimization=True)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline, context:
        path = pipeline | "Path" >> beam.Create([str(folder / BATCHES)])
        batches = path | "Read" >> beam.FlatMap(_read).with_output_types(pa.RecordBatch)
        graph = (batches, config) | "Analyze" >> tft_beam.AnalyzeDataset(preprocessing)
        _ = graph | "Write" >> tft_beam.WriteTransformFn(str(folder / OUTPUT))


def _read(path: str) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(path) as file, pa.ipc.open_stream(file) as reader:
        yield from reader


def _tensor(field: Field) -> Any:
    """Returns how a column becomes a tensor: a dense one, or a sparse one where rows differ in size."""
    representation = schema_pb2.TensorRepresentation()
    if -1 in field.shape:
        representation.varlen_sparse_tensor.column_name = field.name
        return representation
    representation.dense_tensor.column_name = field.name
    representation.dense_tensor.shape.SetInParent()
    for size in field.shape:
        representation.dense_tensor.shape.dim.add(size=size)
    return representation


if __name__ == "__main__":
    main()
