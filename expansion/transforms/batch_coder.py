# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How a Batch crosses from one of our steps to the next where a runner does not fuse them."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam import coders
from apache_beam.coders import coder_impl
from apache_beam.coders.coders import FastCoder
from apache_beam.internal.cloudpickle.cloudpickle import CloudPickler
from apache_beam.utils.windowed_value import WindowedValue

from expansion.tensors.blobs import compacted
from expansion.tensors.columns import Dense
from expansion.transforms import packed_rows
from expansion.transforms.batch import Batch


class _Pickler(CloudPickler):  # type: ignore[misc]
    """Pickles carried rows all at once; classes that can't be imported elsewhere, as those of a script, with them.

    Of slices of texts and bytes it pickles what they show: pyarrow would take along all that they are slices of.
    """

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Dense and obj.values.dtype == object and len(obj) and isinstance(obj.values[0], WindowedValue):
            return _carried, packed_rows.pack(obj.values.tolist())
        if isinstance(obj, pa.Array):
            return compacted(obj).__reduce__()
        return super().reducer_override(obj)


def _carried(*packed: Any) -> Dense:
    rows = packed_rows.unpack(*packed)
    values = np.empty(len(rows), object)
    values[:] = rows
    return Dense(values)


class _BatchCoderImpl(coder_impl.SimpleCoderImpl):  # type: ignore[misc]
    def encode(self, value: Batch) -> bytes:
        buffer = io.BytesIO()
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
        return buffer.getvalue()

    def decode(self, encoded: bytes) -> Batch:
        batch: Batch = pickle.loads(encoded)  # noqa: S301 - written by our own step before, never by a client
        return batch

    def estimate_size(self, value: Batch, nested: bool = False) -> int:
        # Beam samples the sizes of elements even between fused steps; pickling a batch to measure it would cost more
        # than the inference.
        return value.nbytes


class BatchCoder(FastCoder):  # type: ignore[misc]
    """Pickles a Batch; knows its size without doing so."""

    def _create_impl(self) -> _BatchCoderImpl:
        return _BatchCoderImpl()

    def is_deterministic(self) -> bool:
        """False: a Batch is never a key."""
        return False

    def to_type_hint(self) -> type[Batch]:
        """Returns Batch."""
        return Batch

    def __eq__(self, other: Any) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


coders.registry.register_coder(Batch, BatchCoder)
