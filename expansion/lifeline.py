# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Processes that end with the process that started them, even if that one is killed with SIGKILL.

The child holds the reading end of a pipe (its standard input) whose writing end only the parent has. However the parent
ends, the pipe does too, and the child sees it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence


def watch(on_end: Callable[[], None]) -> None:
    """Calls ``on_end``, on a thread of its own, when this process's standard input reaches its end."""

    def wait() -> None:
        # os.read and not sys.stdin: a thread that blocks in a buffered reader can't be ended at interpreter exit.
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass  # closed: there is nobody at the other end either
        on_end()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def start(
    module: str,
    arguments: Sequence[str],
    *,
    stdout: int,
    stderr: int | None = None,
    new_session: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Starts ``python -m module`` with this interpreter, tied to this process.

    Args:
        module: A module that calls ``watch``.
        arguments: Its arguments.
        stdout: Where its standard output goes, as for Popen.
        stderr: Where its standard error goes, as for Popen; None for where this process's does.
        new_session: Whether it leads a session of its own, so that a terminal's Ctrl-C reaches only its parent.
        environment: Its environment variables; None for this process's.

    Returns:
        The process. Whoever holds it keeps it alive: its ``stdin`` must stay open.
    """
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        text=True,
        errors="replace",
        start_new_session=new_session,
        env=environment,
    )
