# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Options that say what rows there are: columns by name and type, or a file that has some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from expansion.errors import ConfigError, Problem

if TYPE_CHECKING:
    from expansion.contract.fields import Field
    from expansion.trial.sample import Sample

columns_option = click.option(
    "--columns",
    metavar="NAME:DATATYPE[SHAPE],…",
    help="What the input's columns are, such as 'age:FP64,text:STRING,pixels:FP32[64]'; beside a file, those that it "
    "does not tell by itself.",
)
array_option = click.option(
    "--array",
    "arrays",
    metavar="NAME=FIRST..LAST",
    multiple=True,
    help="Make one array column of columns that stand side by side in the file, such as pixels=p0..p63. May be "
    "repeated.",
)


def columns_of(columns: str | None) -> dict[str, Field]:
    """Returns what --columns says; nothing where it is not given.

    Raises:
        ConfigError: With everything that is wrong with it.
    """
    from expansion.contract.column_list import parse_columns
    from expansion.contract.problems import at

    try:
        return parse_columns(columns) if columns else {}
    except ConfigError as error:
        raise ConfigError(at("--columns", error.problems)) from None


def sample_of(data: str, max_rows: int, columns: str | None, arrays: tuple[str, ...]) -> Sample:
    """Returns some rows of a file.

    Raises:
        ConfigError: The file can't be read, or what the options say of it is wrong.
    """
    from expansion.trial.sample import read_sample

    joined: dict[str, tuple[str, str]] = {}
    for array in arrays:
        name, _, ends = array.partition("=")
        first, dots, last = ends.partition("..")
        if not (name and first and dots and last):
            raise ConfigError([Problem("--array", f"got {array!r}; expected NAME=FIRST..LAST, such as pixels=p0..p63")])
        joined[name] = first, last
    return read_sample(data, max_rows, columns_of(columns), joined)
