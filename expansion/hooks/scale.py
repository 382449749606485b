# Licensed under the Apache License, Version 2.0; see LICENSE.
"""scale: multiply and add, or map a range onto another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks.demands import (
    FLOATING_DATATYPES,
    NUMERIC,
    Demands,
    computed,
    datatype_among,
    finite,
    floating_datatype,
    in_place,
    required_names,
)
from expansion.tensors.columns import Columns, Dense, Ragged

_Method = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
_PARAMETERS = {"affine": ("factor", "offset"), "min_max": ("min", "max", "output_min", "output_max")}

TAKES_RAGGED = True


def check(config: hook_pb2.Scale) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    if config.datatype:
        yield from datatype_among("datatype", config.datatype, FLOATING_DATATYPES)
    method = config.WhichOneof("method")
    if method is None:
        yield Problem("", "neither affine nor min_max is set; set one of them")
        return
    parameters = getattr(config, method)
    for name in _PARAMETERS[method]:
        if parameters.HasField(name):
            yield from finite(f"{method}.{name}", getattr(parameters, name))
    if method == "min_max":
        if not parameters.HasField("max"):
            yield Problem("min_max.max", "missing; expected the upper end of the input range, such as 255")
        elif parameters.max <= parameters.min:
            yield Problem("min_max.max", f"got {parameters.max}; expected more than min, {parameters.min}")


def fields(config: hook_pb2.Scale, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, those of the scaled columns with a floating datatype."""
    demands = Demands(inputs)
    scaled = demands.columns("columns", config.columns, NUMERIC)
    demands.settle()
    return {
        **inputs,
        **{
            field.name: Field(field.name, floating_datatype(config.datatype, field.datatype), field.shape)
            for field in scaled
        },
    }


def build(config: hook_pb2.Scale) -> Callable[[Columns], Columns]:
    """Returns the operation."""
    method = _affine(config.affine) if config.WhichOneof("method") == "affine" else _min_max(config.min_max)

    def scaled(_: str, column: Dense | Ragged) -> Dense | Ragged:
        return computed(column, floating_datatype(config.datatype, column.datatype), method)

    def scale(columns: Columns) -> Columns:
        return in_place(columns, config.columns, scaled)

    return scale


# Both work in place, on the copy that the conversion made.


def _affine(parameters: hook_pb2.Affine) -> _Method:
    factor = parameters.factor if parameters.HasField("factor") else 1.0

    def affine(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values *= factor
        values += parameters.offset
        return values

    return affine


def _min_max(parameters: hook_pb2.MinMax) -> _Method:
    output_max = parameters.output_max if parameters.HasField("output_max") else 1.0

    def min_max(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values -= parameters.min
        values /= parameters.max - parameters.min
        values *= output_max - parameters.output_min
        values += parameters.output_min
        return values

    return min_max
