# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Clients that call a service at the same time, each over a connection of its own."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from apache_beam.portability.api import beam_expansion_api_pb2

from benchmarks.service.services import Service, stub_of

CALL_SECS = 60.0
Response = beam_expansion_api_pb2.ExpansionResponse


@dataclass(frozen=True)
class Load:
    """What calls took.

    Attributes:
        count: Calls that were answered with a graph.
        failures: What the others were answered with, or raised.
        seconds: From the first call to the last answer.
        latencies_secs: Of each call that was answered with a graph.
    """

    count: int
    failures: list[str]
    seconds: float
    latencies_secs: list[float]

    @property
    def per_second(self) -> float:
        """Graphs a second."""
        return self.count / self.seconds

    @property
    def p50_secs(self) -> float:
        """Half of the calls took no longer."""
        return statistics.median(self.latencies_secs)


def call(
    service: Service,
    requests: Iterable[beam_expansion_api_pb2.ExpansionRequest],
    clients: int,
    see: Callable[[beam_expansion_api_pb2.ExpansionRequest, Response], None] = lambda request, response: None,
) -> Load:
    """Makes calls; each client makes its next one when it has the answer to the one before.

    Args:
        service: The service.
        requests: One a call. Those that are made on the way take time of the clients.
        clients: Number of clients.
        see: Called with each graph, on the client's thread.
    """
    pending, latencies, failures = iter(list(requests)), [], []

    def work() -> None:
        with service.channel() as channel:
            stub = stub_of(channel)
            for request in iter(lambda: next(pending, None), None):
                began = time.monotonic()
                try:
                    response = stub.Expand(request, timeout=CALL_SECS)
                except Exception as error:
                    failures.append(str(error))
                    continue
                if response.error:
                    failures.append(response.error)
                    continue
                latencies.append(time.monotonic() - began)
                see(request, response)

    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(work) for _ in range(clients)]:
            done.result()
    return Load(len(latencies), failures, time.monotonic() - began, latencies)


def numbers() -> Callable[[int], range]:
    """Returns what gives out ranges of numbers, none of them twice."""
    next_one = itertools.count()
    return lambda count: range(first := next(next_one) * 1_000_000, first + count)
