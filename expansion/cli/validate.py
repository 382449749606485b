# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expansion.cli.config_file import KINDS, kind_option, read_file
from expansion.cli.console import print_table, problems_told, progress
from expansion.cli.sample_options import array_option, columns_of, columns_option, sample_of

if TYPE_CHECKING:
    from expansion.contract.fields import Fields


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@kind_option
@columns_option
@array_option
@click.option("--input", "data", metavar="DATA", help="A CSV, JSON or Parquet file with such columns.")
def validate(file: Path, kind: str | None, columns: str | None, arrays: tuple[str, ...], data: str | None) -> None:
    """Check a configuration: of RunInference, of MLTransform or of a server.

    Prints every problem with the path of its field, and exits with 1 if there is one, with 2 if it is called wrongly.
    With --columns or --input it also reads the model's signature, checks everything against the columns, and prints
    those of output rows.
    """
    from expansion.transforms import output_fields

    config_file = read_file(file, next((known for known in KINDS if kind and known.lower() == kind.lower()), None))
    if config_file.kind == "server" and (columns or data):
        raise click.UsageError("a server's configuration has no input; leave out --columns and --input")
    with problems_told(str(file)), progress(f"checking {file}"):
        config = config_file.checked()
        if columns or data:
            inputs, names = _input(columns, arrays, data)
            outputs = output_fields.planned_fields(config, inputs, names)
    click.echo(f"{file}: a good configuration of {config_file.kind}")
    if config_file.kind != "server":
        _say_what_the_operator_must_allow(config)
    if columns or data:
        rows = ([field.name, field.datatype, str(list(field.shape))] for field in outputs.values())
        print_table("Output rows", ["column", "datatype", "shape of a row"], rows)


def _input(columns: str | None, arrays: tuple[str, ...], data: str | None) -> tuple[Fields, list[str]]:
    if data is None:
        fields = columns_of(columns)
        return fields, list(fields)
    sample = sample_of(data, 1000, columns, arrays)
    return sample.fields, sample.names


def _say_what_the_operator_must_allow(config: Any) -> None:
    from expansion.contract._gen.server_pb2 import Allow
    from expansion.service.policy import policy_of

    for problem in policy_of(Allow()).check(config):
        click.echo(f"only where the operator of the service allows it: {problem}")
