# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Memory that distinct configurations and input schemas leave behind, and what they leave in the temp folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.service import load, services
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row

MOST_BYTES = 10 << 20
# What an allocator moves up and down by without anything being kept.
_NOISE_BYTES = 2 << 20
_CLIENTS = 2
# Expansions that do not count: the first ones import modules and fill caches.
_WARM_UP = 200


@dataclass(frozen=True)
class Growth:
    """What a number of expansions have left behind, after some that do not count.

    Attributes:
        count: Their number.
        whole_bytes: Resident memory after all of them, less that before.
        second_half_bytes: The same of the second half.
        temp_count: Files and directories in the service's temp folder.
        failures: What failed.
    """

    count: int
    whole_bytes: int
    second_half_bytes: int
    temp_count: int
    failures: int

    def is_little(self, count: int) -> bool:
        """Says whether ``count`` of them leave no more than they may, by the slope of these."""
        return self.whole_bytes * count <= MOST_BYTES * self.count

    @property
    def holds(self) -> bool:
        """Whether they leave little, the second half of them nothing, and no files."""
        flat = self.second_half_bytes <= _NOISE_BYTES
        return self.is_little(self.count) and flat and self.temp_count == 0 and self.failures == 0

    def __str__(self) -> str:
        each, whole, half = (
            f"{number / 2**scale:+.1f}"
            for number, scale in (
                (self.whole_bytes / self.count, 10),
                (self.whole_bytes, 20),
                (self.second_half_bytes, 20),
            )
        )
        kept = f"{self.temp_count} in the temp folder"
        return f"{whole} MiB after {self.count:,} ({each} KiB each; second half {half} MiB), {kept}"


def run(short: bool) -> Row:
    """Measures ours, and Beam's own on fewer; their slope is judged."""
    count, of_stock = (300, 60) if short else (10_000, 1000)
    with tempfile.TemporaryDirectory(prefix="bml") as folder:
        requests = Requests(Path(folder))
        with services.ours() as service:
            ours = grow(service, requests.ours, _WARM_UP, count)
        with services.stock() as service:
            stock = grow(service, requests.stock, 20 if short else _WARM_UP, of_stock)
    what = f"memory after {count:,} distinct configurations and input schemas; the check fails on stock, by slope"
    return Row(what, str(stock), str(ours), ours.holds and not stock.is_little(10_000))


def grow(service: services.Service, make: Callable[[int, int], ExpansionRequest], warm_up: int, count: int) -> Growth:
    """Expands distinct configurations of distinct input schemas, ``warm_up`` of them before it measures."""
    failures, resident = 0, []
    first = 0
    for size in (warm_up, count // 2, count - count // 2):
        for start in range(first, first + size, 500):  # requests take memory too
            numbers = range(start, min(start + 500, first + size))
            done = load.call(service, [make(number, number) for number in numbers], _CLIENTS)
            failures += len(done.failures)
        first += size
        resident.append(service.resident_bytes())
    return Growth(count, resident[2] - resident[0], resident[2] - resident[1], service.temp_count(), failures)
