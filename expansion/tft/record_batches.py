# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns → Arrow record batches as tensorflow-transform reads them: of each column a list of a row's elements."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from expansion.contract.fields import NUMPY_DTYPES, VARIABLE_LENGTH, Field, Fields
from expansion.tensors.columns import Blobs, Column, Columns, RaggedBlobs, as_ragged


def schema_of(takes: Fields) -> pa.Schema:
    """Returns the schema of the batches of some columns."""
    return pa.schema([(name, pa.large_list(_element(field))) for name, field in takes.items()])


def encode(columns: Columns, takes: Fields) -> bytes:
    """Returns one record batch, as an Arrow stream.

    Args:
        columns: The columns that are taken, and perhaps others.
        takes: Their fields; numbers are converted to these datatypes.
    """
    arrays = [_lists(columns[name], field) for name, field in takes.items()]
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, schema_of(takes)) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema_of(takes)))
    return bytes(stream.getvalue())


def decode(stream: bytes) -> pa.RecordBatch:
    """Returns the record batch of ``encode``."""
    with pa.ipc.open_stream(stream) as reader:
        return reader.read_next_batch()


def elements_of(column: Column, field: Field) -> pa.Array:
    """Returns all rows' elements, one after another, in the datatype of a field."""
    if isinstance(column, (Blobs, RaggedBlobs)):
        return column.array
    return pa.array(column.values.reshape(-1).astype(NUMPY_DTYPES[field.datatype], copy=False))


def _lists(column: Column, field: Field) -> pa.Array:
    offsets = pa.array(as_ragged(column).offsets)
    return pa.LargeListArray.from_arrays(offsets, elements_of(column, field).cast(_element(field)))


def _element(field: Field) -> pa.DataType:
    if field.datatype in VARIABLE_LENGTH:
        return pa.large_binary()
    return pa.from_numpy_dtype(np.dtype(NUMPY_DTYPES[field.datatype]))
