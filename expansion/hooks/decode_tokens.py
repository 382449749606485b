# Licensed under the Apache License, Version 2.0; see LICENSE.
"""decode_tokens: turn tokens into texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem
from expansion.hooks import tokenizer_file
from expansion.hooks.demands import INTEGER, Demands, numbers, reject, required
from expansion.tensors.columns import Blobs, Columns

TAKES_RAGGED = True


def check(config: hook_pb2.DecodeTokens) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    yield from tokenizer_file.check_uri(config.uri)


def fields(config: hook_pb2.DecodeTokens, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with a STRING one for the texts."""
    demands = Demands(inputs)
    tokens = demands.column("column", config.column, INTEGER)
    demands.that(
        len(tokens.shape) == 1 or config.column not in inputs,
        "column",
        f"column {config.column!r} is {tokens}; expected a vector of token ids; reshape it before",
    )
    demands.settle()
    output = config.output or config.column
    return {**inputs, output: Field(output, "STRING")}


def build(config: hook_pb2.DecodeTokens) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: The tokenizer can't be read.
    """
    tokenizer = tokenizer_file.read(config.uri)
    # Not all of 0 to the largest one: some vocabularies have gaps, and the tokenizer leaves out what it does not have.
    known = np.array(sorted(tokenizer.get_vocab(with_added_tokens=True).values()), np.int64)

    def decode_tokens(columns: Columns) -> Columns:
        column = numbers(columns, config.column)
        ids = column.values.ravel()
        reject(
            column,
            ~np.isin(ids, known),
            lambda position: (
                f"column {config.column!r} has {ids[position]}, which is no token; those of {config.uri!r} go from "
                f"{known.min(initial=0)} to {known.max(initial=0)}"
            ),
        )
        texts = tokenizer.decode_batch(column.to_rows(), skip_special_tokens=not config.keep_special_tokens)
        return columns.with_column(config.output or config.column, Blobs.of("STRING", texts, len(texts)))

    return decode_tokens
