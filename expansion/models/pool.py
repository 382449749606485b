# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several models in one process, of which so many are in memory at a time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from expansion.errors import ModelUnavailable, SystemicError, first_line
from expansion.models.signature import Model

# Models that don't load are remembered, as a broken one would be loaded again for every batch otherwise; only so many,
# as the routes may come from data.
_MAX_REMEMBERED = 10_000


class _Refusal(NamedTuple):
    """Why a model can't be used, and until when, by the pool's clock, it is not tried again."""

    until: float
    reason: str


class ModelPool:
    """Models by route, loaded when they are asked for; the one that was not used for longest goes first.

    Used by several threads. A model that is let go is in memory for as long as a thread still runs it.

    Args:
        load: Loads the model of a route.
        size: Models in memory at a time, at least 1; those that are being loaded are among them.
        retry_secs: Seconds for which a model that does not load is not tried again. Default: 0, it is each time.
        count: Gets "loads", "evictions" or "unavailable", each time that a model is loaded, let go or found not to
            load. Default: nobody counts.
        clock: Seconds; never goes back.
    """

    def __init__(
        self,
        load: Callable[[str], Model],
        size: int,
        retry_secs: float = 0.0,
        count: Callable[[str], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._load = load
        self._size = size
        self._retry_secs = retry_secs
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._models: OrderedDict[str, Future[Model]] = OrderedDict()  # the one used last is last
        self._refusals: OrderedDict[str, _Refusal] = OrderedDict()

    def get(self, route: str) -> Model:
        """Returns the model of a route. Threads that ask for one that is being loaded wait for it.

        Raises:
            ModelUnavailable: It does not load, or did not a short while ago.
            SystemicError: The worker lacks the package that runs models of this kind.
        """
        with self._lock:
            self._refuse(route)
            future = self._models.get(route)
            is_mine = future is None
            if future is None:
                self._make_room()
                future = self._models[route] = Future()
            self._models.move_to_end(route)
        if is_mine:
            self._fulfil(route, future)
        return future.result()

    def exclude(self, route: str, reason: str) -> None:
        """Lets a model go that turned out not to be usable; it is as one that does not load."""
        with self._lock:
            self._forget(route, reason)

    def _refuse(self, route: str) -> None:
        refusal = self._refusals.get(route)
        if refusal is None:
            return
        if self._clock() < refusal.until:
            raise ModelUnavailable(refusal.reason)
        del self._refusals[route]

    def _make_room(self) -> None:
        while len(self._models) >= self._size:
            idle = next((route for route, model in self._models.items() if model.done()), None)
            if idle is None:  # other threads load all of them; each has its own batch to run
                return
            del self._models[idle]
            self._count("evictions")

    def _fulfil(self, route: str, future: Future[Model]) -> None:
        try:
            model = self._load(route)
        except BaseException as error:
            with self._lock:
                raised = self._blame(route, error)
            future.set_exception(raised)
            return
        self._count("loads")
        future.set_result(model)

    def _blame(self, route: str, error: BaseException) -> BaseException:
        """Returns what to raise for a model that did not load; forgets it."""
        is_of_all = isinstance(error, ImportError) or isinstance(error.__cause__, ImportError)
        if is_of_all or not isinstance(error, Exception):
            del self._models[route]
            return error
        reason = str(error) if isinstance(error, SystemicError) else f"{type(error).__name__}: {first_line(error)}"
        self._forget(route, reason)
        unavailable = ModelUnavailable(reason)
        unavailable.__cause__ = error
        return unavailable

    def _forget(self, route: str, reason: str) -> None:
        self._models.pop(route, None)
        self._count("unavailable")
        if self._retry_secs:
            self._refusals[route] = _Refusal(self._clock() + self._retry_secs, reason)
            if len(self._refusals) > _MAX_REMEMBERED:
                self._refusals.popitem(last=False)
