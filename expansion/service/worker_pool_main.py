# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The life of ``beam-ml-expansion worker-pool``: start, say where, wait, drain."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from importlib import metadata

from expansion.service import logs
from expansion.service.ports import PortError, require_free_port

_LOG = logging.getLogger("expansion.service.worker_pool")


def run(host: str, port: int, drain_secs: float) -> int:
    """Serves until SIGTERM or SIGINT, and then until the workers that run have ended.

    Args:
        host: Address to listen on. Whoever reaches it has this machine run their pipelines.
        port: Port to listen on; 0 takes a free one.
        drain_secs: How long workers may take to end. They are stopped then, or at a second SIGTERM or SIGINT.

    Returns:
        The exit code: 0, or 1 if the address can't be listened on.
    """
    logs.configure("worker pool")
    asked, at_once = threading.Event(), threading.Event()

    def on_signal(*_: object) -> None:
        (at_once if asked.is_set() else asked).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    from expansion.service.worker_pool import WorkerPool  # imports Beam, which logs when it is imported

    try:
        require_free_port(host, port)
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    pool = WorkerPool(
        lambda worker, code: _LOG.info("worker %s ended with exit code %d", worker, code),
        lambda worker, process: _LOG.info("worker %s started as process %d", worker, process),
    )
    print(_greeting(pool.start(host, port)), flush=True)
    asked.wait()

    def drain() -> None:
        pool.drain(drain_secs)
        at_once.set()

    threading.Thread(target=drain, daemon=True).start()
    at_once.wait()
    pool.close()
    # Beam's server waits for threads that may never end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _greeting(address: str) -> str:
    """Returns what workers there are, how to use them, and the line that programs wait for."""
    versions = metadata.version("beam-ml-expansion"), metadata.version("apache-beam")
    return "\n".join(
        [
            "beam-ml-expansion {} for Apache Beam {}".format(*versions),
            f"  workers  of {sys.executable}; they run submitted pipelines as you",
            f"  service  beam-ml-expansion serve --environment external:{address}",
            f"READY workers={address}",
        ]
    )
