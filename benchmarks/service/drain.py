# Licensed under the Apache License, Version 2.0; see LICENSE.
"""SIGTERM while calls are in flight: how many of them are lost."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import grpc

from benchmarks.service import services
from benchmarks.service.load import CALL_SECS
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row

IN_FLIGHT = 64
_EXIT_SECS = 60.0


def run(short: bool) -> Row:
    """Ends each service some times, with a call of each of many clients in flight."""
    repeats, of_stock = (1, 1) if short else (20, 3)
    with tempfile.TemporaryDirectory(prefix="bml") as folder:
        requests = Requests(Path(folder))
        stock, _ = _lost(services.stock, requests.stock, of_stock, ends=False)
        ours, codes = _lost(services.ours, requests.ours, repeats, ends=True)
    clean = codes == {0}
    return Row(
        f"SIGTERM with {IN_FLIGHT} calls in flight × {repeats}",
        f"{stock} of {of_stock * IN_FLIGHT} lost",
        f"{ours} of {repeats * IN_FLIGHT} lost, {'exit code 0' if clean else f'exit codes {sorted(codes)}'}",
        ours == 0 and clean and stock > 0,
    )


def _lost(
    start: Callable[[], AbstractContextManager[services.Service]],
    make: Callable[[int], ExpansionRequest],
    repeats: int,
    ends: bool,
) -> tuple[int, set[int]]:
    """Returns how many calls got no graph, and the exit codes where services end by themselves; Beam's own does not."""
    lost, codes = 0, set()
    for _ in range(repeats):
        with start() as service, contextlib.ExitStack() as stack:
            channels = [stack.enter_context(service.channel()) for _ in range(IN_FLIGHT)]
            services.stub_of(channels[0]).Expand(make(0), timeout=CALL_SECS)  # the first one imports modules
            for channel in channels:
                grpc.channel_ready_future(channel).result(services.START_SECS)
            answers = [
                services.stub_of(channel).Expand.future(make(number), timeout=CALL_SECS)
                for number, channel in enumerate(channels)
            ]
            answers[0].result()  # the others are under way
            service.process.send_signal(signal.SIGTERM)
            lost += sum(_is_lost(answer) for answer in answers)
            if ends:
                codes.add(service.process.wait(_EXIT_SECS))
    return lost, codes


def _is_lost(answer: grpc.Future) -> bool:
    try:
        return bool(answer.result().error)
    except grpc.RpcError:
        return True
