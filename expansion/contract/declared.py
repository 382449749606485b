# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Fields that a configuration declares, of columns that say nothing of themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from expansion.contract._gen import tensor_pb2
from expansion.contract.fields import DATATYPES
from expansion.contract.problems import at, did_you_mean, repeated
from expansion.errors import Problem


def check_fields(path: str, fields: Sequence[tensor_pb2.Field], what: str) -> Iterator[Problem]:
    """Yields what is wrong with a list of fields that must not be empty.

    Args:
        path: The list's field path.
        fields: The list.
        what: What the fields are, for the message: "what the model takes".
    """
    if not fields:
        yield Problem(path, f"missing; expected {what}, such as [{{name: x, datatype: FP32, shape: [4]}}]")
    twice = repeated(field.name for field in fields)
    for index, field in enumerate(fields):
        here = f"{path}[{index}]"
        if not field.name:
            yield Problem(f"{here}.name", "is not set; every entry needs one")
        elif index in twice:
            yield Problem(f"{here}.name", f"{field.name!r} is there twice; each may be there once")
        yield from at(here, check_type(field.datatype, field.shape))


def check_type(datatype: str, shape: Sequence[int]) -> Iterator[Problem]:
    """Yields what is wrong with a datatype and the shape of a row."""
    if datatype not in DATATYPES:
        yield Problem("datatype", f"got {datatype!r}; {did_you_mean(datatype, DATATYPES)}")
    if any(size < -1 for size in shape):
        yield Problem("shape", f"got {list(shape)}; expected sizes, or -1 for one that varies")
