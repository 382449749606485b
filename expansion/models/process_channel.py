# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Messages between workers and the processes of their models: over a Unix domain socket, arrays as they lie in memory.

A message is ``uint32 buffers | uint64 pickle_len | uint64 length of each buffer | pickle | buffers``, little-endian.
Large arrays are buffers beside the pickle (protocol 5, https://peps.python.org/pep-0574/): sent from where they are,
and received into memory that is theirs from then on.

A conversation, of which a client has one with each copy of the model for each call that it makes at a time::

    client: HELLO content        model: READY pid | FAILED reason | GONE (it is about to end; ask again)
    client: WANT                 model: TURN, when it is this client's turn
    client: RUN (inputs, outputs)   model: RESULT (columns, bytes in use on GPUs) | ERROR exception
         or NO, when another copy was faster
"""

from __future__ import annotations

import builtins
import pickle
import select
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expansion.contract._gen import model_pb2
from expansion.errors import BadRows, RemoteError, SystemicError, first_line, may_be_about_a_row
from expansion.models.runtime import Runtime
from expansion.models.signature import Model
from expansion.tensors.blobs import compacted
from expansion.tensors.columns import Blobs, Column, Columns, RaggedBlobs

HELLO, READY, FAILED, GONE = "hello", "ready", "failed", "gone"
WANT, TURN, NO, RUN, RESULT, ERROR = "want", "turn", "no", "run", "result", "error"

Build = Callable[[model_pb2.Model, Runtime], Model]

_HEAD = struct.Struct("<IQ")
_INLINE_BYTES = 1 << 16  # below it, copying costs less than a system call


@dataclass(frozen=True)
class Start:
    """What a process is told when it is started.

    Attributes:
        config: The Model message, serialised.
        build: What makes of it what the process runs.
        copies: Number of copies on this machine, among which the cores are divided.
        content: What was at the model's URI: a fingerprint, empty if unknown.
        warm_up: Inputs and outputs of a run to make before the first call.
    """

    config: bytes
    build: Build
    copies: int
    content: str
    warm_up: tuple[Mapping[str, Columns], Sequence[str]] | None


class Channel:
    """One end of a connection. Every method raises OSError when the other end is gone."""

    def __init__(self, connection: socket.socket):
        self._socket = connection

    def __del__(self) -> None:
        self.close()

    def fileno(self) -> int:
        """Returns the file descriptor, for ``select`` and the like."""
        return self._socket.fileno()

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def has_news(self, timeout_secs: float | None) -> bool:
        """Waits until there is something to receive, or the other end is gone; returns False if the time is up."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(None if timeout_secs is None else 1e3 * timeout_secs))

    def is_gone(self) -> bool:
        """Whether the other end has closed the connection. It may be asked by a thread beside the one that uses it."""
        try:
            return self.has_news(0) and not self._socket.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):  # closed, here, in the meantime
            return True

    def send(self, kind: str, value: object = None) -> None:
        """Sends a message."""
        buffers: list[memoryview] = []

        def inline(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes >= _INLINE_BYTES:
                buffers.append(raw)
            return raw.nbytes < _INLINE_BYTES

        content = pickle.dumps((kind, value), protocol=5, buffer_callback=inline)
        lengths = struct.pack(f"<{len(buffers)}Q", *(buffer.nbytes for buffer in buffers))
        self._socket.sendall(_HEAD.pack(len(buffers), len(content)) + lengths + content)
        for buffer in buffers:
            self._socket.sendall(buffer)

    def receive(self) -> tuple[str, Any]:
        """Waits for a message; returns its kind and value."""
        count, length = _HEAD.unpack(self._read(_HEAD.size))
        lengths = struct.unpack(f"<{count}Q", self._read(8 * count))
        content = self._read(length)
        buffers = [self._read(size) for size in lengths]
        # Both ends are processes of one user, in a directory and with credentials that no other has (processes.py).
        kind, value = pickle.loads(content, buffers=buffers)  # noqa: S301
        return kind, value

    def _read(self, size: int) -> memoryview:
        buffer = np.empty(size, np.uint8).data  # a bytearray would be filled with zeros first
        done = 0
        while done < size:
            count = self._socket.recv_into(buffer[done:])
            if count == 0:
                raise ConnectionResetError("the other process closed the connection")
            done += count
        return buffer


def compact(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Returns the columns without what their slices leave out, which pyarrow would send along."""
    return {name: _compact(column) for name, column in columns.items()}


def _compact(column: Column) -> Column:
    return replace(column, array=compacted(column.array)) if isinstance(column, (Blobs, RaggedBlobs)) else column


def compact_inputs(inputs: Mapping[str, Columns]) -> dict[str, Columns]:
    """Returns the inputs of a model in the form in which they are sent."""
    return {name: Columns(compact(columns), columns.row_count) for name, columns in inputs.items()}


# Besides BadRows, those of our exceptions that models raise.
_OURS = (SystemicError, RemoteError)


def encode_error(error: Exception) -> tuple[str, Any]:
    """Returns an exception in a form in which it crosses: the name of its class, and what to make one from.

    Ours and Python's own cross as they are, but OSErrors about the system as SystemicError. Others become the first of
    Python's own that they derive from, and name their class.
    """
    if isinstance(error, BadRows):
        return "BadRows", error.messages
    for kind in _OURS:
        if isinstance(error, kind):
            return kind.__name__, str(error)
    text = f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, OSError) and not may_be_about_a_row(error):
        return "SystemicError", text
    for base in type(error).__mro__:
        if base.__module__ == "builtins":
            if base is type(error) and len(error.args) <= 1:
                text = str(error.args[0]) if error.args else ""
            try:
                base(text)
            except TypeError:  # UnicodeDecodeError and a few others take more than a text
                continue
            return base.__name__, text
    raise AssertionError("every exception derives from Exception")


def decode_error(encoded: tuple[str, Any]) -> Exception:
    """Returns an exception that crossed."""
    name, value = encoded
    if name == "BadRows":
        return BadRows(value)
    error: Exception = ({kind.__name__: kind for kind in _OURS}.get(name) or getattr(builtins, name))(value)
    return error
