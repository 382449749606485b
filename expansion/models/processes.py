# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Copies of a model in processes of their own, shared by all workers of a machine: large_model and model_copies.

Whichever worker comes first starts them; they outlive it, and end when no worker has been connected for a while. What
they need is in a directory that only this user can enter, two files for each copy, named for the configuration. It lies
where temporary files do: workers for which that is another place (TMPDIR) have copies of their own. The files:

- ``.lock`` is locked for as long as the copy's process runs, so there is never a second one. Who wants to start one
  takes the lock first, and hands it to the process.
- ``.socket`` is what the process listens on. It is there before the process is, so that all can connect at once, and
  learn alike that the model is loaded, or why it can't be.

A call asks all copies for a turn and takes the first that is given, so that no copy is idle while calls wait, and
nobody has to know how busy another process is: late binding, as in https://doi.org/10.1145/2517349.2522716 (Sparrow).

A process's output goes to the log of the worker that started it; after that worker's end, nowhere.
"""

from __future__ import annotations

import enum
import hashlib
import multiprocessing.connection
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expansion import models
from expansion.contract._gen import model_pb2
from expansion.errors import SystemicError
from expansion.models.file_version import file_version
from expansion.models.process_channel import (
    ERROR,
    FAILED,
    GONE,
    NO,
    RUN,
    WANT,
    Build,
    Channel,
    Start,
    compact_inputs,
    decode_error,
)
from expansion.models.process_copy import Copy, stems
from expansion.models.time_limit import OutOfTime
from expansion.tensors.columns import Column, Columns


def connect(
    model: model_pb2.Model,
    copies: int,
    warm_up: tuple[Mapping[str, Columns], Sequence[str]] | None = None,
    build: Build = models.build,
    note_device_memory: Callable[[int], None] = lambda count: None,
) -> ProcessModel:
    """Connects to the copies of a model on this machine, starting those that do not run; waits until they are loaded.

    A job that begins while the processes of another one linger gets them, unless the model's files have changed. A
    change to the source of a model's class is not noticed. With refresh_interval_secs, each version of the files has
    processes of its own; those of the one before end some time after the last worker has let go of it.

    Args:
        model: The configuration, the same for all who share the copies.
        copies: Their number, at least 1.
        warm_up: Inputs and outputs of a run that each copy makes when it has loaded the model. Default: none.
        build: An importable function that makes of the configuration what the processes run; one that has ``close`` is
            closed before its process ends. Default: the model.
        note_device_memory: Gets the bytes that the process which ran a batch has in use on GPUs, after each.

    Returns:
        A model that runs where a copy is free; see expansion.models.signature.Model.

    Raises:
        SystemicError: The model can't be loaded, or a process can't be started.
    """
    _, message = models.framework(model)
    uri = str(message.uri)
    config = model.SerializeToString(deterministic=True)
    # Workers of another installation, or in another directory if the path is a relative one, mean another model.
    place = uri if "://" in uri else os.path.abspath(uri)
    content = _content(uri)
    version = content if model.refresh_interval_secs else ""
    key = hashlib.sha256("\0".join((sys.executable, place, version)).encode() + config).hexdigest()
    start = Start(config, build, copies, content, warm_up)
    env_vars = dict(model.env_vars)
    connected = ProcessModel([Copy(stem, start, env_vars) for stem in stems(key, copies)], note_device_memory)
    connected.wait_until_loaded()
    return connected


class ProcessModel:
    """A model in other processes. Used by several threads at once, each on a lane of its own."""

    def __init__(self, copies: Sequence[Copy], note_device_memory: Callable[[int], None]):
        self._copies = copies
        self._note_device_memory = note_device_memory
        self._free: list[_Lane] = []

    def wait_until_loaded(self) -> None:
        """Waits until every copy can be used.

        Raises:
            SystemicError: One of them can't be loaded.
        """
        lane = _Lane(self._copies)
        lane.wait_until_loaded()
        self._free.append(lane)

    def run(
        self, inputs: Mapping[str, Columns], outputs: Sequence[str], timeout_secs: float | None = None
    ) -> dict[str, Column]:
        """Runs the model on a batch, where a copy is free; waits while none is. Restarts copies that have ended.

        Exceptions are the model's own if they are Python's or this package's; others become the first of these that
        they derive from.

        Args:
            inputs: As in Model.
            outputs: As in Model.
            timeout_secs: Seconds that the model may take, once it is this call's turn. Default: no limit.

        Raises:
            SystemicError: The process has ended while it ran the batch.
            OutOfTime: The model takes longer. If it does not return soon after, its process is ended.
        """
        try:
            lane = self._free.pop()
        except IndexError:
            lane = _Lane(self._copies)
        try:
            kind, value = lane.call(inputs, outputs, timeout_secs)
        except BaseException:  # something may be left in it, and a copy may wait for its turn to be taken
            lane.close()
            raise
        self._free.append(lane)
        if kind == ERROR:
            raise decode_error(value)
        result: dict[str, Column]
        result, device_memory = value
        self._note_device_memory(device_memory)
        return result


class _State(enum.Enum):
    """What the next message on a connection will be about."""

    LOADING = enum.auto()  # whether the model is loaded
    IDLE = enum.auto()  # nothing: no message will come
    ASKED = enum.auto()  # our turn
    DECLINED = enum.auto()  # our turn, which another copy was faster to give


@dataclass
class _Seat:
    """A connection to one copy.

    Attributes:
        copy: The copy.
        channel: The connection.
        hopeless: Whether there is no use in connecting again if its process ends before the model is loaded.
        state: What is waited for.
    """

    copy: Copy
    channel: Channel
    hopeless: bool
    state: _State = _State.LOADING


class _Lane:
    """A connection to each copy. It serves one call at a time."""

    def __init__(self, copies: Sequence[Copy]):
        self._copies = copies
        self._seats: list[_Seat] = []
        self._lost: set[Copy] = set()  # copies whose process ended before it said that the model is loaded

    def wait_until_loaded(self) -> None:
        """Waits until every copy can be used."""
        self._sit_down()
        while any(seat.state is _State.LOADING for seat in self._seats):
            self._hear()
            self._sit_down()

    def close(self) -> None:
        """Ends all connections."""
        for seat in self._seats:
            seat.channel.close()

    def call(
        self, inputs: Mapping[str, Columns], outputs: Sequence[str], timeout_secs: float | None
    ) -> tuple[str, Any]:
        """Runs the model; returns RESULT or ERROR, with what it says."""
        call = compact_inputs(inputs), list(outputs)
        seat = self._wait_for_turn()
        try:
            seat.channel.send(RUN, call)
            if not seat.channel.has_news(timeout_secs):
                raise OutOfTime
            answer = seat.channel.receive()
        except OSError as error:
            raise SystemicError(
                "the model's process ended while it ran a batch; perhaps the machine has too little memory"
            ) from error
        seat.state = _State.IDLE
        return answer

    def _wait_for_turn(self) -> _Seat:
        while True:
            self._sit_down()
            for seat in self._seats.copy():
                if seat.state is _State.IDLE:
                    self._say(seat, WANT, _State.ASKED)
            chosen = self._hear() if self._seats else None
            if chosen:
                for seat in self._seats.copy():
                    if seat.state is _State.ASKED and seat is not chosen:
                        self._say(seat, NO, _State.DECLINED)
                return chosen

    def _sit_down(self) -> None:
        """Connects to the copies to which there is no connection."""
        there = [seat.copy for seat in self._seats]
        for copy in self._copies:
            if copy not in there:
                channel, started = copy.dial()
                self._seats.append(_Seat(copy, channel, started or copy in self._lost))

    def _say(self, seat: _Seat, kind: str, state: _State) -> None:
        try:
            seat.channel.send(kind)
            seat.state = state
        except OSError:
            self._seats.remove(seat)

    def _hear(self) -> _Seat | None:
        """Waits for one message, whoever sends it; returns the seat if it is our turn there."""
        seats = {seat.channel.fileno(): seat for seat in self._seats}
        seat = next(seats[ready] for ready in multiprocessing.connection.wait(seats) if isinstance(ready, int))
        was = seat.state
        try:
            kind, value = seat.channel.receive()
        except OSError:
            self._lose(seat)
            return None
        if kind == FAILED:
            raise SystemicError(value)
        if kind == GONE:
            self._seats.remove(seat)
        elif was is _State.ASKED:
            return seat
        self._lost.discard(seat.copy)
        seat.state = _State.IDLE
        return None

    def _lose(self, seat: _Seat) -> None:
        """Gives up a connection whose process has ended.

        Raises:
            SystemicError: It seems to have ended because of the model, and not as one that was about to end anyway.
        """
        self._seats.remove(seat)
        if seat.state is not _State.LOADING:
            return
        if seat.hopeless:
            reason = "its process ended before it was loaded; the log says more, or the machine has too little memory"
            raise SystemicError(f"the model can't be loaded: {reason}")
        self._lost.add(seat.copy)


def _content(uri: str) -> str:
    """Returns a fingerprint of what is at a model's URI; empty if unknown, as of a class without files."""
    try:
        return file_version(uri).fingerprint if uri else ""
    except SystemicError:  # what can't be read fails when it is loaded
        return ""
