# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The model at the newest of several uris, and what becomes of one that can't be used: model_uris."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from expansion.errors import ModelUnavailable
from expansion.models.pool import ModelPool
from expansion.models.signature import Model

# The newest, and the one before it, which other threads may still be asked for.
_MODELS = 2
# Models that can't be used are remembered, so that each is logged once; only so many, as a job may run for years.
_MAX_REMEMBERED = 1000

_LOG = logging.getLogger(__name__)


class Found(NamedTuple):
    """A model, and where it is."""

    uri: str
    model: Model


class NewestModel:
    """Models by uri, of which the newest is used, or the one before it where that can't be. Used by several threads.

    Args:
        load: Loads the model at a uri, and makes sure that it is like the others.
        retry_secs: Seconds for which a model that can't be used is not tried again, where there is another one.
        count: Gets "refreshes" when a model replaces another, and "failures" the first time that one can't be used.
        clock: Seconds; never goes back.
    """

    def __init__(
        self,
        load: Callable[[str], Model],
        retry_secs: float,
        count: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._load = load
        self._pool = ModelPool(self._loaded, _MODELS)
        self._retry_secs = retry_secs
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._has_loaded = False
        self._refused: dict[str, float] = {}  # until when, by uri

    def get(self, uris: Sequence[str]) -> Found:
        """Returns the first model that can be used.

        Args:
            uris: Where models are, the newest first; at least one.

        Raises:
            ModelUnavailable: None can be; it says why the newest can't.
            SystemicError: The worker lacks the package that runs models of this kind.
        """
        errors: dict[str, ModelUnavailable] = {}
        for uri in sorted(uris, key=self._is_refused):  # those last, in case that there is no other
            found = self._tried(uri)
            if isinstance(found, Found):
                return found
            errors[uri] = found
        raise errors[uris[0]]

    def exclude(self, uri: str, reason: str) -> None:
        """Lets a model go that turned out not to be usable; it is as one that does not load."""
        self._pool.exclude(uri, reason)
        self._refuse(uri, reason)

    def _tried(self, uri: str) -> Found | ModelUnavailable:
        try:
            return Found(uri, self._pool.get(uri))
        except ModelUnavailable as error:
            self._refuse(uri, str(error))
            return error

    def _loaded(self, uri: str) -> Model:
        model = self._load(uri)
        with self._lock:
            replaces, self._has_loaded = self._has_loaded, True
        if replaces:
            _LOG.info("model %s is taken into use", uri)
            self._count("refreshes")
        return model

    def _is_refused(self, uri: str) -> bool:
        return self._clock() < self._refused.get(uri, -math.inf)

    def _refuse(self, uri: str, reason: str) -> None:
        with self._lock:
            is_new = uri not in self._refused
            self._refused[uri] = self._clock() + self._retry_secs
            if len(self._refused) > _MAX_REMEMBERED:
                del self._refused[next(iter(self._refused))]
        if is_new:
            _LOG.warning("model %s is not used, the one before it is: %s", uri, reason)
            self._count("failures")
