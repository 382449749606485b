# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Expansions a second and their median latency, with 1 and 8 clients and a distinct configuration each."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.service import load, services
from benchmarks.service.requests import Requests
from benchmarks.service.row import Row

CLIENTS = 8


def run(short: bool) -> list[Row]:
    """Calls both services, in turns, so that a busy moment of the machine is one of both."""
    count, rounds = (20, 1) if short else (150, 5)
    measured: dict[tuple[str, int], list[load.Load]] = {}
    numbers = load.numbers()
    with tempfile.TemporaryDirectory(prefix="bml") as folder, services.ours() as ours, services.stock() as stock:
        requests = Requests(Path(folder))
        sides = {"stock": (stock, requests.stock), "ours": (ours, requests.ours)}
        for service, make in sides.values():
            load.call(service, map(make, numbers(10)), CLIENTS)  # the first ones take longer
        for _ in range(rounds):
            for side, (service, make) in sides.items():
                for clients in (1, CLIENTS):
                    done = load.call(service, map(make, numbers(count)), clients)
                    measured.setdefault((side, clients), []).append(done)
    one, many = ({side: _Middle(measured[side, clients]) for side in sides} for clients in (1, CLIENTS))
    answered = all(not done.failures for dones in measured.values() for done in dones)
    # In the short form it is enough that they are answered: no test fails on a clock.
    no_slower, many_no_slower = (short or each["ours"].p50_secs <= each["stock"].p50_secs for each in (one, many))
    no_fewer = short or many["ours"].per_second >= one["ours"].per_second
    return [
        Row(
            f"expansions/s and p50, 1 client, {count * rounds} configurations",
            str(one["stock"]),
            str(one["ours"]),
            answered and no_slower,
        ),
        Row(
            f"the same, {CLIENTS} clients (ours: no fewer a second than with 1)",
            str(many["stock"]),
            str(many["ours"]),
            answered and many_no_slower and no_fewer,
        ),
    ]


class _Middle:
    """The middle one of several loads."""

    def __init__(self, loads: list[load.Load]):
        self.per_second = statistics.median(done.per_second for done in loads)
        self.p50_secs = statistics.median(done.p50_secs for done in loads)

    def __str__(self) -> str:
        return f"{self.per_second:.0f}/s, {1e3 * self.p50_secs:.0f} ms"
