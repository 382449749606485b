# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns as words: what is counted, looked up and hashed."""

from __future__ import annotations

import pyarrow as pa

from expansion.tensors.columns import Blobs, Column, RaggedBlobs


def words_of(column: Column) -> pa.Array:
    """Returns all elements of a column as words, in row-major order.

    Returns:
        Binary array: of texts their UTF-8, of integers decimal digits, of BOOL "true" and "false".
    """
    if isinstance(column, (Blobs, RaggedBlobs)):
        return column.array
    return pa.array(column.values.ravel()).cast(pa.string()).cast(pa.binary())
