# Licensed under the Apache License, Version 2.0; see LICENSE.
"""concat: join columns into one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import NUMPY_DTYPES, Field, datatype_of
from expansion.errors import BadRows, Problem
from expansion.hooks.demands import NUMERIC, Demands, dense, required
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Columns, Dense


def check(config: hook_pb2.Concat) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself. A column may be joined with itself."""
    if not config.columns:
        yield Problem("columns", "missing; expected the names of one or more columns")
    for index, name in enumerate(config.columns):
        yield from required(f"columns[{index}]", name)
    yield from required("output", config.output)
    if config.axis < 0:
        yield Problem("axis", f"got {config.axis}; expected 0 or more")


def fields(config: hook_pb2.Concat, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with one for the result."""
    demands = Demands(inputs)
    joined = demands.columns("columns", config.columns, NUMERIC)
    demands.settle()
    shapes = [field.shape or (1,) for field in joined]
    rank = len(shapes[0])
    demands.that(
        config.axis < rank, "axis", f"got {config.axis}; expected less than {rank}, the number of axes of a row"
    )
    demands.settle()
    for index, field in enumerate(joined):
        demands.that(
            len(shapes[index]) == rank and fits(_without(shapes[index], config.axis), _without(shapes[0], config.axis)),
            f"columns[{index}]",
            f"column {field.name!r} is {field}, which does not join {joined[0].name!r}, {joined[0]}, along axis "
            f"{config.axis}; expected the same sizes along every other axis",
        )
    demands.settle()
    sizes = [shape[config.axis] for shape in shapes]
    size = -1 if -1 in sizes else sum(sizes)
    shape = (*shapes[0][: config.axis], size, *shapes[0][config.axis + 1 :])
    datatype = datatype_of(np.result_type(*(NUMPY_DTYPES[field.datatype] for field in joined)))
    return {**inputs, config.output: Field(config.output, datatype, shape)}


def build(config: hook_pb2.Concat) -> Callable[[Columns], Columns]:
    """Returns the operation."""

    def concat(columns: Columns) -> Columns:
        arrays = [dense(columns, name).values for name in config.columns]
        vectors = [array[:, None] if array.ndim == 1 else array for array in arrays]
        try:
            return columns.with_column(config.output, Dense(np.concatenate(vectors, axis=config.axis + 1)))
        except ValueError:  # all rows have these shapes
            shapes = ", ".join(str(list(vector.shape[1:])) for vector in vectors)
            reason = f"shapes {shapes} do not join along axis {config.axis}"
            raise BadRows(dict.fromkeys(range(columns.row_count), reason)) from None

    return concat


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
