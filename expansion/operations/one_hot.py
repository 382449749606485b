# Licensed under the Apache License, Version 2.0; see LICENSE.
"""one_hot: turn categories into vectors of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import Demands, Kind
from expansion.hooks.hash import WORD
from expansion.operations.results import applied, check_names, demand_axes, result_fields
from expansion.operations.statistic import Learned
from expansion.operations.vocabulary import Words, learned_vocabulary
from expansion.operations.word_index import WordIndex
from expansion.tensors.columns import Column, Columns, Dense
from expansion.tensors.words import words_of

_CATEGORY = Kind(
    "STRING, BYTES, BOOL or an integer datatype", lambda datatype: datatype == "BOOL" or WORD.holds(datatype)
)


def check(config: operation_pb2.LearnedOneHot) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    if config.size < 1:
        yield Problem("size", f"got {config.size}; expected 1 or more")


def fields(config: operation_pb2.LearnedOneHot, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, FP32 vectors for the results."""
    demands = Demands(inputs)
    demand_axes(demands, config.columns, (0,), "one value a row")
    return result_fields(config, inputs, _CATEGORY, lambda field: Field(field.name, "FP32", (config.size,)), demands)


def statistics(config: operation_pb2.LearnedOneHot, inputs: Mapping[str, Field]) -> dict[str, Words]:
    """Returns the words of each column."""
    return {f"{name}.vocabulary": Words(name, config.size) for name in config.columns}


def build(
    config: operation_pb2.LearnedOneHot, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    indices = {name: WordIndex(learned_vocabulary(learned[f"{name}.vocabulary"]).words) for name in config.columns}

    def one_hot(name: str, column: Column) -> Dense:
        places = indices[name].find(words_of(column))
        known = np.flatnonzero(places >= 0)
        vectors = np.zeros((len(column), config.size), np.float32)
        vectors[known, places[known]] = 1
        return Dense(vectors)

    return lambda columns: applied(config, columns, one_hot)
