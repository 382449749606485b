# Licensed under the Apache License, Version 2.0; see LICENSE.
"""apply_buckets: turn numbers into the index of their interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.bucketize import check_boundaries, intervals
from expansion.hooks.demands import NUMERIC, elementwise
from expansion.operations.results import applied, check_names, result_fields
from expansion.operations.statistic import Learned, Statistic
from expansion.tensors.columns import Columns, Dense, Ragged


def check(config: operation_pb2.ApplyBuckets) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    yield from check_boundaries(config.boundaries)


def fields(config: operation_pb2.ApplyBuckets, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, INT64 ones of the same shapes for the results."""
    return result_fields(config, inputs, NUMERIC, lambda field: Field(field.name, "INT64", field.shape))


def statistics(config: operation_pb2.ApplyBuckets, inputs: Mapping[str, Field]) -> dict[str, Statistic]:
    """Returns nothing."""
    return {}


def build(
    config: operation_pb2.ApplyBuckets, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation. NaN lies in the last interval, as in tensorflow-transform."""
    boundaries = list(config.boundaries)

    def bucketized(_: str, column: Dense | Ragged) -> Dense | Ragged:
        return elementwise(column, lambda values: intervals(boundaries, values))

    return lambda columns: applied(config, columns, bucketized)
