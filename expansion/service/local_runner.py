# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Development mode: a complete Beam on this machine, in a process of its own.

``python -m expansion.service.local_runner --job-port 0`` serves Beam's local job service and a worker pool on
127.0.0.1, prints ``READY job=HOST:PORT workers=HOST:PORT`` and ends when its standard input does. It runs submitted
pipelines as the user who started it – that is what it is for – so it listens on loopback only and has no option to do
otherwise.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from expansion import lifeline
from expansion.service import logs
from expansion.service.ports import PortError, require_free_port


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM, SIGINT or the end of standard input.

    Returns:
        The exit code: 0, or 1 if the job port can't be listened on.
    """
    parser = argparse.ArgumentParser(prog="local_runner")
    parser.add_argument("--job-port", type=int, default=0)
    job_port = parser.parse_args(argv).job_port
    logs.configure("local runner")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    lifeline.watch(ended.set)
    from expansion.service import local_jobs, worker_pool  # import Beam, which logs when it is imported

    local_jobs.bind_loopback_only()
    local_jobs.send_inputs_in_parts()
    local_jobs.end_jobs_soon()
    try:
        require_free_port(local_jobs.LOOPBACK, job_port)
    except PortError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    pool = worker_pool.WorkerPool(local_jobs.LocalWorkerHandler.worker_ended)
    workers = pool.start(local_jobs.LOOPBACK)
    jobs, job = local_jobs.start_job_service(job_port)
    print(f"READY job={job} workers={workers}", flush=True)
    ended.wait()
    pool.close()
    jobs.stop(timeout=1)
    return 0


def _end_session() -> None:
    """Kills what workers have started and left, and this process, if it leads a session of its own."""
    if os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if code == 0:
        _end_session()
    # Jobs run on threads that nothing can end.
    os._exit(code)
