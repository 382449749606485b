# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Runs of words in rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import VARIABLE_LENGTH, Field
from expansion.errors import Problem
from expansion.hooks.demands import Demands, Kind
from expansion.operations.results import OfColumns, check_names, demand_axes, result_fields
from expansion.operations.texts import words_by_row
from expansion.tensors.columns import Column, RaggedBlobs

TEXT = Kind("STRING or BYTES", lambda datatype: datatype in VARIABLE_LENGTH)
WORDS = "one text a row, or arrays of words with one axis"


def check_grams(config: operation_pb2.NGrams | operation_pb2.BagOfWords) -> Iterator[Problem]:
    """Yields what is wrong with a message that says which n-grams."""
    yield from check_names(config)
    if config.min_n < 0:
        yield Problem("min_n", f"got {config.min_n}; expected 1 or more, or 0 for the default")
    smallest, largest = _sizes(config)
    if config.max_n and largest < smallest:
        yield Problem("max_n", f"got {largest}; expected min_n, {smallest}, or more")


def fields_of_grams(config: OfColumns, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields after an operation that makes an array of texts of each text.

    Raises:
        ConfigError: A column has neither texts nor arrays of words with one axis.
    """
    demands = Demands(inputs)
    demand_axes(demands, config.columns, (0, 1), WORDS)
    return result_fields(config, inputs, TEXT, lambda field: Field(field.name, field.datatype, (-1,)), demands)


def grams(config: operation_pb2.NGrams | operation_pb2.BagOfWords, column: Column) -> RaggedBlobs:
    """Returns the n-grams of each row of texts.

    They are in the order of their first words, and of the same first word the shorter before the longer.
    """
    words = words_by_row(column, config.delimiters or " ")
    separator = pa.scalar((config.separator if config.HasField("separator") else " ").encode(), words.array.type)
    row_of = np.repeat(np.arange(len(words)), words.shapes[:, 0])
    left_in_row = words.offsets[1:][row_of] - np.arange(len(row_of))
    firsts, texts = [], []
    smallest, largest = _sizes(config)
    most_words = max(smallest, int(words.shapes.max(initial=0)))
    for size in range(smallest, min(largest, most_words) + 1):
        first = np.flatnonzero(left_in_row >= size)
        runs = [words.array.take(pa.array(first + place)) for place in range(size)]
        firsts.append(first)
        texts.append(pc.binary_join_element_wise(*runs, separator))
    first = np.concatenate(firsts)
    array = pa.concat_arrays(texts).take(pa.array(np.argsort(first, kind="stable")))
    counts = np.bincount(row_of[first], minlength=len(words))
    return RaggedBlobs(words.datatype, array, counts.astype(np.int32)[:, None])


def _sizes(config: operation_pb2.NGrams | operation_pb2.BagOfWords) -> tuple[int, int]:
    smallest = config.min_n or 1
    return smallest, config.max_n or smallest
