# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A tokenizer.json, as Hugging Face tokenizers writes it: what tokenize and decode_tokens share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from expansion.errors import Problem, SystemicError, first_line
from expansion.files import looks_like, read_on_worker


def check_uri(uri: str) -> Iterator[Problem]:
    """Yields a problem if no file is named."""
    if not uri:
        yield Problem("uri", "missing; expected the path or URI of a tokenizer.json")


def read(uri: str) -> Any:
    """Reads a tokenizer. Called on workers; imports tokenizers.

    Returns:
        A tokenizers.Tokenizer.

    Raises:
        SystemicError: The file can't be read or holds no tokenizer, or the library is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise SystemicError("tokenizers is missing; on the workers: pip install 'beam-ml-expansion[hooks]'") from error

    content = read_on_worker(uri)
    try:
        return tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # ValueError of today's version; others raised Exception itself
        guess = "" if content[:1] == b"{" else looks_like(content[:64])
        raise SystemicError(
            f"{uri!r} is no tokenizer.json, or a damaged one{guess}: {first_line(error)}; save it with "
            "Tokenizer.save of tokenizers, or save_pretrained of transformers"
        ) from error
