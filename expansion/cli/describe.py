# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion describe``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expansion.cli.config_file import read_presets, server_config_option
from expansion.cli.console import PROBLEMS, console, print_json, print_table, problems_told, progress

if TYPE_CHECKING:
    from expansion.catalogue import Entry, FieldEntry
    from expansion.models.signature import Signature


@click.command()
@click.argument("name")
@server_config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def describe(name: str, server_file: Path | None, as_json: bool) -> None:
    """Describe a transform, framework, hook, operation or preset, or a model file.

    NAME is one that `list` shows; "hook.impute" says which kind is meant where there are two. Of a model file – a path
    or a URI – it prints what goes in and what comes out, with the names of the Open Inference Protocol, and the
    configuration to paste. The file is read as data; nothing of it is run.
    """
    from expansion import catalogue

    with problems_told(str(server_file or "")):
        known = catalogue.entries(read_presets(server_file))
    try:
        found = catalogue.find(known, name)
    except catalogue.UnknownNameError as error:
        if not _is_file(name):
            click.echo(str(error), err=True)
            raise SystemExit(PROBLEMS) from None
        _describe_model(name, as_json)
        return
    if as_json:
        plain = [asdict(entry) for entry in found]
        print_json(plain[0] if len(plain) == 1 else plain)
        return
    for entry in found:
        _print_entry(entry)


def _is_file(name: str) -> bool:
    from expansion.catalogue import KINDS

    return "/" in name or Path(name).exists() or ("." in name and name.split(".")[0] not in KINDS)


def _print_entry(entry: Entry) -> None:
    from rich.text import Text

    out = console()
    out.print(Text.assemble((f"{entry.kind} {entry.name}", "bold"), f"\n{entry.doc or entry.summary}"))
    needs = ", ".join(entry.extras)
    if needs:
        out.print(Text(f"extra: {needs}"))
    for identifier in entry.identifiers:
        out.print(Text(identifier))
    if entry.config:
        out.print(Text("\n" + _yaml(dict(entry.config))))
    print_table("", ["field", "type", "what it says"], _field_rows(entry.fields))


def _field_rows(fields: Iterable[FieldEntry], prefix: str = "") -> Iterator[list[str]]:
    for field in fields:
        name = f"{prefix}{field.name}"
        one_of = f"\n(one of {field.one_of})" if field.one_of else ""
        yield [name, field.type + one_of, field.doc]
        yield from _field_rows(field.fields, f"{name}[]." if field.type.startswith("list") else f"{name}.")


def _describe_model(uri: str, as_json: bool) -> None:
    from expansion import models
    from expansion.contract.config import to_mapping
    from expansion.errors import ConfigError
    from expansion.models.model_at import model_at

    with problems_told(), progress(f"reading {uri}"):
        model = model_at(uri)
        framework, message = models.framework(model)
        module = models.module_of(model)
        wrong = list(module.check(message))
        if wrong:
            raise ConfigError(wrong)
        try:
            signature = module.signature(message)
        except ConfigError as error:
            if {problem.path for problem in error.problems} <= {"inputs", "outputs", "model_class"}:
                _say_what_to_declare(framework, to_mapping(message))
            raise
        config = _config(_with_trust(to_mapping(model)), signature)
    if as_json:
        print_json({"framework": framework, **_plain(signature), "config": config})
        return
    console().print(f"{uri}: {framework}", markup=False)
    for title, fields in (("Inputs", signature.inputs), ("Outputs", signature.outputs)):
        rows = ([name, field.datatype or "?", str(list(field.shape))] for name, field in fields.items())
        print_table(title, ["name", "datatype", "shape of a row"], rows)
    for name, note in signature.notes.items():
        click.echo(f"{name}: {note}")
    click.echo("\nConfiguration:\n" + _yaml(config))


def _say_what_to_declare(framework: str, message: dict[str, Any]) -> None:
    """Prints a configuration to be filled in, of a model whose file does not say what goes in and out."""
    example = [{"name": "x", "datatype": "FP32", "shape": [4]}]
    config = {"model": {framework: {**message, "inputs": example, "outputs": [{**example[0], "name": "y"}]}}}
    click.echo(f"The file does not say it all. Fill in:\n{_yaml(config)}")


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None)


def _with_trust(model: dict[str, Any]) -> dict[str, Any]:
    """Returns a model with the types that it has to trust, where it is a file of skops that names such."""
    sklearn = model.get("sklearn", {})
    if "format" in sklearn or not sklearn:
        return model
    try:
        from skops.io import get_untrusted_types  # reads the file as data
    except ImportError:
        return model
    from expansion.files import open_on_host

    with open_on_host(sklearn["uri"]) as file:
        types = get_untrusted_types(data=file.read())
    return {"sklearn": {**sklearn, "trusted_types": sorted(types)}} if types else model


def _plain(signature: Signature) -> dict[str, Any]:
    """Returns a signature as the Open Inference Protocol's model metadata says it, with the rows' shapes."""
    return {
        title: [
            {"name": name, "datatype": field.datatype, "shape": list(field.shape)} for name, field in fields.items()
        ]
        for title, fields in (("inputs", signature.inputs), ("outputs", signature.outputs))
    }


def _config(model: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """Returns a configuration of a model; outputs that the file says nothing of stand there to be filled in."""
    config: dict[str, Any] = {"model": dict(model)}
    if any(not field.datatype for field in signature.outputs.values()):
        config["outputs"] = [
            {"source": name, "datatype": field.datatype or "FP32", "shape": list(field.shape)}
            for name, field in signature.outputs.items()
        ]
    return config
