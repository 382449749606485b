# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The outline of a JSON file (RFC 8259): its values down to some depth, without what lies below.

A model saved as JSON holds hundreds of megabytes of numbers, and a few names. The numbers are dropped while the file is
read, piece by piece, so that memory is bounded by what is kept.
"""

from __future__ import annotations

import json
import re
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_PIECE_BYTES = 1 << 20
_MAX_KEPT_BYTES = 16 << 20
_MAX_KEPT_CONTAINERS = 1 << 16  # a character that opens one becomes 60 bytes
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STEPS = np.zeros(256, np.int8)  # by byte: how it changes the depth
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


class OutlineError(Exception):
    """The file is not what it should be, or stops in the middle, or has too much to keep."""


def read_json_outline(file: BinaryIO, max_depth: int, max_bytes: int = 4 << 30) -> Any:
    """Reads a JSON file; objects and arrays that lie deeper are empty in the result.

    Args:
        file: At its beginning.
        max_depth: Number of objects and arrays around a value that is kept, at most.
        max_bytes: Size of the file, at most: a bound on the time that it takes.

    Raises:
        OutlineError: It is no JSON as far as it is read, or it is larger, or more than 16 MiB or 65,536 objects and
            arrays would be kept.
    """
    outline, depth, in_string, size = bytearray(), 0, False, 0
    while piece := _piece(file):
        size += len(piece)
        kept, depth, in_string = _kept(piece, max_depth, depth, in_string)
        outline += np.frombuffer(piece, np.uint8)[kept].tobytes()
        if size > max_bytes or len(outline) > _MAX_KEPT_BYTES:
            raise OutlineError("it is larger than such a file can be")
    if outline.count(b"[") + outline.count(b"{") > _MAX_KEPT_CONTAINERS:
        raise OutlineError("it has more objects and arrays than such a file can have")
    try:
        return json.loads(outline)
    except (ValueError, RecursionError) as error:
        raise OutlineError("it is no JSON, or only a part of it") from error


def _piece(file: BinaryIO) -> bytes:
    """Returns the next bytes, which do not end between a backslash and what it escapes."""
    piece = file.read(_PIECE_BYTES)
    if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
        piece += file.read(1)
    return piece


def _kept(piece: bytes, max_depth: int, depth: int, in_string: bool) -> tuple[npt.NDArray[np.bool_], int, bool]:
    """Returns which bytes to keep; and the depth, and whether a string is open, after them."""
    text = np.frombuffer(_ESCAPE.sub(b"__", piece), np.uint8)
    inside = np.logical_xor.accumulate(text == ord('"')) ^ in_string
    steps = np.where(inside, 0, _STEPS[text])
    after = depth + np.cumsum(steps, dtype=np.int64)
    # The brackets of what is dropped are kept: they have the one depth before and the other after.
    return np.minimum(after, after - steps) <= max_depth, int(after[-1]), bool(inside[-1])
