# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion worker-pool``."""

from __future__ import annotations

import sys

import click

from expansion.service.ports import is_loopback


@click.command("worker-pool")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Calls are neither encrypted nor authenticated, and whoever can make them has this "
    "machine run their code.",
)
@click.option("--insecure", is_flag=True, help="Allow a --host that other machines can reach.")
@click.option(
    "--port",
    default=50000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--drain-secs",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="How long workers may go on after SIGTERM, for their jobs to end.",
)
def worker_pool(host: str, insecure: bool, port: int, drain_secs: float) -> None:
    """Run a pool of workers for Flink, Spark and other runners.

    Starts Python workers, of this installation, when a runner asks for them. Run one on each machine that runs tasks,
    on the same port everywhere, and start the service with --environment external:localhost:PORT: Beam's task managers
    only listen to their own machine.

    Prints a line READY workers=HOST:PORT on standard output; everything else goes to standard error. SIGTERM and Ctrl-C
    let the workers that run finish, and then exit with 0; a second one stops them at once.
    """
    from expansion.service import worker_pool_main  # not before: --help needs none of it

    if not is_loopback(host) and not insecure:
        raise click.UsageError(
            f"--host {host}: other machines could have this one run their code; add --insecure if they may"
        )
    sys.exit(worker_pool_main.run(host, port, drain_secs))
