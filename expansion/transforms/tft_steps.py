# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The steps of MLTransform with ``engine: TFT``: all rows to one worker, which learns from them and writes a graph."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import apache_beam as beam

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract.config import to_mapping
from expansion.operations.manifest import LearnedByOne, Manifest
from expansion.tft import transform_fn
from expansion.tft.analysis import analyze
from expansion.tft.graph import Graph
from expansion.tft.record_batches import encode
from expansion.tft.transform_fn import TransformFn
from expansion.transforms.artifact import write_graph, write_manifest, written_by
from expansion.transforms.batch import Batch
from expansion.transforms.memory import WithinMemory
from expansion.transforms.operation_steps import applied


class LearnGraph(beam.PTransform):  # type: ignore[misc]
    """Learns from a data set and writes the artifact; returns the SHA-256 of its manifest, once.

    Args:
        config: The configuration.
        graph: What the graph that is written takes and makes.
        batches_of: Returns the data set's Batches, as they are before the operations.
    """

    def __init__(
        self, config: MLTransformConfig, graph: Graph, batches_of: Callable[[beam.PCollection], beam.PCollection]
    ):
        super().__init__()
        self._config = config
        self._graph = graph
        self._batches_of = batches_of

    def expand(self, pcoll: beam.PCollection) -> beam.PCollection:
        """Returns the SHA-256."""
        rows = self._batches_of(pcoll) | "ToArrow" >> beam.ParDo(ToArrow(self._graph)).with_output_types(bytes)
        run = pcoll.pipeline | "Start" >> beam.Impulse() | "Run" >> beam.Map(_new_run).with_output_types(str)
        # A run that has its name keeps it when what follows is retried.
        learn = beam.ParDo(Learn(self._config, self._graph), beam.pvalue.AsIter(rows)).with_output_types(str)
        return run | "KeepRun" >> beam.Reshuffle() | "Learn" >> learn


class ToArrow(beam.DoFn):  # type: ignore[misc]
    """Encodes what is learned from."""

    def __init__(self, graph: Graph):
        self._graph = graph

    def process(self, batch: Batch) -> Iterator[bytes]:
        """Yields the rows, as an Arrow stream."""
        if len(batch):
            yield encode(batch.features, self._graph.takes)


class Learn(beam.DoFn):  # type: ignore[misc]
    """Lets tensorflow-transform learn from all rows, and writes the artifact."""

    def __init__(self, config: MLTransformConfig, graph: Graph):
        self._operations = tuple(LearnedByOne(to_mapping(each), {}, {}) for each in config.operations)
        self._graph = graph
        self._location = config.write_artifact_location
        self._overwrite = config.overwrite

    def process(self, run: str, rows: Iterable[bytes]) -> Iterator[str]:
        """Yields the SHA-256 of the manifest.

        Args:
            run: Which run of the job this is; retried, a bundle finds what it has written before.
            rows: All rows, as Arrow streams.
        """
        sha256 = written_by(self._location, run) or self._learn(rows, run)
        # Nobody is told of an artifact that can't be read; and a worker that goes on with it has it already.
        self._loaded = transform_fn.load(self._location, sha256, self._graph)
        yield sha256

    def _learn(self, rows: Iterable[bytes], run: str) -> str:
        takes, makes = self._graph.takes, self._graph.makes
        asked = Manifest(tuple(takes.values()), self._operations, tuple(makes.values()))
        with tempfile.TemporaryDirectory(prefix="beam-ml-expansion-") as folder:
            archive = analyze(rows, asked, Path(folder))
            file = write_graph(self._location, archive, run)
        return write_manifest(self._location, replace(asked, transform_fn=file), self._overwrite)


class ApplyGraph(beam.DoFn):  # type: ignore[misc]
    """Applies a graph; threads of a process share it.

    Args:
        location: Directory of the artifact that it is of.
        graph: What it takes and makes.
    """

    def __init__(self, location: str, graph: Graph):
        self._location = location
        self._graph = graph

    def setup(self) -> None:
        """Begins with no graph: it may not be there yet."""
        self._transform: TransformFn | None = None
        self._sha256 = ""
        self._memory = WithinMemory()

    def process(self, batch: Batch, sha256: str) -> Iterator[Batch]:
        """Yields the batch; rows that fail are among its failures.

        Args:
            batch: Rows as they are before the graph.
            sha256: Which artifact is expected.
        """
        if self._transform is None or self._sha256 != sha256:
            self._transform, self._sha256 = transform_fn.load(self._location, sha256, self._graph), sha256
        yield applied(batch, [partial(self._memory.run, self._transform)], is_last=True)


def _new_run(start: bytes) -> str:
    return uuid.uuid4().hex
