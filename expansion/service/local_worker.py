# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A Beam worker process of the local runner.

``python -m expansion.service.local_worker`` imports what every worker needs, waits for a line ``[WORKER_ID,
CONTROL_ADDRESS, FOLDERS]``, JSON, on standard input, and then serves that runner until it closes the connection, or
until standard input ends. Its job's packages are imported from the folders.
"""

from __future__ import annotations

import json
import os
import sys

from expansion.service import lifeline, logs


def main() -> None:
    """Waits for the line and serves."""
    logs.configure(f"worker {os.getpid()}")
    # Only now: Beam logs when it is imported. The transforms are what a runner asks for next.
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    import expansion.transforms.run_inference  # noqa: F401

    assignment = sys.stdin.readline()
    if not assignment:  # the local runner ended
        return
    lifeline.watch(lambda: os._exit(1))
    worker_id, control_address, folders = json.loads(assignment)
    sys.path[:0] = folders
    SdkHarness(control_address, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=-1).run()


if __name__ == "__main__":
    main()
