# Licensed under the Apache License, Version 2.0; see LICENSE.
"""hash: turn values into one of so many buckets, by their hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import VARIABLE_LENGTH, Field, is_integer
from expansion.errors import Problem, SystemicError
from expansion.hooks.demands import Demands, Kind, in_place, required_names, with_elements
from expansion.tensors.columns import Column, Columns, Dense, Ragged
from expansion.tensors.words import words_of

WORD = Kind(
    "STRING, BYTES or an integer datatype", lambda datatype: datatype in VARIABLE_LENGTH or is_integer(datatype)
)

TAKES_RAGGED = True


def check(config: hook_pb2.Hash) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required_names("columns", config.columns)
    if config.buckets < 1:
        yield Problem("buckets", f"got {config.buckets}; expected 1 or more")


def fields(config: hook_pb2.Hash, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, INT64 ones of the same shapes for the columns."""
    demands = Demands(inputs)
    hashed = demands.columns("columns", config.columns, WORD)
    demands.settle()
    return {**inputs, **{field.name: Field(field.name, "INT64", field.shape) for field in hashed}}


def build(config: hook_pb2.Hash) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: The package that hashes is missing.
    """
    buckets = bucket_of(config.buckets)

    def hashed(_: str, column: Column) -> Dense | Ragged:
        return with_elements(column, buckets(words_of(column)))

    def hash(columns: Columns) -> Columns:
        return in_place(columns, config.columns, hashed)

    return hash


def bucket_of(count: int) -> Callable[[pa.Array], npt.NDArray[np.int64]]:
    """Returns what turns words, a binary array, into one of so many buckets each.

    Raises:
        SystemicError: The package that hashes is missing.
    """
    fingerprint = _fingerprint()

    def buckets(words: pa.Array) -> npt.NDArray[np.int64]:
        fingerprints = np.fromiter(map(fingerprint, words.to_pylist()), np.uint64, len(words))
        fingerprints %= np.uint64(count)
        return fingerprints.astype(np.int64)

    return buckets


def _fingerprint() -> Callable[[bytes | str], int]:
    """Returns FarmHash's Fingerprint64, which by its promise never changes; a str is hashed as UTF-8.

    https://github.com/google/farmhash/blob/master/src/farmhash.h
    """
    try:
        from farmhash import Fingerprint64
    except ImportError as error:  # or another package of that name, which lacks the function
        raise SystemicError(
            f"farmhash, of package cityhash, is missing: {error}; on the workers: pip install "
            "'beam-ml-expansion[hooks]', and no other package that has a module of that name"
        ) from error
    fingerprint: Callable[[bytes | str], int] = Fingerprint64
    return fingerprint
