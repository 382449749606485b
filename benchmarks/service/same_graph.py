# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Many expansions by many clients: none fails, and a configuration gives the same graph each time."""

from __future__ import annotations

import collections
import hashlib
import random
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.service import load, services
from benchmarks.service.load import Response
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row

CLIENTS = 32


def run(short: bool) -> Row:
    """Expands some configurations again and again, in no order, and once more by a service that is started anew."""
    calls, configurations, of_stock = (200, 10, 3) if short else (10_000, 100, 10)
    with tempfile.TemporaryDirectory(prefix="bml") as folder:
        requests = Requests(Path(folder))
        stock = _call(services.stock, [requests.stock(number) for number in range(of_stock)] * 2)
        distinct = [requests.ours(number) for number in range(configurations)]
        ours = _call(services.ours, distinct * (calls // configurations))
        again = _call(services.ours, distinct)
    different = [key for key, graphs in ours.graphs.items() if len(graphs | again.graphs[key]) > 1]
    distinct_graphs = set().union(*ours.graphs.values())
    failures = len(ours.failures) + len(again.failures)
    return Row(
        f"{calls:,} expansions of {configurations} configurations, {CLIENTS} clients, and a service started anew",
        f"{len(stock.failures)} failures; {stock.changing} of {of_stock} configurations give another graph each time",
        f"{failures} failures; {len(different)} of {configurations} do",
        failures == 0 and not different and len(distinct_graphs) == configurations,
    )


class _Graphs:
    """The graphs that each request has led to, by their hashes, and what has failed."""

    def __init__(self) -> None:
        self.graphs: dict[bytes, set[str]] = collections.defaultdict(set)
        self.failures: list[str] = []

    def see(self, request: ExpansionRequest, response: Response) -> None:
        """Notes a graph."""
        self.graphs[request.SerializeToString(deterministic=True)].add(hash_of(response))

    @property
    def changing(self) -> int:
        """The number of requests with several graphs."""
        return sum(len(graphs) > 1 for graphs in self.graphs.values())


def hash_of(response: Response) -> str:
    """Returns a hash of all that is in a graph: ids, names, tags, payloads, annotations."""
    return hashlib.sha256(response.SerializeToString(deterministic=True)).hexdigest()


def _call(start: Callable[[], AbstractContextManager[services.Service]], requests: list[ExpansionRequest]) -> _Graphs:
    found = _Graphs()
    order = random.Random(0).sample(requests, len(requests))  # noqa: S311
    with start() as service:
        found.failures = load.call(service, order, CLIENTS, found.see).failures
    return found
