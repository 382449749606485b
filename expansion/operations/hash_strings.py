# Licensed under the Apache License, Version 2.0; see LICENSE.
"""hash_strings: turn texts into one of so many buckets, by their hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import with_elements
from expansion.hooks.hash import WORD, bucket_of
from expansion.operations.results import applied, check_names, result_fields
from expansion.operations.statistic import Learned, Statistic
from expansion.tensors.columns import Column, Columns
from expansion.tensors.words import words_of


def check(config: operation_pb2.HashStrings) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    if config.buckets < 1:
        yield Problem("buckets", f"got {config.buckets}; expected 1 or more")


def fields(config: operation_pb2.HashStrings, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, INT64 ones of the same shapes for the results."""
    return result_fields(config, inputs, WORD, lambda field: Field(field.name, "INT64", field.shape))


def statistics(config: operation_pb2.HashStrings, inputs: Mapping[str, Field]) -> dict[str, Statistic]:
    """Returns nothing."""
    return {}


def build(
    config: operation_pb2.HashStrings, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: The package that hashes is missing.
    """
    buckets = bucket_of(config.buckets)

    def hashed(_: str, column: Column) -> Column:
        return with_elements(column, buckets(words_of(column)))

    return lambda columns: applied(config, columns, hashed)
