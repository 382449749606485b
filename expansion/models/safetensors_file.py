# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Whether a safetensors file is whole: https://huggingface.co/docs/safetensors. Nothing of its tensors is read."""

from __future__ import annotations

import json
from typing import BinaryIO

from expansion.files import looks_like

_MAX_HEADER_BYTES = 16 << 20  # a model of 60,000 tensors has 6 MiB


def damage(file: BinaryIO) -> str:
    """Returns what is wrong with a file, as far as its header and its size show it; empty if nothing is.

    Args:
        file: The file, seekable, at its beginning.
    """
    head = file.read(64)
    header_size = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or header_size > _MAX_HEADER_BYTES:
        return f"it is no safetensors file{looks_like(head)}"
    file.seek(8)
    header = file.read(header_size)
    if len(header) < header_size:
        return "it is cut off in its header"
    try:
        tensors = [about for name, about in json.loads(header).items() if name != "__metadata__"]
        size = 8 + header_size + max((int(about["data_offsets"][1]) for about in tensors), default=0)
    except (ValueError, TypeError, LookupError, RecursionError):
        return "its header is damaged"
    actual = file.seek(0, 2)
    return f"it is cut off: it has {actual} of {size} bytes" if actual < size else ""
