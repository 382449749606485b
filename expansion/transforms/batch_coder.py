# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How a Batch crosses from one of our steps to the next where a runner does not fuse them."""

from __future__ import annotations

import pickle
from typing import Any

from apache_beam import coders
from apache_beam.coders import coder_impl
from apache_beam.coders.coders import FastCoder

from expansion.transforms.batch import Batch


class _BatchCoderImpl(coder_impl.SimpleCoderImpl):  # type: ignore[misc]
    def encode(self, value: Batch) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

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
