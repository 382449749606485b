# Licensed under the Apache License, Version 2.0; see LICENSE.
"""bag_of_words: turn texts into the words that are in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.operations.deduplicate import deduplicated
from expansion.operations.grams import check_grams, fields_of_grams, grams
from expansion.operations.results import applied
from expansion.operations.statistic import Learned, Statistic
from expansion.tensors.columns import Columns


def check(config: operation_pb2.BagOfWords) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    return check_grams(config)


def fields(config: operation_pb2.BagOfWords, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, arrays of texts for the results."""
    return fields_of_grams(config, inputs)


def statistics(config: operation_pb2.BagOfWords, inputs: Mapping[str, Field]) -> dict[str, Statistic]:
    """Returns nothing."""
    return {}


def build(
    config: operation_pb2.BagOfWords, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    return lambda columns: applied(config, columns, lambda _, column: deduplicated(grams(config, column)))
