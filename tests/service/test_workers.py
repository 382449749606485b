# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Workers by themselves, without a server: what they keep of calls."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from expansion.contract._gen.server_pb2 import Limits
from expansion.service import workers as workers_module
from expansion.service.limits import filled
from expansion.service.workers import Workers


class Request:
    """Stands in for a large one."""


class AbortedError(Exception):
    pass


class Context:
    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []
        self.code: Any = None

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.callbacks.append(callback)
        return True

    def abort(self, code: Any, details: str) -> None:
        self.code = code
        raise AbortedError(details)

    def cancel(self) -> None:
        for callback in self.callbacks:
            callback()


class Caller:
    """Makes a call in a thread of its own and keeps nothing of it but its context."""

    def __init__(self, workers: Workers, handler: Callable[[Any, Any], Any]):
        self.context = Context()
        request = Request()
        self.request = weakref.ref(request)
        self._thread = threading.Thread(target=self._call, args=(workers, handler, request), daemon=True)
        self._thread.start()

    def _call(self, workers: Workers, handler: Callable[[Any, Any], Any], request: Request) -> None:
        with contextlib.suppress(AbortedError):
            workers.run(handler, request, self.context)

    def join(self) -> None:
        self._thread.join(60)
        self.context.callbacks.clear()  # gRPC lets go of them when the call has ended


def until(condition: Callable[[], bool]) -> None:
    """Waits for what comes about some time, on a slow machine too."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it has not come about within 60 seconds")


@pytest.fixture
def ends() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def make() -> Iterator[Callable[..., Workers]]:
    made: list[Workers] = []

    def make(**limits: float) -> Workers:
        made.append(Workers(filled(Limits(**limits))))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


def busy_one(workers: Workers, ends: threading.Event) -> Caller:
    """Makes a call that has its worker until the event."""
    started = threading.Event()
    caller = Caller(workers, lambda request, context: started.set() or ends.wait(300))
    assert started.wait(60)
    return caller


def is_let_go(caller: Caller) -> bool:
    gc.collect()
    return caller.request() is None


def test_requests_of_clients_that_have_gone_are_let_go_while_all_workers_are_busy(make, ends):
    workers = make(workers=1, max_waiting_calls=2)
    busy = busy_one(workers, ends)
    gone = []
    for _ in range(20):
        caller = Caller(workers, lambda request, context: None)
        until(lambda: workers.waiting == 1)
        caller.context.cancel()
        caller.join()
        gone.append(caller)
    assert (workers.admitted, workers.running, workers.waiting) == (1, 1, 0)
    assert all(is_let_go(caller) for caller in gone)
    ends.set()
    busy.join()
    assert workers.admitted == 0


def test_requests_that_have_waited_past_the_deadline_are_let_go_while_all_workers_hang(make, ends):
    workers = make(workers=1, max_waiting_calls=20, deadline_secs=0.2)
    while workers.stuck < 4:  # the worker, and those that take its place
        Caller(workers, lambda request, context: ends.wait(300)).join()
    Caller(workers, lambda request, context: ends.wait(300)).join()  # the last one
    late = [Caller(workers, lambda request, context: None) for _ in range(12)]
    for caller in late:
        caller.join()
    assert (workers.admitted, workers.waiting) == (0, 0)
    assert all(is_let_go(caller) for caller in late)


def test_an_answered_request_is_let_go_before_the_next_one_comes(make):
    workers = make(workers=1)
    caller = Caller(workers, lambda request, context: "answer")
    caller.join()
    until(lambda: is_let_go(caller))


def test_calls_are_answered_in_the_order_in_which_they_came(make, ends):
    workers, answered = make(workers=1), []
    callers = [busy_one(workers, ends)]
    for number in range(5):
        callers.append(Caller(workers, lambda request, context, number=number: answered.append(number)))
        until(lambda number=number: workers.waiting == number + 1)
    ends.set()
    for caller in callers:
        caller.join()
    assert answered == [0, 1, 2, 3, 4]


def test_calls_that_come_at_once_are_answered_one_after_another(make, monkeypatch):
    monkeypatch.setattr(workers_module, "_ALONE_SECS", 300.0)
    workers, at_once = make(workers=8), []
    running = threading.Semaphore(1)

    def handler(request: Any, context: Any) -> None:
        at_once.append(not running.acquire(blocking=False))
        time.sleep(0.01)  # has others run, as reading a file does
        running.release()

    callers = [Caller(workers, handler) for _ in range(40)]
    for caller in callers:
        caller.join()
    assert at_once == [False] * 40


def test_a_call_that_takes_long_does_not_keep_others_waiting(make, ends):
    workers = make(workers=2)
    slow = busy_one(workers, ends)
    for _ in range(5):
        Caller(workers, lambda request, context: None).join()
    assert (workers.admitted, workers.running) == (1, 1)
    ends.set()
    slow.join()


def test_as_many_calls_that_take_long_are_worked_on_at_once_as_there_are_workers(make):
    workers = make(workers=4)
    all_there = threading.Barrier(4)
    callers = [Caller(workers, lambda request, context: all_there.wait(60)) for _ in range(12)]
    for caller in callers:
        caller.join()
    assert not all_there.broken
    assert workers.admitted == 0


def test_calls_that_wait_behind_one_that_hangs_are_all_answered(make, ends):
    workers, answered = make(workers=8), []
    slow = busy_one(workers, ends)
    callers = [Caller(workers, lambda request, context, n=n: answered.append(n)) for n in range(200)]
    for caller in callers:
        caller.join()
    assert sorted(answered) == list(range(200))
    ends.set()
    slow.join()


def test_threads_of_closed_workers_end_once_the_last_call_has_been_answered(make, ends):
    workers, answered = make(workers=4), []
    before = set(threading.enumerate())
    slow = busy_one(workers, ends)
    callers = [Caller(workers, lambda request, context, n=n: answered.append(n)) for n in range(20)]
    workers.close()
    ends.set()
    for caller in (slow, *callers):
        caller.join()
    assert sorted(answered) == list(range(20))
    until(lambda: not [each for each in threading.enumerate() if each.name == "expansion" and each not in before])
