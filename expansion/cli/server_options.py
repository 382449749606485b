# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Options that name a running service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def server_option(help_text: str) -> Callable[[_Command], _Command]:
    """Returns the option --server.

    Args:
        help_text: What is done with it.
    """
    return click.option("--server", metavar="HOST:PORT", callback=_checked, help=help_text)


ca_option = click.option(
    "--ca",
    "ca_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates, in PEM, that the service's own leads to: it speaks TLS. A token that it wants is taken from "
    "the environment variable BEAM_ML_EXPANSION_TOKEN.",
)


def _checked(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not (value.rpartition(":")[0] and value.rpartition(":")[2].isdigit()):
        raise click.BadParameter(f"got {value!r}; expected HOST:PORT")
    return value
