# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion try``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expansion.cli.config_file import read_transform, server_config_option
from expansion.cli.console import PROBLEMS, print_json, print_table, problems_told, progress
from expansion.cli.sample_options import array_option, columns_option, sample_of

if TYPE_CHECKING:
    from expansion.trial.sample import Sample
    from expansion.trial.trial import Trial

_MAX_ARRAY_ITEMS = 6


@click.command("try")
@click.argument("config", metavar="CONFIG")
@click.argument("data", metavar="DATA")
@click.option("--rows", default=20, show_default=True, type=click.IntRange(1, 100_000), help="Rows to read, at most.")
@columns_option
@array_option
@server_config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with whole arrays.")
def try_config(
    config: str,
    data: str,
    rows: int,
    columns: str | None,
    arrays: tuple[str, ...],
    server_file: Path | None,
    as_json: bool,
) -> None:
    """Run a configuration on some rows of a file, here and now.

    CONFIG is a file, or the name of a preset with --config. DATA is a CSV file with a header, JSON lines, a JSON list
    or a Parquet file. Models are loaded in this process, with the same code as on workers, so their extra must be
    installed. MLTransform learns from the rows and applies what it has learned, and writes nothing. Exits with 1 if the
    configuration does not work; rows that fail are listed, and do not count.
    """
    with problems_told(config):
        message = read_transform(config, server_file)
    with problems_told(data):
        sample = sample_of(data, rows, columns, arrays)
    with problems_told(config), progress(f"trying {config} on {sample.table.num_rows} rows"):
        _require_extras(message)
        trial = _tried(message, sample)
    if as_json:
        print_json(_plain(trial))
        return
    _print_trial(trial, sample.table.num_rows)


def _tried(message: Any, sample: Sample) -> Trial:
    from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

    if isinstance(message, RunInferenceConfig):
        from expansion.trial.inference import try_inference

        return try_inference(message, sample)
    from expansion.trial.preparation import try_preparation

    return try_preparation(message, sample)


def _require_extras(message: Any) -> None:
    """Ends the command where what the configuration's models and hooks need is not installed here."""
    from expansion import catalogue, extras
    from expansion.contract.parts import names_used

    used = names_used(message)
    needed = {
        (entry.name, entry.extras) for entry in catalogue.entries() if (entry.kind, entry.name) in used and entry.extras
    }
    for name, either in sorted(needed):
        if name == "embedding_service" or any(not extras.missing(extra) for extra in either):
            continue  # which of several a provider needs, it says itself
        click.echo(
            f"{name} needs {', '.join(extras.missing(either[0]))}; {extras.install_command(either[0])}", err=True
        )
        raise SystemExit(PROBLEMS)


def _plain(trial: Trial) -> dict[str, Any]:
    schema = [
        {"name": field.name, "datatype": field.datatype, "shape": list(field.shape)} for field in trial.fields.values()
    ]
    return {"schema": schema, "rows": trial.rows, "errors": trial.errors, "secs": trial.secs}


def _print_trial(trial: Trial, count: int) -> None:
    rows = ([name, f"{1e3 * secs:.1f}"] for name, secs in trial.secs.items())
    print_table(f"{count} rows", ["stage", "ms"], rows)
    fields = ([field.name, field.datatype, str(list(field.shape))] for field in trial.fields.values())
    print_table("Output rows", ["column", "datatype", "shape of a row"], fields)
    if trial.rows:
        print_table("", list(trial.rows[0]), ([*map(_shown, row.values())] for row in trial.rows))
    if trial.errors:
        columns = [name for name in trial.errors[0] if name != "element"]
        print_table(
            f"{len(trial.errors)} of {count} rows failed",
            [*columns, "element"],
            ([*(str(error[name]) for name in columns), _element(error["element"])] for error in trial.errors),
        )


def _element(element: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in element.items())[:200]


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = ", ".join(map(_shown, value[:_MAX_ARRAY_ITEMS]))
        return f"[{items}]" if len(value) <= _MAX_ARRAY_ITEMS else f"[{items}, … {len(value)}]"
    return str(value)[:120]
