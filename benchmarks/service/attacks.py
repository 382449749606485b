# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Requests that run code: how often it ran on the host."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.service import services
from benchmarks.service.answers import ask
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.routes import GLOB, PLACEMENTS, ROUTES, attacks
from benchmarks.service.row import Row


def run(short: bool) -> Row:
    """Attacks each service by every route, at every place. Both forms are the same."""
    with tempfile.TemporaryDirectory(prefix="bml") as root:
        requests = Requests(Path(root))
        stock_ran, _ = _attack("stock", requests.stock(0), Path(root, "stock"))
        ours_ran, unclear = _attack("ours", requests.ours(0), Path(root, "ours"))
    count = len(ROUTES) * len(PLACEMENTS)
    for name in [*ours_ran, *unclear]:
        print(f"attack: {name}", file=sys.stderr)
    return Row(
        f"code run on the host by {len(ROUTES)} routes × {len(PLACEMENTS)} places",
        f"{len(stock_ran)} of {count}",
        f"{len(ours_ran)} of {count}, {count - len(unclear)} clear errors",
        not ours_ran and not unclear and len(stock_ran) >= len(ROUTES),
    )


def _attack(side: str, request: ExpansionRequest, folder: Path) -> tuple[list[str], list[str]]:
    """Returns the attacks whose code ran, and those without a clear error."""
    folder.mkdir()
    ran, unclear = [], []
    port = services.free_port()
    command = services.ours_command(port) if side == "ours" else _stock_command(port)
    with services.running(command, port) as service, service.channel() as channel:
        for name, attack, canary in attacks(request, folder):
            answer = ask(services.stub_of(channel), attack)
            if canary.exists():
                ran.append(name)
            if answer.fault or not answer.error:
                unclear.append(f"{name}: {answer.error or 'expanded'}")
    return ran, unclear


def _stock_command(port: int) -> list[str]:
    return [
        f"--fully_qualified_name_glob={GLOB}" if argument.startswith("--fully_qualified_name_glob") else argument
        for argument in services.stock_command(port)
    ]
