# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Fields: the name, datatype and row shape of a column, as the contract speaks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from expansion.contract._gen import tensor_pb2

# The Open Inference Protocol's fixed-size datatypes and what they are in numpy.
# https://github.com/kserve/open-inference-protocol, "Tensor Data Types"
NUMPY_DTYPES: Mapping[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}
_DATATYPES = {dtype: datatype for datatype, dtype in NUMPY_DTYPES.items()}

# STRING is the protocol's BYTES that hold UTF-8 text.
VARIABLE_LENGTH = frozenset({"BYTES", "STRING"})
DATATYPES = frozenset(NUMPY_DTYPES) | VARIABLE_LENGTH


@dataclass(frozen=True)
class Field:
    """What a column is called and holds.

    Attributes:
        name: Name of the column.
        datatype: One of ``DATATYPES``; empty where a model's signature does not say.
        shape: Shape of one row, without the batch dimension; -1 is a size that may differ from row to row.
    """

    name: str
    datatype: str
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.datatype or '?'}{list(self.shape) if self.shape else ''}"

    def with_name(self, name: str) -> Field:
        """Returns this field under another name."""
        return replace(self, name=name)

    @classmethod
    def from_proto(cls, field: tensor_pb2.Field) -> Field:
        """Reads a Field message."""
        return cls(field.name, field.datatype, tuple(field.shape))

    def to_proto(self) -> tensor_pb2.Field:
        """Returns the Field message."""
        return tensor_pb2.Field(name=self.name, datatype=self.datatype, shape=self.shape)


Fields = Mapping[str, Field]


def datatype_of(dtype: np.dtype) -> str:
    """Returns the datatype of a numpy dtype, or "" if the protocol has none."""
    return _DATATYPES.get(dtype.newbyteorder("="), "")


def is_numeric(datatype: str) -> bool:
    """Whether the datatype is a number or BOOL, of a fixed size."""
    return datatype in NUMPY_DTYPES


def is_floating(datatype: str) -> bool:
    """Whether the datatype is FP16, FP32 or FP64."""
    return datatype in ("FP16", "FP32", "FP64")


def is_integer(datatype: str) -> bool:
    """Whether the datatype is a signed or unsigned integer."""
    return is_numeric(datatype) and NUMPY_DTYPES[datatype].kind in "iu"
