# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Learning from a whole data set: each bundle notes what it sees, and the notes are merged.

An operation that reads what another one makes, which learns itself, learns in a later phase: the data is gone through
again, with what is known by then.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import apache_beam as beam
from apache_beam.transforms.window import BoundedWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from expansion.operations.chain import Lesson
from expansion.operations.statistic import Counted, Statistic, WordCount
from expansion.operations.vocabulary import vocabulary
from expansion.tensors.columns import Columns
from expansion.tensors.nulls import without_nulls
from expansion.transforms import word_counts
from expansion.transforms.artifact import write_vocabulary
from expansion.transforms.batch import Batch
from expansion.transforms.isolation import isolate
from expansion.transforms.lessons import Known, Lessons, encode_file, encode_result
from expansion.transforms.memory import Received, WithinMemory, give_back, give_back_large_blocks

# What a bundle's notes may take before they are passed on.
MAX_NOTED_BYTES = 32 << 20
# Of a state, beyond its bytes when it is pickled.
_STATE_BYTES = 500
_MERGED_AT_ONCE = 32
_MAX_BUILT = 256

_BatchesOf: TypeAlias = Callable[[beam.PCollection, Any], beam.PCollection]


def learn(pcoll: beam.PCollection, batches_of: _BatchesOf, lessons: Lessons) -> list[beam.PCollection]:
    """Learns everything of a data set.

    Args:
        pcoll: The data.
        batches_of: Returns its Batches, as they are before the operations; also gets a side input to wait for, or None.
        lessons: What to learn.

    Returns:
        What each phase learns, pairs of the number of a lesson and what is known, in the windows of the Batches.
    """
    learned: list[beam.PCollection] = []
    for phase in range(lessons.phases):
        learned.append(pcoll | f"Learn{phase + 1}" >> _LearnPhase(batches_of, lessons, phase, tuple(learned)))
    return learned


def known_of(learned: Sequence[beam.PCollection]) -> Any:
    """Returns what phases have learned as a side input for steps that need it; None if it is nothing."""
    if not learned:
        return None
    return beam.pvalue.AsDict(learned | "Known" >> beam.Flatten() if len(learned) > 1 else learned[0])


class _LearnPhase(beam.PTransform):  # type: ignore[misc]
    """Learns what can be learned in one phase."""

    def __init__(
        self,
        batches_of: _BatchesOf,
        lessons: Lessons,
        phase: int,
        before: Sequence[beam.PCollection],
    ):
        super().__init__()
        self._batches_of = batches_of
        self._lessons = lessons
        self._phase = phase
        self._before = before

    def expand(self, pcoll: beam.PCollection) -> beam.PCollection:
        lessons, phase = self._lessons, self._phase
        known = known_of(self._before)
        observe = beam.ParDo(Observe(lessons, phase), known or {}).with_output_types(tuple[int, bytes])
        noted = self._batches_of(pcoll, known) | "Observe" >> observe
        merge = beam.ParDo(Merge(lessons)).with_output_types(tuple[int, bytes])
        merged = _grouped(noted, "Group") | "Merge" >> merge
        if not any(isinstance(lesson.how, WordCount) for lesson in lessons.all if lesson.phase == phase):
            return merged
        join = beam.ParDo(JoinShards(lessons)).with_output_types(tuple[int, bytes])
        return _grouped(merged, "GroupShards") | "JoinShards" >> join


def _grouped(pairs: beam.PCollection, label: str) -> beam.PCollection:
    grouped = pairs | label >> beam.GroupByKey()
    grouped._windowing = pairs.windowing
    return grouped


class Observe(beam.DoFn):  # type: ignore[misc]
    """Notes what one phase has to learn from each bundle.

    Rows that fail in an operation on the way are left out from there on.
    """

    def __init__(self, lessons: Lessons, phase: int):
        self._lessons = lessons
        self._phase = phase

    def setup(self) -> None:
        """Works out which steps are gone through, on the worker."""
        give_back_large_blocks()
        numbered = list(enumerate(self._lessons.all))
        of_phase = [(number, lesson) for number, lesson in numbered if lesson.phase == self._phase]
        last = max((lesson.step for _, lesson in of_phase), default=-1)
        self._steps = [
            (step, [(number, lesson) for number, lesson in of_phase if lesson.step == index])
            for index, step in enumerate(self._lessons.steps[: last + 1])
        ]
        self._operations = Operations(self._lessons)

    def start_bundle(self) -> None:
        """Begins with no notes."""
        self._notes = Notes(self._lessons)
        self._earliest: dict[BoundedWindow, Timestamp] = {}

    def process(
        self,
        batch: Batch,
        known: Known,
        window: BoundedWindow = beam.DoFn.WindowParam,
        timestamp: Timestamp = beam.DoFn.TimestampParam,
    ) -> Iterator[WindowedValue]:
        """Yields notes when there are too many to keep.

        Args:
            batch: Rows as they are before the operations.
            known: What earlier phases have learned.
            window: Where they are.
            timestamp: The earliest of theirs.
        """
        self._earliest[window] = min(timestamp, self._earliest.get(window, timestamp))
        columns = batch.features
        for index, (step, lessons) in enumerate(self._steps):
            for number, lesson in lessons:
                columns = self._observed(columns, number, lesson, window)
            if step.applies_from <= self._phase and columns.row_count:
                columns = isolate(self._operations.get(index, known, window), columns).columns
            if not columns.row_count:
                break
        if self._notes.nbytes > MAX_NOTED_BYTES:
            self._notes.merge()
            if self._notes.nbytes > MAX_NOTED_BYTES // 2:  # else there would soon be too many again
                yield from self._all_notes()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yields the notes."""
        yield from self._all_notes()
        give_back()

    def _observed(self, columns: Columns, number: int, lesson: Lesson, window: BoundedWindow) -> Columns:
        """Notes what a lesson sees; returns the rows that it can see."""

        def observe(part: Columns) -> Columns:
            column = without_nulls(part, lesson.how.column)
            if len(column):
                self._notes.add(window, number, lesson.how.observe(column))
            return part

        return isolate(observe, columns).columns if columns.row_count else columns

    def _all_notes(self) -> Iterator[WindowedValue]:
        for window, key, note in self._notes.take():
            # While notes wait for each other, the watermark waits at the rows that they are of. Were it at the end of
            # the window, Prism would think that nothing is to come in it, and not wait for what is learned.
            yield WindowedValue((key, note), self._earliest[window], (window,))


class Notes:
    """What a bundle has seen so far, by window and lesson.

    Attributes:
        nbytes: About how much memory it takes.
    """

    def __init__(self, lessons: Lessons):
        self._lessons = lessons
        self._states: dict[tuple[BoundedWindow, int], list[Any]] = {}
        self.nbytes = 0

    def add(self, window: BoundedWindow, number: int, state: Any) -> None:
        """Adds what a lesson has seen of a batch."""
        self._states.setdefault((window, number), []).append(state)
        self.nbytes += _size(state)

    def merge(self) -> None:
        """Makes one state of all those of a lesson."""
        for (_, number), states in self._states.items():
            states[:] = [_merged(self._lessons.all[number].how, states)]
        self.nbytes = sum(_size(state) for states in self._states.values() for state in states)

    def take(self) -> Iterator[tuple[BoundedWindow, int, bytes]]:
        """Yields all notes, each with its window and what it is grouped by, and begins anew."""
        self.merge()
        taken, self._states, self.nbytes = self._states, {}, 0
        for (window, number), [state] in taken.items():
            if isinstance(state, Counted):
                for shard, part in word_counts.sharded(state):
                    yield window, number * word_counts.SHARDS + shard, word_counts.encode(part)
            else:
                yield window, number * word_counts.SHARDS, pickle.dumps(state, pickle.HIGHEST_PROTOCOL)


class Merge(beam.DoFn):  # type: ignore[misc]
    """Merges the notes of all bundles: of a statistic into its result, of a vocabulary into what is kept of a shard."""

    def __init__(self, lessons: Lessons):
        self._lessons = lessons

    def setup(self) -> None:
        """Begins with nothing received."""
        give_back_large_blocks()
        self._received = Received()

    def process(self, noted: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yields what is learned, with the lesson's number."""
        key, notes = noted
        number = key // word_counts.SHARDS
        how = self._lessons.all[number].how
        if isinstance(how, WordCount):
            counted = _folded(how, map(self._decoded, notes))
            yield number, word_counts.encode(vocabulary(counted, how.top_k, how.frequency_threshold))
        else:
            states = _folded(how, map(pickle.loads, notes))
            yield number, encode_result(how.result(how.merge(states)))

    def _decoded(self, note: bytes) -> Counted:
        self._received.add(len(note))
        return word_counts.decode(note)

    def finish_bundle(self) -> None:
        """Gives back what notes took."""
        give_back()


class JoinShards(beam.DoFn):  # type: ignore[misc]
    """Makes a vocabulary of what is kept of its shards; writes it, where there is a directory for it."""

    def __init__(self, lessons: Lessons):
        self._lessons = lessons

    def process(self, learned: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yields what is learned, with the lesson's number."""
        give_back()  # what the message took on its way here
        number, parts = learned
        how = self._lessons.all[number].how
        if not isinstance(how, WordCount):
            yield from ((number, part) for part in parts)
            return
        kept = word_counts.joined(map(word_counts.decode, parts), how.top_k)
        if self._lessons.location:
            yield number, encode_file(write_vocabulary(self._lessons.location, kept))
        else:
            yield number, word_counts.encode(*kept)

    def finish_bundle(self) -> None:
        """Gives back what words took."""
        give_back()


class Operations:
    """The operations of a chain that have learned, built once for each window."""

    def __init__(self, lessons: Lessons):
        self._lessons = lessons
        self._built: dict[tuple[int, BoundedWindow | None], Callable[[Columns], Columns]] = {}

    def get(self, step: int, known: Known, window: BoundedWindow) -> Callable[[Columns], Columns]:
        """Returns one.

        Args:
            step: Its place.
            known: What is known in the window.
            window: The window.
        """
        key = step, window if self._lessons.steps[step].statistics else None
        if key not in self._built:
            if len(self._built) >= _MAX_BUILT:  # windows come and go
                self._built.clear()
            self._built[key] = partial(WithinMemory().run, self._lessons.built(step, known))
        return self._built[key]


def _merged(how: Statistic | WordCount, states: Sequence[Any]) -> Any:
    return word_counts.merged(states) if isinstance(how, WordCount) else how.merge(states)


def _folded(how: Statistic | WordCount, states: Iterable[Any]) -> list[Any]:
    """Returns states, merged as far as it takes for them to be few: there may be more than fit in memory."""
    waiting: list[Any] = []
    for state in states:
        if len(waiting) >= _MERGED_AT_ONCE:
            waiting = [_merged(how, waiting)]
        waiting.append(state)
    return waiting


def _size(state: Any) -> int:
    if isinstance(state, Counted):
        numbers = state.counts.nbytes * (1 if state.documents is None else 2)
        return int(state.words.nbytes + numbers) + _STATE_BYTES
    return len(pickle.dumps(state, pickle.HIGHEST_PROTOCOL)) + _STATE_BYTES
