# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What workers say when something does not load: what it was, and where."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from expansion.errors import ModelUnavailable, SystemicError
from expansion.models.runtime import nvidia_driver

_LOG = logging.getLogger(__name__)


@contextmanager
def loading(what: str, environment: str = "") -> Iterator[None]:
    """Has what can't be loaded say what it was to be, and on which worker.

    A model that is one of several and can't be used costs rows, whose messages say nothing of workers.

    Args:
        what: What is loaded, such as "model 'iris.skops'".
        environment: Where it is to run, as the configuration names it. Default: it names nothing.
    """
    try:
        yield
    except ModelUnavailable:
        raise
    except SystemicError as error:
        named = f", environment {environment!r}" if environment else ""
        raise SystemicError(f"{what} does not load on the worker ({where()}{named}): {error}") from error


def warn_of_missing_gpu(accelerator: str) -> None:
    """Warns where the runner has passed over an accelerator that was asked for, as most runners do.

    Args:
        accelerator: As configured; empty for none.
    """
    if "nvidia" in accelerator and nvidia_driver() is None:
        _LOG.warning(
            "resource_hints.accelerator is %r, and this worker (%s) has no NVIDIA driver: models run on the CPU, where "
            "they can; of runners, Dataflow gives GPUs, and needs install-nvidia-driver for it; elsewhere name an "
            "environment that has them",
            accelerator,
            where(),
        )


def where() -> str:
    """Returns the name of this machine or container, and the Python that runs."""
    return f"{socket.gethostname()}, {sys.executable}"
