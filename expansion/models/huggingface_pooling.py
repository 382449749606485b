# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From token embeddings to sentence embeddings.

As the module Pooling of sentence-transformers: https://sbert.net/docs/package_reference/sentence_transformer/models.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def pool(tokens: Any, mask: Any, modes: Sequence[str]) -> Any:
    """Makes one embedding of the embeddings of a text's tokens.

    Args:
        tokens: Tensor [rows, tokens, size], of any floating type.
        mask: Tensor [rows, tokens], 1 for tokens and 0 for padding, on whichever side; at least one token a row.
        modes: Each of POOLING_MODES of huggingface_files.

    Returns:
        Tensor FP32 [rows, size × modes], the modes' results side by side.
    """
    tokens = tokens.float()
    return torch.cat([_pooled(tokens, mask, mode) for mode in modes], dim=-1)


def _pooled(tokens: Any, mask: Any, mode: str) -> Any:
    rows = torch.arange(len(tokens), device=tokens.device)
    if mode == "cls":
        return tokens[rows, mask.int().argmax(dim=1)]
    if mode == "lasttoken":
        return tokens[rows, mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1)]
    weights = mask.unsqueeze(-1).float()
    if mode == "max":
        return tokens.masked_fill(weights == 0, float("-inf")).max(dim=1).values
    count = weights.sum(dim=1).clamp(min=1e-9)
    return (tokens * weights).sum(dim=1) / (count if mode == "mean" else count.sqrt())
