# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A Beam worker process of a worker pool, the local runner's or one by itself.

``python -m expansion.service.local_worker`` imports what every worker needs, waits for a line ``[WORKER_ID,
CONTROL_ADDRESS, FOLDERS]``, JSON, on standard input, and then serves that runner until it closes the connection, or
until standard input ends. Its job's packages are imported from the folders.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading

import grpc

from expansion import lifeline
from expansion.service import logs


def main() -> None:
    """Waits for the line and serves."""
    logs.configure(f"worker {os.getpid()}")
    # Only now: Beam logs when it is imported. The transforms are what a runner asks for next.
    from apache_beam.runners.worker.sdk_worker import SHORT_ID_CACHE, SdkHarness

    import expansion.transforms.run_inference  # noqa: F401

    assignment = sys.stdin.readline()
    if not assignment:  # the pool ended
        return
    lifeline.watch(lambda: os._exit(1))
    worker_id, control_address, folders = json.loads(assignment)
    sys.path[:0] = folders
    # Prism has one table of metrics for all workers of a job, and Beam's workers all number theirs from 1.
    SHORT_ID_CACHE._last_short_id = os.getpid() << 32
    _expect_hang_ups()
    try:
        SdkHarness(control_address, worker_id=worker_id, state_cache_size=0, data_buffer_time_limit_ms=-1).run()
    except grpc.RpcError as error:
        if not _is_hang_up(error):
            raise


def _expect_hang_ups() -> None:
    """Has Beam's worker not raise the alarm when a job has ended.

    Runners in Java close the connection for data before that for control. Beam takes this for an error, on a thread of
    its own, with tracebacks.
    """
    logging.getLogger("apache_beam.runners.worker.data_plane").addFilter(
        lambda record: not (record.exc_info and _is_hang_up(record.exc_info[1]))
    )
    plain_hook = threading.excepthook
    threading.excepthook = lambda raised: None if _is_hang_up(raised.exc_value) else plain_hook(raised)


def _is_hang_up(error: BaseException | None) -> bool:
    return isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.CANCELLED


if __name__ == "__main__":
    main()
