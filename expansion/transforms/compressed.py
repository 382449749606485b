# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batches that wait for what is learned, compressed.

All of a data set waits for a side input, and a runner may then send all that waits in one message: Prism does
(``internal/worker/bundle.go``, ``ProcessOn``). Beam's worker has such a message four times while it comes in, and twice
until its last element is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa

from expansion.transforms.batch import Batch
from expansion.transforms.batch_coder import BatchCoder
from expansion.transforms.memory import Received

_ZSTD = pa.Codec("zstd", compression_level=1)
_SIZE_BYTES = 8


def compress(data: bytes) -> bytes:
    """Returns data, compressed, behind its size."""
    return len(data).to_bytes(_SIZE_BYTES, "little") + bytes(_ZSTD.compress(data, asbytes=True))


def decompress(compressed: bytes) -> bytes:
    """Reads what ``compress`` wrote."""
    size = int.from_bytes(compressed[:_SIZE_BYTES], "little")
    return bytes(_ZSTD.decompress(memoryview(compressed)[_SIZE_BYTES:], size, asbytes=True))


class Compress(beam.DoFn):  # type: ignore[misc]
    """Compresses a TensorBatch, or a Batch."""

    def setup(self) -> None:
        """Makes the coder."""
        self._coder = BatchCoder()

    def process(self, batch: Batch | bytes) -> Iterator[bytes]:
        """Yields bytes."""
        yield compress(batch if isinstance(batch, bytes) else self._coder.encode(batch))


class DecompressAfter(beam.DoFn):  # type: ignore[misc]
    """Makes a Batch again of a compressed one, once there is a side input that a later step needs."""

    def setup(self) -> None:
        """Makes the coder."""
        self._coder = BatchCoder()
        self._received = Received()

    def process(self, compressed: bytes, awaited: Any) -> Iterator[Batch]:
        """Yields one Batch."""
        self._received.add(len(compressed))
        yield self._coder.decode(decompress(compressed))
