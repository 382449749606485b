# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion snippet``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from expansion.cli.config_file import read_transform, server_config_option
from expansion.cli.console import problems_told, progress
from expansion.cli.sample_options import columns_of, columns_option
from expansion.errors import ConfigError

if TYPE_CHECKING:
    from expansion.contract.fields import Fields
    from expansion.snippets.call import AnyConfig

_LANGUAGES = ("java", "python", "yaml", "go")


@click.command()
@click.argument("config", metavar="CONFIG")
@click.option("--lang", "language", required=True, type=click.Choice(_LANGUAGES), help="Of the code.")
@columns_option
@server_config_option
def snippet(config: str, language: str, columns: str | None, server_file: Path | None) -> None:
    """Print complete code that runs a configuration.

    CONFIG is a file, or the name of a preset with --config. The code makes one row of an example, which your own source
    takes the place of. What its columns are is read from the configuration and the model file, and in part a guess:
    --columns says it.
    """
    from expansion.snippets import LANGUAGES
    from expansion.snippets.call import Call
    from expansion.snippets.input_columns import columns_of as guessed

    with problems_told(config), progress(f"reading {config}"):
        message = read_transform(config, server_file)
        fields = columns_of(columns) or guessed(message)
        is_preset = server_file is not None and not Path(config).exists()
        name = re.sub(r"\W+", "_", Path(config).stem)
        code = LANGUAGES[language](Call(message, fields, name, config if is_preset else ""))
        if not columns:
            _say_if_it_is_a_guess(message, fields)
    click.echo(code, nl=False)


def _say_if_it_is_a_guess(config: AnyConfig, fields: Fields) -> None:
    """Says on standard error where the columns of the code do not suit the configuration, or nobody can tell."""
    from expansion.transforms.output_fields import planned_fields

    try:
        planned_fields(config, fields, list(fields))
    except ConfigError as error:
        click.echo(f"The input's columns are a guess; say what they are with --columns. {error.problems[0]}", err=True)
