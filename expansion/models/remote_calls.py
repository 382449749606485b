# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How remote models are called, whatever the protocol: attempts and the waits between them, rate, parts of a batch.

Metrics of remote models, in the namespace of all others:

- ``num_remote_requests``: requests that were sent, those that were repeated included;
- ``num_remote_retries``: those among them that repeated one that had failed;
- ``remote_request_milli_secs``: how long each took, without waits.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from expansion.contract._gen import model_pb2
from expansion.contract.urns import METRICS_NAMESPACE
from expansion.errors import Problem, SystemicError

DEFAULT_TIMEOUT_SECS = 30.0
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_BACKOFF_SECS = 5.0
# How much longer each wait is than the one before, and the longest of them. The default's two waits take at least 16
# seconds, and so outlive an outage of ten and the start of a server.
_BACKOFF_FACTOR = 3.0
_MAX_BACKOFF_SECS = 60.0
# Waits are this much shorter or longer at random, lest workers that failed together come back together.
_JITTER = 0.2
# The longest wait that a server may ask for.
_MAX_RETRY_AFTER_SECS = 120.0

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


class Unavailable(Exception):  # noqa: N818 - it names a state that passes
    """An attempt failed for a reason that may pass, and that has nothing to do with the rows.

    Attributes:
        retry_after_secs: How long the server asks to wait at least; None if it does not say.
    """

    def __init__(self, reason: str, retry_after_secs: float | None = None):
        self.retry_after_secs = retry_after_secs
        super().__init__(reason)


class TooLarge(Exception):  # noqa: N818 - it says what the request is
    """The server does not take a request of this size, or can't send an answer of its size."""


@dataclass(frozen=True)
class Clock:
    """What tells the time, waits and draws lots; tests have others."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform


_SYSTEM_CLOCK = Clock()


def check_calls(calls: model_pb2.RemoteCalls) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    for field, value in calls.ListFields():
        if not 0 <= value < float("inf"):
            yield Problem(field.name, f"got {value:g}; expected a positive number, or 0 for the default")


class RemoteCalls:
    """Calls a server. Used by several threads at once.

    Args:
        calls: The settings; what is not set has its default.
        server: What is called, for messages.
        clock: For tests. Default: the system's.
    """

    def __init__(self, calls: model_pb2.RemoteCalls, server: str, clock: Clock = _SYSTEM_CLOCK):
        self.timeout_secs: float = calls.timeout_secs or DEFAULT_TIMEOUT_SECS
        self.max_attempts: int = calls.max_attempts or DEFAULT_MAX_ATTEMPTS
        self._backoff_secs = calls.backoff_secs or DEFAULT_BACKOFF_SECS
        self._max_rows = calls.max_rows_per_request
        self._rate = RateLimit(calls.max_requests_per_second, clock)
        self._server = server
        self._clock = clock
        self._metrics = _Metrics()

    def limit_rows(self, max_rows: int) -> None:
        """Makes requests no larger than the server takes."""
        self._max_rows = min(self._max_rows or max_rows, max_rows)

    def in_parts(self, row_count: int, send: Callable[[int, int], _T]) -> list[_T]:
        """Sends a batch in as few requests as the server takes.

        A size that turns out to be too large is not tried again, unless it was one row's fault.

        Args:
            row_count: Rows of the batch.
            send: Sends the rows from one index to another, and raises TooLarge if they are too many.

        Returns:
            What ``send`` returned, in order.

        Raises:
            ValueError: A row by itself is too large.
            Exception: Whatever else ``send`` raises.
        """
        results: list[_T] = []
        before, start = self._max_rows, 0
        while start < row_count:
            size = min(self._max_rows or row_count, row_count - start)
            try:
                results.append(send(start, start + size))
            except TooLarge as error:
                if size == 1:
                    self._max_rows = before
                    raise ValueError(f"the row is too large for {self._server}: {error}") from error
                self._max_rows = size // 2
                _LOG.warning("%s: %s; sending %d rows at a time", self._server, error, self._max_rows)
            else:
                start += size
        return results

    def request(self, attempt: Callable[[int], _T]) -> _T:
        """Makes one request, in several attempts if need be.

        Args:
            attempt: Makes the request once, within ``timeout_secs``, and raises Unavailable if it may be tried again;
                gets the number of the attempt, from 1.

        Raises:
            SystemicError: No attempt succeeded.
            Exception: Whatever else ``attempt`` raises.
        """
        for count in range(1, self.max_attempts + 1):
            self._rate.wait()
            self._metrics.requests.inc()
            if count > 1:
                self._metrics.retries.inc()
            start = self._clock.now()
            try:
                return attempt(count)
            except Unavailable as error:
                if count == self.max_attempts:
                    reason = f"{self._server} failed {count} time(s), the last time with: {error}"
                    fix = "see to the server, or allow more attempts with calls.max_attempts"
                    raise SystemicError(f"{reason}; {fix}") from error
                wait = self._wait_secs(count, error.retry_after_secs)
                _LOG.warning("%s: %s; trying again in %.1f s", self._server, error, wait)
            finally:
                self._metrics.duration.update(round(1e3 * (self._clock.now() - start)))
            self._clock.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _wait_secs(self, failures: int, retry_after_secs: float | None) -> float:
        """Returns for how long to wait after so many failures: as the server says, or longer with each of them."""
        if retry_after_secs is not None:
            # Never less than asked for.
            return min(retry_after_secs, _MAX_RETRY_AFTER_SECS) * self._clock.uniform(1, 1 + _JITTER)
        backoff = min(self._backoff_secs * _BACKOFF_FACTOR ** (failures - 1), _MAX_BACKOFF_SECS)
        return backoff * self._clock.uniform(1 - _JITTER, 1 + _JITTER)


class RateLimit:
    """A token bucket that holds one token: requests start at even distances, with no burst after a pause.

    Args:
        per_second: Requests that may start in a second; 0 is no limit.
        clock: What tells the time and waits.
    """

    def __init__(self, per_second: float, clock: Clock):
        self._interval = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next = float("-inf")

    def wait(self) -> None:
        """Waits until it is this thread's turn."""
        if not self._interval:
            return
        with self._lock:
            now = self._clock.now()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._clock.sleep(turn - now)


class _Metrics:
    """Beam's counters. Beam is imported here, as configurations are checked without it."""

    def __init__(self) -> None:
        from apache_beam.metrics import Metrics

        self.requests = Metrics.counter(METRICS_NAMESPACE, "num_remote_requests")
        self.retries = Metrics.counter(METRICS_NAMESPACE, "num_remote_retries")
        self.duration = Metrics.distribution(METRICS_NAMESPACE, "remote_request_milli_secs")
