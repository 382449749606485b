# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion list``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expansion.cli.config_file import read_presets, server_config_option
from expansion.cli.console import print_json, print_table, problems_told, progress
from expansion.cli.server_options import ca_option, server_option

if TYPE_CHECKING:
    from expansion.catalogue import Entry


@click.command("list")
@server_option("Ask a running service, which says what it serves.")
@ca_option
@server_config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_all(server: str | None, ca_file: Path | None, server_file: Path | None, as_json: bool) -> None:
    """List transforms, model frameworks, hooks, operations and presets.

    Of frameworks it says whether this machine has what they need. With --server it lists the transforms and presets
    that clients of the service can call.
    """
    if server and server_file:
        raise click.UsageError("--server and --config: name one of them")
    if server:
        _list_served(server, ca_file, as_json)
        return
    from expansion import catalogue

    with problems_told(str(server_file or "")):
        found = catalogue.entries(read_presets(server_file))
    if as_json:
        print_json([_summary(entry) for entry in found])
        return
    for kind in catalogue.KINDS:
        of_kind = [entry for entry in found if entry.kind == kind]
        rows = ([entry.name, *([_needs(entry)] if kind == "framework" else []), entry.summary] for entry in of_kind)
        columns = ["name", "extra", "what it is"] if kind == "framework" else ["name", "what it does"]
        print_table(f"{kind.capitalize()}s", columns, rows)


def _list_served(server: str, ca_file: Path | None, as_json: bool) -> None:
    from expansion.cli import server_calls

    with problems_told(server), progress(f"asking {server}"):
        served = server_calls.discover(server, ca_file)
    if as_json:
        print_json(served)
    else:
        print_table(f"Schema transforms at {server}", ["identifier", "what it does"], _rows(served))


def _rows(served: Iterable[dict[str, Any]]) -> Iterable[list[str]]:
    return ([transform["identifier"], str(transform["description"]).split("\n", 1)[0]] for transform in served)


def _summary(entry: Entry) -> dict[str, Any]:
    from expansion import extras

    plain: dict[str, Any] = {"kind": entry.kind, "name": entry.name, "summary": entry.summary}
    if entry.extras:
        plain["extras"] = {extra: not extras.missing(extra) for extra in entry.extras}
    if entry.identifiers:
        plain["identifiers"] = list(entry.identifiers)
    return plain


def _needs(entry: Entry) -> str:
    """Returns which extras a framework needs, and whether they are installed here."""
    from expansion import extras

    said = (f"{extra} ({'not installed' if extras.missing(extra) else 'installed'})" for extra in entry.extras)
    return ", ".join(said) or "none"
