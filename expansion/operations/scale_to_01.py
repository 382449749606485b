# Licensed under the Apache License, Version 2.0; see LICENSE.
"""scale_to_01: scale onto [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.operations import scale_by_min_max
from expansion.operations.ranges import Range
from expansion.operations.statistic import Learned
from expansion.tensors.columns import Columns


def check(config: operation_pb2.ScaleTo01) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    return scale_by_min_max.check(_general(config))


def fields(config: operation_pb2.ScaleTo01, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, FP32 or FP64 ones of the same shapes for the results."""
    return scale_by_min_max.fields(_general(config), inputs)


def statistics(config: operation_pb2.ScaleTo01, inputs: Mapping[str, Field]) -> dict[str, Range]:
    """Returns the range of each column."""
    return scale_by_min_max.statistics(_general(config), inputs)


def build(
    config: operation_pb2.ScaleTo01, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    return scale_by_min_max.build(_general(config), inputs, learned)


def _general(config: operation_pb2.ScaleTo01) -> operation_pb2.ScaleByMinMax:
    return operation_pb2.ScaleByMinMax(columns=config.columns, outputs=config.outputs, elementwise=config.elementwise)
