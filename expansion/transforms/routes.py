# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which of several models runs on which row, worked out for all rows of a batch at once."""

from __future__ import annotations

import hashlib
import itertools
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract._gen.routing_pb2 import PerKeyModels, Split
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.problems import shown
from expansion.tensors.columns import Blobs, Column, Dense
from expansion.transforms.routing import is_key


class Routed(NamedTuple):
    """Where the rows of a batch go.

    Attributes:
        names: The routes.
        of_row: Array [rows] of indices into ``names``.
        refused: Why no model is for a route, by its index.
    """

    names: list[str]
    of_row: npt.NDArray[np.int64]
    refused: dict[int, str]


class ByKey:
    """Sends each row to the model of its key.

    Attributes:
        column: The column of keys.
        waits_for_its_like: True: loading a model costs more than waiting for further rows of its key.
    """

    waits_for_its_like = True

    def __init__(self, per_key: PerKeyModels):
        self.column = per_key.column
        self._known = dict.fromkeys(sorted(per_key.uris))  # a set would be pickled in any order

    def routed(self, column: Column) -> Routed:
        """Returns the keys of a STRING or integer column; those that there can be no model for are refused."""
        values, of_row = _distinct(column)
        names = [value.decode() for value in values]
        refused = {index: reason for index, name in enumerate(names) if (reason := self._refusal(name))}
        return Routed(names, of_row, refused)

    def _refusal(self, key: str) -> str:
        if self._known:
            return "" if key in self._known else f"column {self.column!r} is {shown(key)}; per_key.uris has no such key"
        reason = f"column {self.column!r} is {shown(key)}, which can't be a part of a uri"
        return "" if is_key(key) else f"{reason}; expected letters, digits, '_', '.' and '-'"


class ByHash:
    """Sends each row to an arm, by the hash of its value.

    Attributes:
        column: The column of values.
        waits_for_its_like: False: there are few arms.
    """

    waits_for_its_like = False

    def __init__(self, split: Split):
        self.column = split.column
        self._arms = [arm.name for arm in split.arms]
        *ends, total = itertools.accumulate(arm.weight for arm in split.arms)
        # The first hash of each arm but the first. No array, which other versions of NumPy may not unpickle.
        self._starts = [min(int(end / total * 2.0**64), 2**64 - 1) for end in ends]

    def routed(self, column: Column) -> Routed:
        """Returns the arms of a STRING, BYTES or integer column."""
        values, of_row = _distinct(column)
        hashes = np.frombuffer(b"".join(map(_hash, values)), ">u8").astype(np.uint64)
        arm_of_value = np.searchsorted(np.array(self._starts, np.uint64), hashes, side="right")
        return Routed(self._arms, arm_of_value[of_row], {})


Router: TypeAlias = ByKey | ByHash


def router_of(config: RunInferenceConfig) -> Router | None:
    """Returns what sends rows to the models of a configuration; None where there is one model."""
    if config.HasField("per_key"):
        return ByKey(config.per_key)
    return ByHash(config.split) if config.HasField("split") else None


def _distinct(column: Column) -> tuple[list[bytes], npt.NDArray[np.int64]]:
    """Returns the distinct values of a scalar column as bytes, integers as decimal digits; and which each row has."""
    if isinstance(column, Blobs):
        encoded = column.array.dictionary_encode()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    assert isinstance(column, Dense)  # noqa: S101 - integers, as the plan made sure
    values, of_row = np.unique(column.values, return_inverse=True)
    return pa.array(values).cast(pa.string()).cast(pa.binary()).to_pylist(), of_row.astype(np.int64)


def _hash(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=8).digest()
