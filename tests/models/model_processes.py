# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The processes of models on this machine, as the kernel lists them (Linux)."""

import contextlib
from pathlib import Path


def running(folder):
    """Returns the ids of the model processes of a directory for temporary files."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"expansion.models.process_main" in command and f"{folder}/".encode() in command:
                found.add(int(process.name))
    return found
