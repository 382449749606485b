# Licensed under the Apache License, Version 2.0; see LICENSE.
"""embed: turn texts into vectors, with a model. What is of columns is here; transforms/embedding.py runs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem, SystemicError
from expansion.hooks.demands import STRING, Demands
from expansion.operations.results import check_names, demand_axes, result_fields
from expansion.operations.statistic import Learned, Statistic
from expansion.tensors.columns import Columns


def check(config: operation_pb2.Embed) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself, apart from its model and hooks."""
    yield from check_names(config)
    for name in ("size", "max_batch_size"):
        value = getattr(config, name)
        if value < 0:
            yield Problem(name, f"got {value}; expected a positive number, or none for the default")
    if config.model.refresh_interval_secs:
        reason = "is set, and vectors of two versions of a model can't be compared"
        yield Problem("model.refresh_interval_secs", f"{reason}; leave it out")


def fields(config: operation_pb2.Embed, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, FP32[size] for the results; what ``size`` does not say may be any size."""
    demands = Demands(inputs)
    demand_axes(demands, config.columns, [0], "one text a row")
    return result_fields(config, inputs, STRING, lambda _: Field("", "FP32", (config.size or -1,)), demands)


def statistics(config: operation_pb2.Embed, inputs: Mapping[str, Field]) -> dict[str, Statistic]:
    """Returns nothing."""
    return {}


def build(
    config: operation_pb2.Embed, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns an operation that refuses: a model is a step of the graph, where it is shared, and no function."""

    def refuse(columns: Columns) -> Columns:
        raise SystemicError("embed runs a model, which is a step of MLTransform; this is none")

    return refuse
