# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How long it takes until the service takes calls, and the memory that it has when it is idle after one."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.service import services
from benchmarks.service.load import CALL_SECS
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row

MOST_IMPORTS = 2.0
MOST_RESIDENT_BYTES = 250 << 20
_ROOT = Path(__file__).parents[2]
_BASE = _ROOT / "build" / "soak" / "base"


def run(short: bool) -> list[Row]:
    """Starts the service in this environment, with its frameworks, and but for the short form in a base install."""
    repeats = 1 if short else 5
    with tempfile.TemporaryDirectory(prefix="bml") as folder:
        requests = Requests(Path(folder))
        stock = _Starts(services.stock, requests.stock(0), sys.executable, repeats)
        rows = _rows(
            "beside the frameworks", stock, _Starts(services.ours, requests.ours(0), sys.executable, repeats), short
        )
        if not short:
            # Beam's own has no handler to expand there.
            rows += _rows(
                "base install", None, _Starts(services.ours, requests.ours(0), base_install(), repeats), short
            )
    return rows


def base_install() -> str:
    """Makes an environment with this package and no extras; returns its interpreter."""
    python = _BASE / "bin" / "python"
    subprocess.run(["uv", "venv", "-q", "--clear", "--python", sys.executable, _BASE], check=True)
    install = ["uv", "pip", "install", "-q", "--python", python, "-c", _ROOT / "constraints.txt", _ROOT]
    subprocess.run(install, check=True)
    frameworks = "import importlib.util as u; print([n for n in ('torch', 'sklearn', 'tensorflow') if u.find_spec(n)])"
    found = subprocess.run([python, "-c", frameworks], check=True, capture_output=True, text=True).stdout.strip()
    if found != "[]":
        raise RuntimeError(f"{_BASE} is no base install: it has {found}")
    return str(python)


class _Starts:
    """Some starts of a service, each beside an import of Beam, as the machine may be busy."""

    def __init__(
        self,
        start: Callable[..., AbstractContextManager[services.Service]],
        request: ExpansionRequest,
        python: str,
        repeats: int,
    ):
        ratios, self.first_call_secs, self.resident_bytes = [], [], []
        for _ in range(repeats):
            import_secs = _import_secs(python)
            with start(python=python) as service, service.channel() as channel:
                ratios.append(service.start_secs / import_secs)
                began = time.monotonic()
                response = services.stub_of(channel).Expand(request, timeout=CALL_SECS)
                self.first_call_secs.append(time.monotonic() - began)
                self.resident_bytes.append(service.resident_bytes())
            if response.error:
                raise RuntimeError(response.error)
        self.imports = statistics.median(ratios)

    def speed(self) -> str:
        """Returns how fast they were, for people."""
        return f"{self.imports:.1f}, then {statistics.median(self.first_call_secs):.1f} s for the first graph"


def _rows(where: str, stock: _Starts | None, ours: _Starts, short: bool) -> list[Row]:
    in_time = short or ours.imports <= MOST_IMPORTS
    most = max(ours.resident_bytes)
    return [
        Row(
            f"start to serving, in times of `import apache_beam`; {where}",
            stock.speed() if stock else "–",
            ours.speed(),
            in_time,
        ),
        Row(
            f"resident memory after a graph; {where}",
            f"{max(stock.resident_bytes) >> 20} MiB" if stock else "–",
            f"{most >> 20} MiB",
            most <= MOST_RESIDENT_BYTES,
        ),
    ]


def _import_secs(python: str) -> float:
    began = time.monotonic()
    subprocess.run([python, "-c", "import apache_beam"], check=True)
    return time.monotonic() - began
