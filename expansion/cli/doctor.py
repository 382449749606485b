# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion doctor``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from expansion.cli.console import GOOD, PROBLEMS, print_json, problems_told, progress
from expansion.cli.server_options import ca_option, server_option


@click.command()
@server_option("Also look at a running service.")
@ca_option
@click.option(
    "--config",
    "server_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also look at the environments of a server's configuration: whether worker pools answer, commands are there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(server: str | None, ca_file: Path | None, server_file: Path | None, as_json: bool) -> None:
    """Check this machine, and a running service.

    Each line is OK, WARN – some need it, others do not – or FAIL, with what to do. Exits with 1 on FAIL.
    """
    if ca_file and not server:
        raise click.UsageError("--ca is of a service; name it with --server")
    from expansion.cli import checks, environment_checks

    with problems_told(str(server_file or "")), progress("looking around"):
        found = [*checks.of_machine(), *(checks.of_server(server, ca_file) if server else ())]
        found += environment_checks.of_file(server_file) if server_file else ()
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        for check in found:
            colour = {checks.OK: "green", checks.WARN: "yellow", checks.FAIL: "red"}[check.status]
            fix = f"\n      → {check.fix}" if check.fix else ""
            click.echo(f"{click.style(f'{check.status:5}', fg=colour)} {check.subject}: {check.found}{fix}")
    raise SystemExit(PROBLEMS if any(check.status == checks.FAIL for check in found) else GOOD)
