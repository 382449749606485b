# Licensed under the Apache License, Version 2.0; see LICENSE.
"""cast: convert to another datatype."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import DATATYPES, NUMPY_DTYPES, Field, is_integer, is_numeric
from expansion.contract.problems import shown
from expansion.errors import Problem
from expansion.hooks.demands import (
    Demands,
    datatype_among,
    elementwise,
    in_place,
    reject,
    required_names,
    with_elements,
)
from expansion.tensors.columns import Blobs, Column, Columns, Dense, Ragged, RaggedBlobs

# What a string must look like, spaces around it aside, to be a number.
_INTEGER = r"^[+-]?[0-9]{1,37}$"
_FLOATING = r"^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|(?i:inf|infinity|nan))$"
_BOOL = r"^(?i:true|false|1|0)$"
_DECIMAL = pa.decimal128(38, 0)  # holds every 37-digit integer

TAKES_RAGGED = True


def check(config: hook_pb2.Cast) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    if config.datatype:
        yield from datatype_among("datatype", config.datatype, DATATYPES)
    else:
        yield Problem("datatype", "missing; expected a datatype, such as FP32")


def fields(config: hook_pb2.Cast, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, those of the converted columns with the new datatype."""
    demands = Demands(inputs)
    converted = demands.columns("columns", config.columns)
    for index, field in enumerate(converted):
        demands.that(
            field.name not in inputs or _converts(field.datatype, config.datatype),
            f"columns[{index}]",
            f"column {field.name!r} is {field}, which does not convert to {config.datatype}; expected a number, or a "
            "STRING to convert to a number",
        )
    demands.settle()
    return {**inputs, **{field.name: Field(field.name, config.datatype, field.shape) for field in converted}}


def build(config: hook_pb2.Cast) -> Callable[[Columns], Columns]:
    """Returns the operation."""

    def cast(columns: Columns) -> Columns:
        return in_place(columns, config.columns, lambda name, column: _cast(name, column, config.datatype))

    return cast


def _converts(datatype: str, to: str) -> bool:
    return datatype == to or (is_numeric(to) and (is_numeric(datatype) or datatype == "STRING"))


def _cast(name: str, column: Column, datatype: str) -> Column:
    if column.datatype == datatype:
        return column
    if isinstance(column, (Blobs, RaggedBlobs)):
        return _parsed(name, column, datatype)
    dtype = NUMPY_DTYPES[datatype]
    if is_integer(datatype):
        _reject_out_of_range(name, column, datatype)
    with np.errstate(over="ignore"):  # a number too large for a smaller floating datatype is infinite there
        return elementwise(column, lambda values: values.astype(dtype))


def _reject_out_of_range(name: str, column: Dense | Ragged, datatype: str) -> None:
    source, limits = column.values.dtype, np.iinfo(NUMPY_DTYPES[datatype])
    if np.can_cast(source, NUMPY_DTYPES[datatype]):
        return
    values = column.values.ravel()
    if source.kind == "f":
        # The limits are powers of two, or one less: as FP64, -2**63 and 2**63 are exact, and 2**63 - 1 is not.
        whole = np.trunc(values, dtype=np.float64) if source.itemsize < 8 else np.trunc(values)
        good = (whole >= float(limits.min)) & (whole < float(limits.max + 1))
    else:
        good = (values >= limits.min) & (values <= limits.max)
    reject(column, ~good, lambda at: f"column {name!r} is {values[at]}, which is out of the range of {datatype}")


def _parsed(name: str, column: Blobs | RaggedBlobs, datatype: str) -> Dense | Ragged:
    large = pa.types.is_large_binary(column.array.type)
    text = pc.utf8_trim_whitespace(column.array.cast(pa.large_string() if large else pa.string()))
    pattern = _INTEGER if is_integer(datatype) else _BOOL if datatype == "BOOL" else _FLOATING
    good = pc.match_substring_regex(text, pattern)
    # What does not parse is replaced by 0, which every datatype has, so that one conversion does the rest.
    numerals = pc.utf8_ltrim(pc.if_else(good, text, "0"), "+")
    if is_integer(datatype):
        values, in_range = _integers(numerals, NUMPY_DTYPES[datatype])
        good = pc.and_(good, in_range)
    else:
        values = numerals.cast(pa.bool_() if datatype == "BOOL" else pa.float64())
    reject(
        column,
        ~good.to_numpy(zero_copy_only=False),
        lambda at: (
            f"column {name!r} is {shown(column.array[at].as_py().decode())}, which is not a number of {datatype}"
        ),
    )
    with np.errstate(over="ignore"):
        array: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False).astype(NUMPY_DTYPES[datatype], copy=False)
    return with_elements(column, array)


def _integers(numerals: pa.Array, dtype: np.dtype[Any]) -> tuple[pa.Array, pa.Array]:
    limits = np.iinfo(dtype)
    decimals = numerals.cast(_DECIMAL)
    low, high = (pa.scalar(Decimal(int(limit)), _DECIMAL) for limit in (limits.min, limits.max))
    in_range = pc.and_(pc.greater_equal(decimals, low), pc.less_equal(decimals, high))
    values = pc.if_else(in_range, decimals, pa.scalar(Decimal(0), _DECIMAL)).cast(pa.from_numpy_dtype(dtype))
    return values, in_range
