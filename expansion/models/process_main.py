# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The process of one copy of a model.

``python -m expansion.models.process_main LOCK LISTENER STEM`` is started by process_copy.py, with two open files (the
lock that says that this copy is running, and the socket that it listens on) and, on standard input, what to load. It
serves one call at a time, in the order in which clients ask, and ends when none has been connected for GRACE_SECS, or
once a GPU has failed for it.
"""

from __future__ import annotations

import collections
import contextlib
import io
import logging
import os
import pickle
import select
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from expansion.contract._gen import model_pb2
from expansion.errors import BadRows, DeviceFailed, SystemicError, first_line
from expansion.models.device_memory import device_memory_bytes
from expansion.models.process_channel import (
    ERROR,
    FAILED,
    GONE,
    NO,
    READY,
    RESULT,
    TURN,
    Channel,
    Start,
    compact,
    encode_error,
)
from expansion.models.runtime import Runtime, cores
from expansion.models.signature import Model
from expansion.models.warm_up import warm_up
from expansion.tensors.columns import Columns

# Seconds that a process outlives its last client, or a call the one that made it: workers crash, and are started again.
# The variable is for tests.
GRACE_VARIABLE = "BEAM_ML_EXPANSION_MODEL_GRACE_SECS"
GRACE_SECS = 30.0
# Seconds in which a client whose turn it is must send or take something, lest it keep the others waiting.
_PATIENCE_SECS = 60.0
# What models raise for what is in a batch or for its size; the caller deals with it, and nobody needs its traceback.
_EXPECTED = (BadRows, SystemicError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)

_LOG = logging.getLogger(__name__)


def main() -> None:
    """Loads the model and serves it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the workers; this process ends after them
    sys.stdout, sys.stderr = _text_output(1), _text_output(2)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("expansion").setLevel(logging.INFO)
    threading.Thread(target=_drop_output_that_nobody_reads, daemon=True).start()
    lock, listener, stem = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for descriptor in (lock, listener):
        os.set_inheritable(descriptor, False)  # what the framework starts must not keep them open
    start: Start = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the process that started this one
    server = ModelServer(socket.socket(fileno=listener), stem)
    try:
        model = load(start)
    except Exception as error:
        if not isinstance(error, SystemicError):
            _LOG.exception("the model does not load")
        reason = str(error) if isinstance(error, SystemicError) else f"{type(error).__name__}: {first_line(error)}"
        server.close(FAILED, reason)
    else:
        server.serve(model, start.content)
        server.close(GONE)
        if hasattr(model, "close"):
            model.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{stem}.lock")  # still locked, and only now to be forgotten: see processes.py
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(0)  # frameworks may take long to clean up, or never end


def load(start: Start) -> Model:
    """Loads the model and warms it up.

    Raises:
        Exception: Whatever the framework raises; SystemicError, mostly.
    """
    config = model_pb2.Model.FromString(start.config)
    # Admission by GPU memory would come here: with a lock for the device, so that processes come one at a time, wait or
    # raise SystemicError while it has less memory free than the model needs.
    refreshes = config.refresh_interval_secs > 0
    runtime = Runtime(config.device, config.threads, max(1, cores() // start.copies), refreshes)
    model = start.build(config, runtime)
    if start.warm_up:
        warm_up(model, *start.warm_up)
    return model


class ModelServer:
    """Serves a model to the clients that connect to a socket.

    One thread does everything: while the model runs, new clients and calls wait in their sockets, so that there is
    never more than one batch in memory.
    """

    def __init__(self, listener: socket.socket, stem: str):
        self._listener = listener
        self._stem = stem
        self._selector = selectors.DefaultSelector()
        self._waiting: collections.deque[Channel] = collections.deque()
        self._caller: Channel | None = None  # whose batch is being run
        self._grace_secs = float(os.environ.get(GRACE_VARIABLE, GRACE_SECS))

    def serve(self, model: Model, content: str) -> None:
        """Serves until no client has been connected for GRACE_SECS, or one comes alone for other content than this.

        Once the GPU has failed, it can't be used from here any more: then the next call is another process's.
        Clients of one job share what the first of them loaded, even if it has changed since.
        """
        threading.Thread(target=self._end_calls_that_nobody_waits_for, daemon=True).start()
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        while True:
            alone = not self._waiting and len(self._selector.get_map()) == 1
            events = self._selector.select(0 if self._waiting else self._grace_secs if alone else None)
            if alone and not events:
                return
            for key, _ in events:
                if not isinstance(key.fileobj, Channel):
                    if not self._accept(content):
                        return
                elif self._hears(key.fileobj):
                    self._waiting.append(key.fileobj)
            if self._waiting and not self._serve(self._waiting.popleft(), model):
                return

    def close(self, kind: str, value: object = None) -> None:
        """Lets nobody connect any more, and tells those who have, and got no answer yet, what ``kind`` says."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._stem}.socket")
        self._listener.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                connected = self._greeted()
                if connected:
                    self._tell(connected[0], kind, value)
        self._listener.close()

    def _accept(self, content: str) -> bool:
        """Takes the next client in; returns False if it wants newer content than this, and there is no other client."""
        connected = None
        with contextlib.suppress(BlockingIOError):  # it is gone again
            connected = self._greeted()
        if not connected:
            return True
        client, wanted = connected
        if wanted and wanted != content and self._is_alone():
            self._tell(client, GONE)
            return False
        if self._tell(client, READY, os.getpid()):
            self._selector.register(client, selectors.EVENT_READ)
        return True

    def _is_alone(self) -> bool:
        """Whether no client is connected. One that has just gone may not have been heard yet when another comes."""
        clients = (key.fileobj for key in self._selector.get_map().values() if isinstance(key.fileobj, Channel))
        return all(client.is_gone() for client in (*self._waiting, *clients))

    def _greeted(self) -> tuple[Channel, str] | None:
        """Accepts a connection and hears its HELLO; None if it is no client of ours."""
        connection, _ = self._listener.accept()
        connection.settimeout(_PATIENCE_SECS)
        client = Channel(connection)
        if not _is_same_user(connection):
            return None
        try:
            return client, client.receive()[1]
        except OSError:
            return None

    def _hears(self, client: Channel) -> bool:
        """Hears a client out, which is not listened to until it is served; returns False if it is gone."""
        self._selector.unregister(client)
        try:
            client.receive()  # there is nothing but WANT to say now
        except OSError:
            client.close()
            return False
        return True

    def _serve(self, client: Channel, model: Model) -> bool:
        """Gives a client its turn; returns False if the model can't be used after it."""
        failure = None
        try:
            client.send(TURN)
            kind, call = client.receive()
            if kind != NO:
                self._caller = client
                answer, failure = _call(model, *call)
                self._caller = None
                client.send(*answer)
        except OSError:  # it is gone, or takes too long
            client.close()
        else:
            self._selector.register(client, selectors.EVENT_READ)
        return not isinstance(failure, DeviceFailed)

    def _end_calls_that_nobody_waits_for(self) -> None:
        """Ends the process once a call goes on GRACE_SECS after its client has gone, or has given it up.

        It may never end, and nothing else can end it; others would wait for their turn, and the next job for an answer.
        """
        abandoned, since = None, 0.0
        while True:
            time.sleep(min(1.0, self._grace_secs / 4))
            caller = self._caller
            if caller is None or not caller.is_gone():
                abandoned = None
            elif caller is not abandoned:
                abandoned, since = caller, time.monotonic()
            elif time.monotonic() - since > self._grace_secs:
                _LOG.error(
                    "a call that nobody waits for any more does not end; the process ends, and the next is another"
                )
                os._exit(1)

    @staticmethod
    def _tell(client: Channel, kind: str, value: object = None) -> bool:
        with contextlib.suppress(OSError):
            client.send(kind, value)
            return True
        return False


def _call(
    model: Model, inputs: Mapping[str, Columns], outputs: Sequence[str]
) -> tuple[tuple[str, object], Exception | None]:
    """Runs the model; returns the answer, and what it raised."""
    try:
        return (RESULT, (compact(model.run(inputs, outputs)), device_memory_bytes())), None
    except Exception as error:
        if not isinstance(error, _EXPECTED):
            _LOG.exception("the model failed")
        return (ERROR, encode_error(error)), error


def _is_same_user(connection: socket.socket) -> bool:
    """Whether the other end belongs to this process's user. Where the system can't say, the directory's mode does."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = struct.Struct("3i")  # process, user, group: unix(7)
    _, user, _ = credentials.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    return bool(user == os.getuid())


class _Output(io.FileIO):
    """Standard output, which the worker that started this process reads until it is gone: what comes later is dropped.

    Otherwise a model that prints something would fail.
    """

    def write(self, data: Any, /) -> int:
        """Writes as files do."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _text_output(descriptor: int) -> io.TextIOWrapper:
    """Returns what Python's code prints to."""
    output = io.BufferedWriter(_Output(descriptor, "w", closefd=False))
    return io.TextIOWrapper(output, errors="backslashreplace", line_buffering=True)


def _drop_output_that_nobody_reads() -> None:
    """Waits until the worker that reads this process's output is gone; from then on, all output goes nowhere."""
    poll = select.poll()
    poll.register(2, 0)  # errors are always reported: there is no reader any more
    poll.poll()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


if __name__ == "__main__":
    main()
