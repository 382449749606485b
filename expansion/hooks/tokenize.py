# Licensed under the Apache License, Version 2.0; see LICENSE.
"""tokenize: turn texts into tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.contract.problems import did_you_mean
from expansion.errors import Problem, SystemicError
from expansion.hooks import tokenizer_file
from expansion.hooks.demands import STRING, Demands, required
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged

_PADDINGS = ("longest", "max_tokens", "none")
# Special tokens that are there to pad with. Few files say which one it is: the Hub has it in tokenizer_config.json.
_PADDING_TOKENS = ("[PAD]", "<pad>")

_Array = npt.NDArray[np.int64]


def check(config: hook_pb2.Tokenize) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    yield from tokenizer_file.check_uri(config.uri)
    if config.max_tokens < 0:
        yield Problem("max_tokens", f"got {config.max_tokens}; expected 1 or more, or 0 for the default")
    if config.padding and config.padding not in _PADDINGS:
        yield Problem("padding", f"got {config.padding!r}; {did_you_mean(config.padding, _PADDINGS)}")
    if config.padding == "max_tokens" and not config.max_tokens:
        yield Problem("max_tokens", "missing; padding is 'max_tokens', so say how many")
    outputs = _outputs(config)
    for index, (path, name) in enumerate(outputs.items()):
        if name in list(outputs.values())[:index]:
            yield Problem(path, f"{name!r} is the name of another output too; give each its own")


def fields(config: hook_pb2.Tokenize, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with INT64 vectors for the tokens."""
    demands = Demands(inputs)
    for path in ("column", "pair_column"):
        name = getattr(config, path)
        if name:
            field = demands.column(path, name, STRING)
            demands.that(not field.shape, path, f"column {name!r} is {field}; expected one text a row")
    demands.settle()
    shape = (config.max_tokens if config.padding == "max_tokens" else -1,)
    return {**inputs, **{name: Field(name, "INT64", shape) for name in _outputs(config).values()}}


def build(config: hook_pb2.Tokenize) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: The tokenizer can't be read, or max_tokens leaves no room for its special tokens.
    """
    tokenizer = tokenizer_file.read(config.uri)
    padding = tokenizer.padding or {"pad_id": _padding_token(tokenizer)}
    fills = {"ids_output": padding["pad_id"], "type_ids_output": padding.get("pad_type_id", 0)}
    on_left = padding.get("direction") == "left"
    _set(config, tokenizer)
    outputs = _outputs(config)

    def tokenize(columns: Columns) -> Columns:
        encodings = tokenizer.encode_batch_fast(
            _texts(config, columns), add_special_tokens=not config.omit_special_tokens
        )
        tokens = {"ids_output": _rows([encoding.ids for encoding in encodings])}
        tokens["mask_output"] = Ragged(np.ones_like(tokens["ids_output"].values), tokens["ids_output"].shapes)
        if config.type_ids_output:
            tokens["type_ids_output"] = _rows([encoding.type_ids for encoding in encodings])
        if config.padding == "none":
            return columns.with_columns({name: tokens[path] for path, name in outputs.items()})
        lengths = tokens["ids_output"].shapes
        size = config.max_tokens if config.padding == "max_tokens" else int(lengths.max(initial=0))
        is_token = np.arange(size) >= size - lengths if on_left else np.arange(size) < lengths
        return columns.with_columns(
            {name: _padded(tokens[path], is_token, fills.get(path, 0)) for path, name in outputs.items()}
        )

    return tokenize


def _outputs(config: hook_pb2.Tokenize) -> dict[str, str]:
    """Returns the columns to write, by the message's field that names them."""
    outputs = {
        "ids_output": config.ids_output or "input_ids",
        "mask_output": config.mask_output or "attention_mask",
        "type_ids_output": config.type_ids_output,
    }
    return {path: name for path, name in outputs.items() if name}


def _set(config: hook_pb2.Tokenize, tokenizer: Any) -> None:
    """Sets how the tokenizer cuts; that it does not pad, which is done on arrays. Once: threads may share it."""
    tokenizer.no_padding()
    if not config.max_tokens:
        return
    added = 0 if config.omit_special_tokens else tokenizer.num_special_tokens_to_add(bool(config.pair_column))
    if config.max_tokens < added:  # it would not cut at all
        raise SystemicError(
            f"max_tokens is {config.max_tokens}, and the tokenizer {config.uri!r} puts {added} special tokens around a "
            "text; allow more, or set omit_special_tokens"
        )
    said = tokenizer.truncation or {}
    tokenizer.enable_truncation(config.max_tokens, direction=said.get("direction", "right"))


def _padding_token(tokenizer: Any) -> int:
    ids = [tokenizer.token_to_id(token) for token in _PADDING_TOKENS]
    return next((token_id for token_id in ids if token_id is not None), 0)


def _texts(config: hook_pb2.Tokenize, columns: Columns) -> list[Any]:
    """Returns each row's text, or pair of texts."""
    texts = _texts_of(columns, config.column)
    if not config.pair_column:
        return texts
    return list(zip(texts, _texts_of(columns, config.pair_column), strict=True))


def _texts_of(columns: Columns, name: str) -> list[str]:
    column = columns[name]
    if not isinstance(column, Blobs):
        raise TypeError(f"column {name!r} does not hold strings")
    return column.to_list()


def _rows(tokens: Sequence[Sequence[int]]) -> Ragged:
    lengths = np.fromiter(map(len, tokens), np.int32, len(tokens))
    values = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
    return Ragged(values, lengths[:, None])


def _padded(tokens: Ragged, is_token: npt.NDArray[np.bool_], fill: int) -> Dense:
    """Puts tokens where they are in the array [rows, size], and a number everywhere else."""
    padded: _Array = np.full(is_token.shape, fill, np.int64)
    padded[is_token] = tokens.values
    return Dense(padded)
