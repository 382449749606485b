# Licensed under the Apache License, Version 2.0; see LICENSE.
"""tfidf: weigh the words of texts by how rare they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.contract.problems import repeated
from expansion.errors import Problem, SystemicError
from expansion.hooks.demands import Demands, required_names
from expansion.operations.grams import TEXT, WORDS
from expansion.operations.positions import entry
from expansion.operations.results import demand_axes
from expansion.operations.statistic import Learned, Statistic
from expansion.operations.texts import words_by_row
from expansion.operations.vocabulary import Words, learned_vocabulary
from expansion.operations.word_index import WordIndex
from expansion.tensors.columns import Column, Columns, Ragged


@dataclass(frozen=True)
class Texts:
    """How many texts there are.

    Attributes:
        column: The column.
    """

    column: str

    def observe(self, column: Column) -> int:
        """Returns the number of rows."""
        return len(column)

    def merge(self, states: Sequence[int]) -> int:
        """Returns the number of all rows."""
        return sum(states)

    def result(self, state: int | None) -> dict[str, Any]:
        """Returns {"texts"}."""
        return {"texts": state or 0}


def check(config: operation_pb2.TfIdf) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    if config.vocabulary_size < 0:
        yield Problem("vocabulary_size", f"got {config.vocabulary_size}; expected 1 or more, or 0 for all words")
    names = [name for column in config.columns for name in _outputs(config, column)]
    twice = next((names[index] for index in sorted(repeated(names))), None)
    if twice is not None:
        yield Problem("weight_suffix", f"two results would be named {twice!r}; choose other suffixes")


def fields(config: operation_pb2.TfIdf, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields without the columns, and with two arrays for each."""
    demands = Demands(inputs)
    demand_axes(demands, config.columns, (0, 1), WORDS)
    demands.columns("columns", config.columns, TEXT)
    demands.settle()
    kept = {name: field for name, field in inputs.items() if name not in config.columns}
    for column in config.columns:
        index, weight = _outputs(config, column)
        kept |= {index: Field(index, "INT64", (-1,)), weight: Field(weight, "FP32", (-1,))}
    return kept


def statistics(config: operation_pb2.TfIdf, inputs: Mapping[str, Field]) -> dict[str, Statistic | Words]:
    """Returns the words of each column, and the number of its texts."""
    found: dict[str, Statistic | Words] = {}
    for name in config.columns:
        found[f"{name}.vocabulary"] = Words(
            name, config.vocabulary_size, delimiters=_delimiters(config), by_line=True, documents=True
        )
        found[f"{name}.texts"] = Texts(name)
    return found


def build(
    config: operation_pb2.TfIdf, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    weighers = {name: _Weigher.of(config, name, learned) for name in config.columns}

    def tfidf(columns: Columns) -> Columns:
        results: dict[str, Column] = {}
        for name, weigher in weighers.items():
            results.update(zip(_outputs(config, name), weigher.weighed(columns[name]), strict=True))
        return columns.select([name for name in columns if name not in weighers]).with_columns(results)

    return tfidf


def _outputs(config: operation_pb2.TfIdf, column: str) -> tuple[str, str]:
    return column + (config.index_suffix or "_vocab_index"), column + (config.weight_suffix or "_tfidf_weight")


def _delimiters(config: operation_pb2.TfIdf) -> str:
    return config.delimiters or " "


@dataclass(frozen=True)
class _Weigher:
    delimiters: str
    index: WordIndex
    rarity: npt.NDArray[np.float64]

    @staticmethod
    def of(config: operation_pb2.TfIdf, name: str, learned: Mapping[str, Learned]) -> _Weigher:
        words = learned_vocabulary(learned[f"{name}.vocabulary"])
        documents = words.documents if len(words.words) else np.zeros(0)
        if documents is None:
            raise SystemicError(f"the vocabulary learned of {name!r} does not say in how many texts each word is")
        texts = int(entry(learned[f"{name}.texts"], "texts"))
        one = 0 if config.no_smoothing else 1
        rarity = 1 + np.log((texts + one) / (documents + one))
        return _Weigher(_delimiters(config), WordIndex(words.words), rarity)

    def weighed(self, column: Column) -> tuple[Ragged, Ragged]:
        """Returns the indices of the words of each row that are in the vocabulary, ascending, and their weights."""
        words = words_by_row(column, self.delimiters)
        sizes = words.shapes[:, 0]
        found = self.index.find(words.array)
        row_of = np.repeat(np.arange(len(words)), sizes)[found >= 0]
        keys, counts = np.unique(row_of * len(self.index) + found[found >= 0], return_counts=True)
        rows, indices = np.divmod(keys, max(len(self.index), 1))
        weights = counts / sizes[rows] * self.rarity[indices]
        shapes = np.bincount(rows, minlength=len(words)).astype(np.int32)[:, None]
        return Ragged(indices, shapes), Ragged(weights.astype(np.float32), shapes)
