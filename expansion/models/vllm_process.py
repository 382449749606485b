# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The process between vLLM's server and the one that wants it: it sees to it that nothing of the server is left.

``python -m expansion.models.vllm_process COMMAND…`` runs the command in a process group of its own, and ends all of
that group when the command ends, and when whoever started this process ends or closes its standard input. vLLM's
engine, which holds the GPU's memory, is a process of the server's that outlives it if the server is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

from expansion import lifeline

# Seconds that a server has to end by itself.
PATIENCE_SECS = 10.0
# Seconds that what is left has after it: a tracker of the server's removes shared memory that the engine does not.
_REST_SECS = 3.0


def main() -> None:
    """Runs the command, and exits with its status; with 128 + the signal if one ended it."""
    command = subprocess.Popen(  # noqa: S603
        sys.argv[1:], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # this process ends after the command
        signal.signal(number, signal.SIG_IGN)
    lifeline.watch(lambda: _end(command))
    status = command.wait()
    with contextlib.suppress(ProcessLookupError):  # nothing is left
        os.killpg(command.pid, signal.SIGTERM)
        deadline = time.monotonic() + _REST_SECS
        while time.monotonic() < deadline:
            os.killpg(command.pid, 0)
            time.sleep(0.05)
        os.killpg(command.pid, signal.SIGKILL)
    os._exit(status if status >= 0 else 128 - status)


def _end(command: subprocess.Popen[bytes]) -> None:
    command.terminate()
    time.sleep(PATIENCE_SECS)
    command.kill()


if __name__ == "__main__":
    main()
