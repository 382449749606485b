# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Texts on their way into a model of transformers. Imported by workers only: it imports PyTorch and transformers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from expansion.errors import SystemicError, first_line

Tokens = dict[str, list[list[int]]]

# Tokens with their padding that go through the model in one call: enough to keep a GPU busy, and cores.
_TOKENS_AT_ONCE = 8192
_NO_LIMIT = 1 << 20  # a tokenizer that knows of no length says 10^30


class Texts:
    """A tokenizer.

    Attributes:
        tokenizer: That of transformers.

    Args:
        path: Directory of its files.
        max_tokens: Tokens after which texts are cut; 0 is what the tokenizer says.
        max_positions: Tokens that the model has positions for; 0 is unknown.
        is_prompt: Whether the model continues the texts: they are never cut, and are padded on the left.

    Raises:
        SystemicError: It has no token to pad with.
    """

    def __init__(self, path: Path, max_tokens: int, max_positions: int, is_prompt: bool = False):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        limits = [limit for limit in (max_tokens or self.tokenizer.model_max_length, max_positions) if limit]
        self._max_tokens = None if is_prompt or min(limits) > _NO_LIMIT else min(limits)
        if is_prompt:
            self.tokenizer.padding_side = "left"
            if self.tokenizer.pad_token is None:  # it is masked, so any token will do
                self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.pad_token is None:
            raise SystemicError("the tokenizer has no padding token; give it one and save it again")
        # It says that padding what is tokenized already is slow; but only so are texts sorted by length.
        self.tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
        # Cutting and padding are set in the tokenizer, for all threads: https://github.com/huggingface/tokenizers/issues/537
        self._lock = threading.Lock()

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Returns the tokens of each text, cut, and what else the model takes of each."""
        with self._lock:
            found = self.tokenizer(
                list(texts), truncation=self._max_tokens is not None, max_length=self._max_tokens, padding=False
            )
        return dict(found)

    def batches(self, tokens: Tokens, device: Any) -> Iterator[tuple[list[int], Any]]:
        """Yields texts of similar length together, padded, the longest first.

        Returns:
            Indices of the texts; and the model's arguments, tensors [texts, tokens].
        """
        lengths = [len(ids) for ids in tokens["input_ids"]]
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        while order:
            count = max(1, _TOKENS_AT_ONCE // max(1, lengths[order[0]]))
            rows, order = order[:count], order[count:]
            part = {name: [values[row] for row in rows] for name, values in tokens.items()}
            yield rows, self.tokenizer.pad(part, padding=True, return_tensors="pt").to(device)


@contextmanager
def inference() -> Iterator[None]:
    """Runs a block without gradients.

    Raises:
        MemoryError: There is too little of it, on the CPU or a GPU.
        SystemicError: The GPU fails.
    """
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(first_line(error)) from error
    except RuntimeError as error:
        reason = first_line(error)
        if "allocate memory" in reason or "not enough memory" in reason:  # the CPU's allocator has no class of its own
            raise MemoryError(reason) from error
        if "CUDA error" in reason:
            raise SystemicError(reason) from error
        raise
