# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a chain of operations learns: each lesson by a number, and how what is learned goes from step to step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.config import to_mapping
from expansion.contract.fields import Fields
from expansion.errors import SystemicError
from expansion.operations.artifact import read_vocabulary
from expansion.operations.chain import Lesson, Step, lessons_of, steps_of
from expansion.operations.manifest import LearnedByOne, VocabularyFile
from expansion.operations.statistic import Learned, Statistic, Vocabulary, WordCount
from expansion.tensors.columns import Columns
from expansion.transforms import word_counts

# What is learned, by the number of its lesson: of a vocabulary where it is, or what ``word_counts`` writes; of all else
# JSON. What is learned of no rows is not there.
Known = Mapping[int, bytes]


@dataclass(frozen=True)
class Lessons:
    """A chain, and what it learns.

    Attributes:
        operations: The operations, serialized.
        before: The fields of the columns before the first.
        location: The directory where vocabularies are written; empty if they are kept in memory.
    """

    operations: tuple[bytes, ...]
    before: Fields
    location: str

    @classmethod
    def of(cls, operations: Iterable[Operation], before: Fields, location: str) -> Lessons:
        """Makes lessons of messages."""
        return cls(tuple(each.SerializeToString(deterministic=True) for each in operations), dict(before), location)

    def __getstate__(self) -> dict[str, Any]:
        return {"operations": self.operations, "before": self.before, "location": self.location}

    @cached_property
    def messages(self) -> list[Operation]:
        """The operations."""
        return [Operation.FromString(operation) for operation in self.operations]

    @cached_property
    def steps(self) -> list[Step]:
        """What each operation works on."""
        return steps_of(self.messages, self.before)

    @cached_property
    def all(self) -> list[Lesson]:
        """Everything that is learned; a lesson's number is its place here."""
        return lessons_of(self.steps)

    @property
    def phases(self) -> int:
        """How often the data has to be gone through to learn everything."""
        return 1 + max((lesson.phase for lesson in self.all), default=-1)

    def built(self, step: int, known: Known) -> Callable[[Columns], Columns]:
        """Returns an operation that has learned.

        Raises:
            SystemicError: A vocabulary can't be read, or does not suit the operation.
        """
        learned = {
            lesson.name: self._learned(number, known) for number, lesson in enumerate(self.all) if lesson.step == step
        }
        return self.steps[step].build(learned)

    def written(
        self, known: Known, write_vocabulary: Callable[[Sequence[Vocabulary]], VocabularyFile]
    ) -> list[LearnedByOne]:
        """Returns what the operations are and have learned, as a manifest says it.

        Args:
            known: All that is known.
            write_vocabulary: Called with the parts of a vocabulary, of no words, where there were no rows.
        """
        operations = [to_mapping(message) for message in self.messages]
        learned: list[dict[str, Any]] = [{} for _ in operations]
        vocabularies: list[dict[str, VocabularyFile]] = [{} for _ in operations]
        for number, lesson in enumerate(self.all):
            if isinstance(lesson.how, WordCount):
                file = _file(known[number]) if number in known else write_vocabulary([_NO_WORDS])
                vocabularies[lesson.step][lesson.name] = file
            else:
                learned[lesson.step][lesson.name] = _result(lesson.how, known.get(number))
        return [LearnedByOne(*each) for each in zip(operations, learned, vocabularies, strict=True)]

    def _learned(self, number: int, known: Known) -> Learned:
        how, data = self.all[number].how, known.get(number)
        if not isinstance(how, WordCount):
            return _result(how, data)
        if data is None:
            return _NO_WORDS
        if self.location:
            return read_vocabulary(self.location, _file(data))
        return Vocabulary(*word_counts.decode(data))


_NO_WORDS = Vocabulary(pa.array([], pa.binary()), np.empty(0, np.int64), np.empty(0, np.int64))


def encode_result(result: Mapping[str, Any]) -> bytes:
    """Returns what a statistic's result is among what is known.

    Raises:
        SystemicError: It is not of JSON values.
    """
    try:
        return json.dumps(result, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise SystemicError(f"a statistic's result can't be written: {error}") from error


def encode_file(file: VocabularyFile) -> bytes:
    """Returns what a vocabulary that is written is among what is known."""
    return json.dumps(asdict(file)).encode()


def _file(data: bytes) -> VocabularyFile:
    return VocabularyFile(**json.loads(data))


def _result(how: Statistic, data: bytes | None) -> Mapping[str, Any]:
    result: Mapping[str, Any] = how.result(None) if data is None else json.loads(data)
    return result
