# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How commands write: tables and texts to standard output, progress and problems to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from expansion.errors import ConfigError, ExpansionError

if TYPE_CHECKING:
    from rich.console import Console

# Of lines that go to a file or another program.
_WIDTH = 160
GOOD, PROBLEMS = 0, 1


def console() -> Console:
    """Returns a console on standard output; colours are for terminals only."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else _WIDTH)


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Prints a table of plain texts; nothing if it has no rows."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    if not listed:
        return
    table = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in listed:
        table.add_row(*map(Text, row))
    console().print(table)


def print_json(value: Any) -> None:
    """Prints a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


@contextmanager
def progress(doing: str) -> Iterator[None]:
    """Says on standard error what is being done for as long as it takes; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(doing):
        yield


@contextmanager
def problems_told(where: str = "") -> Iterator[None]:
    """Ends the command with exit code 1 on an error of this package's, after every problem on a line of its own.

    Args:
        where: What they are about, such as a file, to begin each line with. Default: nothing.
    """
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            click.echo(": ".join(filter(None, [where, str(problem)])), err=True)
        raise SystemExit(PROBLEMS) from None
    except ExpansionError as error:
        click.echo(": ".join(filter(None, [where, str(error)])), err=True)
        raise SystemExit(PROBLEMS) from None
