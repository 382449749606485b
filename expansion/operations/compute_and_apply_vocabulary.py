# Licensed under the Apache License, Version 2.0; see LICENSE.
"""compute_and_apply_vocabulary: turn texts into their index in the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import Demands, with_elements
from expansion.hooks.hash import WORD, bucket_of
from expansion.operations.grams import TEXT
from expansion.operations.results import applied, check_names, demand_axes, result_fields
from expansion.operations.statistic import Learned
from expansion.operations.texts import words_by_row
from expansion.operations.vocabulary import Words, learned_vocabulary
from expansion.operations.word_index import WordIndex
from expansion.tensors.columns import Column, Columns
from expansion.tensors.words import words_of


def check(config: operation_pb2.ComputeAndApplyVocabulary) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    for name in ("top_k", "frequency_threshold", "oov_buckets"):
        if getattr(config, name) < 0:
            yield Problem(name, f"got {getattr(config, name)}; expected 0 or more")
    if config.oov_buckets and config.HasField("default_value"):
        yield Problem("default_value", "oov_buckets is set too; set one of them")


def fields(config: operation_pb2.ComputeAndApplyVocabulary, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, INT64 ones of the same shapes for the results, or arrays of texts that are split."""
    demands = Demands(inputs)
    if not config.delimiters:
        return result_fields(config, inputs, WORD, lambda field: Field(field.name, "INT64", field.shape))
    demand_axes(demands, config.columns, (0,), "one text a row, where there are delimiters")
    return result_fields(config, inputs, TEXT, lambda field: Field(field.name, "INT64", (-1,)), demands)


def statistics(config: operation_pb2.ComputeAndApplyVocabulary, inputs: Mapping[str, Field]) -> dict[str, Words]:
    """Returns the words of each column."""
    return {
        f"{name}.vocabulary": Words(name, config.top_k, config.frequency_threshold, config.delimiters, by_line=True)
        for name in config.columns
    }


def build(
    config: operation_pb2.ComputeAndApplyVocabulary, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: The package that hashes words outside the list is missing.
    """
    indices = {name: WordIndex(learned_vocabulary(learned[f"{name}.vocabulary"]).words) for name in config.columns}
    otherwise = config.default_value if config.HasField("default_value") else -1
    buckets = bucket_of(config.oov_buckets) if config.oov_buckets else None

    def indexed(name: str, words: pa.Array) -> npt.NDArray[np.int64]:
        found = indices[name].find(words)
        unknown = np.flatnonzero(found < 0)
        if buckets:
            found[unknown] = len(indices[name]) + buckets(words.take(pa.array(unknown)))
        else:
            found[unknown] = otherwise
        return found

    def applied_vocabulary(name: str, column: Column) -> Column:
        texts = words_by_row(column, config.delimiters) if config.delimiters else column
        return with_elements(texts, indexed(name, words_of(texts)))

    return lambda columns: applied(config, columns, applied_vocabulary)
