# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls that wait for something else than this machine, many at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from expansion.models.counted import counted_here

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_parallel(call: Callable[[_Item], _Result], items: Sequence[_Item], thread_count: int) -> list[_Result]:
    """Calls a function with each item, on threads of their own; what they count is counted for this thread's step.

    Such threads, unlike those of ThreadPoolExecutor, do not keep the process from ending.

    Args:
        call: The function.
        items: Its arguments.
        thread_count: Calls at a time, at most.

    Returns:
        The results, in the order of the items.

    Raises:
        Exception: The first that a call raises; calls that have begun are waited for, no other begins.
    """
    left: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(items)):
        left.put(index)
    results: dict[int, _Result] = {}
    failures: list[BaseException] = []
    counted = counted_here(call)

    def work() -> None:
        while not failures:
            try:
                index = left.get_nowait()
            except queue.Empty:
                return
            try:
                results[index] = counted(items[index])
            except BaseException as error:  # raised where the results are waited for
                failures.append(error)

    threads = [threading.Thread(target=work, name="call", daemon=True) for _ in range(min(thread_count, len(items)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(items))]
