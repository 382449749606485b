# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls that are waited for no longer than they may take."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_Calls = queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class OutOfTime(Exception):  # noqa: N818 - what happened; that it is an error is the caller's to say
    """A call took longer than it may."""


class TimeLimit:
    """Makes calls on a thread of its own, one at a time, and gives up those that take too long.

    A call can't be stopped: one that is given up keeps its thread until it returns, and the next one gets another. Such
    a thread, unlike those of ThreadPoolExecutor, does not keep the process from ending.

    Args:
        timeout_secs: Seconds that a call may take.
    """

    def __init__(self, timeout_secs: float):
        self._timeout_secs = timeout_secs
        self._calls: _Calls | None = None

    def __del__(self) -> None:
        self._let_thread_end()

    def run(self, call: Callable[[], _Result]) -> _Result:
        """Returns what a call returns, or raises what it raises.

        Raises:
            OutOfTime: It takes longer.
        """
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=_make_calls, args=(self._calls,), name="model", daemon=True).start()
        result: Future[_Result] = Future()
        self._calls.put((result, call))
        if not wait([result], self._timeout_secs).done:
            self._let_thread_end()
            raise OutOfTime
        return result.result()

    def _let_thread_end(self) -> None:
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _make_calls(calls: _Calls) -> None:
    while work := calls.get():
        result, call = work
        try:
            result.set_result(call())
        except BaseException as error:  # it is raised where the result is waited for
            result.set_exception(error)
        del work, result, call  # and with them the batch
