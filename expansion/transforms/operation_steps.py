# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The steps of MLTransform that write what was learned, and that apply it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import apache_beam as beam
from apache_beam.transforms.window import BoundedWindow

from expansion.operations import artifact
from expansion.operations.artifact import Loaded
from expansion.operations.chain import columns_around
from expansion.operations.manifest import Manifest
from expansion.tensors.columns import Columns
from expansion.transforms import metrics
from expansion.transforms.artifact import write_manifest, write_vocabulary
from expansion.transforms.batch import Batch
from expansion.transforms.learning import Operations
from expansion.transforms.lessons import Known, Lessons
from expansion.transforms.memory import WithinMemory, give_back
from expansion.transforms.ml_transform_stages import Stage


class WriteArtifact(beam.DoFn):  # type: ignore[misc]
    """Writes the artifact, once everything is learned.

    Args:
        lessons: What was to be learned, by stage.
        overwrite: Whether to write over another artifact.
    """

    def __init__(self, lessons: Sequence[Lessons], overwrite: bool):
        self._lessons = tuple(lessons)
        self._overwrite = overwrite

    def process(self, start: bytes, *known: Known) -> Iterator[str]:
        """Yields the SHA-256 of the manifest.

        Args:
            start: Anything.
            known: What is known of each stage.
        """
        give_back()  # what bundles before still had when they finished
        messages = [message for lessons in self._lessons for message in lessons.messages]
        before, after = columns_around(messages, self._lessons[0].before)
        written = [
            each
            for lessons, of_stage in zip(self._lessons, known, strict=True)
            for each in lessons.written(of_stage, partial(write_vocabulary, lessons.location))
        ]
        manifest = Manifest(tuple(before.values()), tuple(written), tuple(after.values()))
        location = self._lessons[0].location
        sha256 = write_manifest(location, manifest, self._overwrite)
        # Nobody is told of an artifact that can't be read; and a worker that goes on with it has it already.
        self._loaded = artifact.load(location, sha256)
        give_back()
        yield sha256


class ApplyArtifact(beam.DoFn):  # type: ignore[misc]
    """Applies a stage's part of an artifact, which is as large as a model may be: threads of a process share it."""

    def __init__(self, location: str, stage: Stage):
        self._location = location
        self._part = slice(stage.first, stage.first + stage.count)
        self._is_last = stage.embedding is None

    def setup(self) -> None:
        """Begins with no artifact: it may not be there yet."""
        self._loaded: Loaded | None = None
        self._sha256 = ""
        self._memory = WithinMemory()

    def process(self, batch: Batch, sha256: str) -> Iterator[Batch]:
        """Yields the batch; rows that fail are among its failures.

        Args:
            batch: Rows as they are before the operations.
            sha256: Which artifact is expected.
        """
        if self._loaded is None or self._sha256 != sha256:
            self._loaded, self._sha256 = artifact.load(self._location, sha256), sha256
            give_back()
        part = self._loaded.operations[self._part]
        yield applied(batch, (partial(self._memory.run, each) for each in part), self._is_last)


class ApplyOperations(beam.DoFn):  # type: ignore[misc]
    """Applies a stage's operations, which have learned nothing, or from the rows of the window."""

    def __init__(self, stage: Stage):
        self._lessons = stage.lessons
        self._count = stage.count
        self._is_last = stage.embedding is None

    def setup(self) -> None:
        """Begins with no operations."""
        self._operations = Operations(self._lessons)

    def process(self, batch: Batch, known: Known, window: BoundedWindow = beam.DoFn.WindowParam) -> Iterator[Batch]:
        """Yields the batch; rows that fail are among its failures.

        Args:
            batch: Rows as they are before the operations.
            known: What was learned in the window.
            window: The window.
        """
        operations = (self._operations.get(step, known, window) for step in range(self._count))
        yield applied(batch, operations, self._is_last)


def applied(batch: Batch, operations: Iterable[Callable[[Columns], Columns]], is_last: bool) -> Batch:
    """Returns the batch after some operations; rows that fail are among its failures.

    Args:
        batch: Rows.
        operations: The operations, in order.
        is_last: Whether no others come after them.
    """
    with metrics.timed("transform"):
        for operation in operations:
            batch = batch.applied("transform", operation)
    return batch.transformed() if is_last else batch
