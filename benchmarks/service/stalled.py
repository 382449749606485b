# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clients that cancel their calls, or stall in the middle of one: what they leave behind, and whether others get on."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from benchmarks.service import services
from benchmarks.service.load import CALL_SECS
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row

EACH = 16  # of each kind of client, at a time
_KINDS = 3
_EXPAND = "/org.apache.beam.model.expansion.v1.ExpansionService/Expand"
# Half of what an HTTP/2 connection starts with: https://www.rfc-editor.org/rfc/rfc9113.html#section-3.4
_HALF_A_PREFACE = b"PRI * HTTP/2.0"
_SETTLE_SECS = 60.0
# Pools of threads grow until they have one for each call that there was at one time, which differs from round to round
# and is this at most; a thread lost for each client would be many more, also in the short form.
_MORE_THREADS = _KINDS * EACH


def run(short: bool) -> Row:
    """Lets them come in rounds; what the first one leaves behind, such as pools of threads, is the service's own."""
    rounds = 3 if short else 1 + 1000 // (_KINDS * EACH) + 1
    with tempfile.TemporaryDirectory(prefix="bml") as folder, services.ours() as service:
        requests = Requests(Path(folder))
        answered = 0
        idle = _Kept.by(service)
        _round(service, requests, 0)
        before = _settle(service, _Kept(1000, idle.descriptors))
        for number in range(1, rounds):
            answered += _round(service, requests, number)
        after = _settle(service, before)
    clients = (rounds - 1) * _KINDS * EACH
    return Row(
        f"{clients:,} clients that cancel or stall, {_KINDS * EACH} at a time",
        "–",
        f"threads {before.threads} → {after.threads}, descriptors {before.descriptors} → {after.descriptors}; "
        f"{answered} of {rounds - 1} calls of others answered meanwhile",
        after.is_no_more_than(before) and answered == rounds - 1,
    )


class _Kept:
    """What a service holds."""

    def __init__(self, threads: int, descriptors: int):
        self.threads, self.descriptors = threads, descriptors

    @classmethod
    def by(cls, service: services.Service) -> _Kept:
        return cls(service.thread_count(), service.descriptor_count())

    def is_no_more_than(self, other: _Kept) -> bool:
        return self.threads <= other.threads + _MORE_THREADS and self.descriptors <= other.descriptors


def _round(service: services.Service, requests: Requests, number: int) -> bool:
    """Lets a round of clients come and go; returns whether another client was answered meanwhile."""
    with contextlib.ExitStack() as stack:
        for _ in range(EACH):
            stack.enter_context(_half_connected(service))
            stack.enter_context(_stalled_call(service))
            stack.enter_context(_cancelled_call(service, requests.ours(number)))
        with service.channel() as channel:
            try:
                answered = not services.stub_of(channel).Expand(requests.ours(number), timeout=CALL_SECS).error
            except grpc.RpcError:
                answered = False
    return answered


@contextlib.contextmanager
def _half_connected(service: services.Service) -> Iterator[None]:
    """A connection on which nothing follows."""
    host, _, port = service.address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(_HALF_A_PREFACE)
        yield


@contextlib.contextmanager
def _stalled_call(service: services.Service) -> Iterator[None]:
    """A call whose message never comes."""
    over = threading.Event()

    def messages() -> Iterator[bytes]:
        over.wait()
        yield from ()

    with service.channel() as channel:
        grpc.channel_ready_future(channel).result(services.START_SECS)
        call = channel.stream_unary(_EXPAND).future(messages())
        try:
            yield
        finally:
            call.cancel()
            over.set()


@contextlib.contextmanager
def _cancelled_call(service: services.Service, request: ExpansionRequest) -> Iterator[None]:
    """A call that its client gives up as soon as it is made."""
    with service.channel() as channel:
        call = services.stub_of(channel).Expand.future(request)
        call.cancel()
        yield


def _settle(service: services.Service, before: _Kept) -> _Kept:
    """Waits until the service has noticed that they have gone."""
    deadline = time.monotonic() + _SETTLE_SECS
    while not (kept := _Kept.by(service)).is_no_more_than(before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return kept
