# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What operations learn of a data set: statistics of column batches that merge in any order and any partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.tensors.columns import Column


class Statistic(Protocol):
    """A statistic whose state is small: it is merged in one place.

    States can be pickled. Merging is exact, so that the result is the same for any order and partition of the rows.
    """

    @property
    def column(self) -> str:
        """The column that it is of."""

    def observe(self, column: Column) -> Any:
        """Returns the state of one batch; at least one row, and none that is null."""

    def merge(self, states: Sequence[Any]) -> Any:
        """Returns the state of all rows of several states; at least one."""

    def result(self, state: Any | None) -> dict[str, Any]:
        """Returns what is learned, as JSON values; of None, what is learned of no rows."""


class Counted(NamedTuple):
    """Distinct words and how often each was there.

    Attributes:
        words: Binary array [words].
        counts: int64 array [words].
        documents: int64 array [words], in how many rows each was; None where nothing needs it.
    """

    words: pa.Array
    counts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64] | None = None


@runtime_checkable
class WordCount(Protocol):
    """How often each word is in a column: there may be too many for one place, so they are counted by word."""

    @property
    def column(self) -> str:
        """The column that it is of."""

    @property
    def top_k(self) -> int:
        """Words to keep, at most; 0 is all."""

    @property
    def frequency_threshold(self) -> int:
        """How often a word must be there to be kept."""

    def observe(self, column: Column) -> Counted:
        """Returns the distinct words of one batch, in any order; at least one row, and none that is null."""


@dataclass(frozen=True)
class Vocabulary:
    """What is learned of a WordCount: the words that are kept, the most frequent first; of equals the greater first.

    Attributes:
        words: Binary array [words]; with 64-bit offsets where there were more than 2 GiB of words.
        counts: int64 array [words].
        documents: int64 array [words], in how many rows each was; None where nothing needs it.
    """

    words: pa.Array
    counts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64] | None = None


Learned: TypeAlias = Mapping[str, Any] | Vocabulary
