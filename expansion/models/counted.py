# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Beam's metrics on threads that are not Beam's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from apache_beam.runners.worker import statesampler

_T = TypeVar("_T")


def counted_here(function: Callable[..., _T]) -> Callable[..., _T]:
    """Returns the function, for another thread to call: what it counts is counted for this thread's step and bundle.

    Beam knows of its own threads what they work for, and drops what is counted in any other.
    """
    tracker = statesampler.get_current_tracker()
    if tracker is None:
        return function
    here = _Here(tracker.current_state())

    def counted(*arguments: Any) -> _T:
        statesampler.set_current_tracker(here)
        try:
            return function(*arguments)
        finally:
            statesampler.set_current_tracker(None)

    return counted


class _Here:
    """Stands for Beam's StateSampler, which changes with what its own thread does; this one stays where it was made."""

    def __init__(self, state: Any):
        self._state = state

    def current_state(self) -> Any:
        return self._state

    def update_metric(self, name: Any, value: Any) -> None:
        if self._state.metrics_container is not None:
            self._state.metrics_container.get_metric_cell(name).update(value)
