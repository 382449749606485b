# Licensed under the Apache License, Version 2.0; see LICENSE.
"""bucketize: turn numbers into the index of their quantile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem, SystemicError
from expansion.hooks.bucketize import intervals
from expansion.hooks.demands import elementwise
from expansion.operations.distribution import Quantiles
from expansion.operations.positions import Positions, entry
from expansion.operations.results import applied, check_names, elementwise_fields, positions_of
from expansion.operations.statistic import Learned
from expansion.tensors.columns import Columns, Dense, Ragged


def check(config: operation_pb2.BucketizeByQuantiles) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    if config.buckets < 2:
        yield Problem("buckets", f"got {config.buckets}; expected 2 or more")


def fields(config: operation_pb2.BucketizeByQuantiles, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, INT64 ones of the same shapes for the results."""
    return elementwise_fields(config, inputs, lambda field: Field(field.name, "INT64", field.shape))


def statistics(config: operation_pb2.BucketizeByQuantiles, inputs: Mapping[str, Field]) -> dict[str, Quantiles]:
    """Returns the quantiles of each column."""
    return {
        f"{name}.quantiles": Quantiles(name, positions_of(config, inputs[name]), buckets=config.buckets)
        for name in config.columns
    }


def build(
    config: operation_pb2.BucketizeByQuantiles, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation. NaN lies in the last interval, as in tensorflow-transform; of no data there is one."""
    boundaries = {
        name: _boundaries(learned[f"{name}.quantiles"], positions_of(config, inputs[name])) for name in config.columns
    }

    def bucketized(name: str, column: Dense | Ragged) -> Dense | Ragged:
        return elementwise(column, lambda values: _by_position(boundaries[name], values))

    return lambda columns: applied(config, columns, bucketized)


def _boundaries(learned: Learned, positions: Positions) -> list[list[float]]:
    """Returns the boundaries of each position."""
    found = [entry(learned, "boundaries")]
    for size in positions or ():
        if not all(isinstance(inner, list) and len(inner) == size for inner in found):
            raise SystemicError(f"the boundaries learned are of another shape than {list(positions or ())}")
        found = [item for inner in found for item in inner]
    if not all(isinstance(numbers, list) and all(isinstance(n, (int, float)) for n in numbers) for numbers in found):
        raise SystemicError(f"the boundaries learned are {found!r}; expected lists of numbers")
    return found


def _by_position(boundaries: list[list[float]], values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if len(boundaries) == 1:
        return intervals(boundaries[0], values)
    flat = values.reshape(len(values), -1)
    columns = [intervals(numbers, flat[:, position]) for position, numbers in enumerate(boundaries)]
    return np.stack(columns, axis=1).reshape(values.shape)
