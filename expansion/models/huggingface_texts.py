# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Texts on their way through a model of transformers. Imported by workers only: it imports PyTorch and transformers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from expansion.errors import BadRows, SystemicError
from expansion.models.pytorch_gpu import errors_of_pytorch

Tokens = dict[str, list[list[int]]]

# Tokens with their padding that go through the model in one call: enough to keep cores busy, and a GPU.
_TOKENS_AT_ONCE = 8192
_NO_LIMIT = 1 << 20  # a tokenizer that knows of no length says 10^30


class Texts:
    """A tokenizer, and the way of texts through it and a model.

    Attributes:
        tokenizer: That of transformers.

    Args:
        path: Directory of its files.
        max_tokens: Tokens after which texts are cut; 0 is what the tokenizer says.
        max_positions: Tokens that the model has positions for; 0 is unknown.
        new_tokens: Tokens that the model adds to each text, if it does: such texts are never cut, and are padded on the
            left.

    Raises:
        SystemicError: It has no token to pad with.
    """

    def __init__(self, path: Path, max_tokens: int, max_positions: int, new_tokens: int = 0):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        limit = min(max_tokens or self.tokenizer.model_max_length, max_positions or _NO_LIMIT)
        self._max_tokens = limit if limit < _NO_LIMIT and not new_tokens else None
        self._new_tokens = new_tokens
        if new_tokens:
            self.tokenizer.padding_side = "left"
            if self.tokenizer.pad_token is None:  # it is masked, so any token will do
                self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.pad_token is None:
            raise SystemicError("the tokenizer has no padding token; give it one and save it again")
        # transformers 4 warns that to tokenize and pad apart is slow; to pad texts of all lengths together is slower.
        self.tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
        # Cutting and padding are set in the tokenizer, for all threads: https://github.com/huggingface/tokenizers/issues/537
        self._lock = threading.Lock()

    def tokens(self, texts: Sequence[str], start: int | None = None) -> Tokens:
        """Returns the tokens of each text, cut, and what else the model takes of each.

        Args:
            texts: Texts.
            start: The token to put where a text has none, as the empty one may.

        Raises:
            BadRows: Some texts have no tokens, and there is no start.
        """
        with self._lock:
            encoded = self.tokenizer(
                list(texts), truncation=self._max_tokens is not None, max_length=self._max_tokens, padding=False
            )
        found: Tokens = dict(encoded)
        empty = [row for row, ids in enumerate(found["input_ids"]) if not ids]
        if start is not None:
            for row in empty:
                found["input_ids"][row], found["attention_mask"][row] = [start], [1]
        elif empty:
            raise BadRows(dict.fromkeys(empty, "the text has no tokens; expected at least one"))
        return found

    def compute(self, tokens: Tokens, model: Any, call: Callable[[Any], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Computes something of texts, those of similar length together.

        Args:
            tokens: What ``tokens`` gave; at least one text.
            model: The model, for its device.
            call: From its arguments, tensors [texts, tokens], to an array [texts, …].

        Returns:
            Array [texts, …], in the order of the texts.
        """
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        order = np.argsort(-lengths, kind="stable")  # where memory is too little, the longest say so at once
        parts: list[npt.NDArray[Any]] = []
        start = 0
        while start < len(order):
            rows = order[start : start + max(1, _TOKENS_AT_ONCE // (int(lengths[order[start]]) + self._new_tokens))]
            part = {name: [values[row] for row in rows] for name, values in tokens.items()}
            with inference():
                parts.append(call(self.tokenizer.pad(part, padding=True, return_tensors="pt").to(model.device)))
            start += len(rows)
        return np.concatenate(parts)[np.argsort(order)]


@contextmanager
def inference() -> Iterator[None]:
    """Runs a block without gradients.

    Raises:
        MemoryError: There is too little of it, on the CPU or a GPU.
        DeviceFailed: The GPU fails.
    """
    with errors_of_pytorch(), torch.inference_mode():
        yield
