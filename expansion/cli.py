# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The command line: ``beam-ml-expansion``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from expansion.errors import ExpansionError
from expansion.service import serve as service
from expansion.service import wheels
from expansion.service.ports import is_loopback

# Formats of model files that have workers run code when they load them: what the file holds, or what it names.
_UNSAFE_FORMATS = ("joblib", "pickle", "keras", "tensorrt-engine")
_MODULE = re.compile(r"\w+(\.\w+)*")
_TYPE = re.compile(r"\w+(\.\w+)+")


def _check_types(context: click.Context, option: click.Parameter, types: tuple[str, ...]) -> tuple[str, ...]:
    for name in types:
        if not _TYPE.fullmatch(name):
            raise click.BadParameter(f"got {name!r}; expected MODULE.CLASS, such as mycompany.features.Buckets")
    return types


def _check_imports(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _MODULE.fullmatch(name):
            raise click.BadParameter(f"got {name!r}; expected a dotted name, such as mycompany.models")
    return names


def _read_wheels(context: click.Context, option: click.Parameter, paths: Sequence[Path]) -> tuple[wheels.Wheel, ...]:
    try:
        read = tuple(wheels.read(path) for path in paths)
        wheels.require_distinct(read)
    except ExpansionError as error:
        raise click.BadParameter(str(error)) from None
    return read


@click.group("beam-ml-expansion", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="beam-ml-expansion", message="%(prog)s %(version)s")
def main() -> None:
    """Machine-learning transforms for Apache Beam pipelines in Java, YAML, Go and Python."""


@main.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Calls are neither encrypted nor authenticated, so by default only this machine can "
    "make them.",
)
@click.option("--insecure", is_flag=True, help="Allow a --host that other machines can reach.")
@click.option(
    "--port",
    default=8097,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--environment",
    metavar="SPEC",
    help="Where expanded steps run: docker:IMAGE, process:COMMAND or external:HOST:PORT.  Workers need this "
    "package too, with the extras of the models that they load.  [default: Beam's own image of the Beam and Python "
    "versions that run here, or the local runner's workers]",
)
@click.option(
    "--allow-format",
    "allowed_formats",
    type=click.Choice(_UNSAFE_FORMATS),
    multiple=True,
    help="Let clients name model files of this format, which have workers run code that the file holds, or that it "
    "names (keras). May be repeated.",
)
@click.option(
    "--trust-type",
    "trusted_types",
    metavar="MODULE.CLASS",
    callback=_check_types,
    multiple=True,
    help="Let clients trust this type in skops files. Model files can then have workers make, and if it is a function "
    "call, it with whatever they hold. May be repeated.  [default: what scikit-learn's own estimators are made of]",
)
@click.option(
    "--allow-import",
    "allowed_imports",
    metavar="NAME",
    callback=_check_imports,
    multiple=True,
    help="Let clients name this module, class or function, and all that is below it, for workers to import and run: "
    "model classes, custom models and custom hooks. May be repeated.  [default: hooks that installed packages offer as "
    "entry points of group beam_ml_expansion.hooks]",
)
@click.option(
    "--allow-inline-source",
    is_flag=True,
    help="Let clients send Python source as custom hooks, for workers to run. Whoever reaches the service can then run "
    "anything there.",
)
@click.option(
    "--worker-package",
    "worker_packages",
    metavar="WHEEL",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_read_wheels,
    multiple=True,
    help="A package that workers get before they start, such as one with custom hooks. What it depends on they have, "
    "are given too, or get from the package index. May be repeated.",
)
@click.option(
    "--local-runner",
    is_flag=True,
    help="Development mode: also run a Beam job service and workers, on this machine only. It runs submitted pipelines "
    "as you. In memory and batch only.",
)
@click.option(
    "--job-port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the local runner's job service; 0 takes a free one.",
)
@click.option(
    "--exit-with-parent",
    is_flag=True,
    help="Exit when standard input ends. For programs that start the service and hold its standard input open.",
)
def serve(
    host: str,
    insecure: bool,
    port: int,
    environment: str | None,
    allowed_formats: tuple[str, ...],
    trusted_types: tuple[str, ...],
    allowed_imports: tuple[str, ...],
    allow_inline_source: bool,
    worker_packages: tuple[wheels.Wheel, ...],
    local_runner: bool,
    job_port: int,
    exit_with_parent: bool,
) -> None:
    """Run the expansion service.

    Prints what it serves and how to call it, then a line LISTENING expansion=HOST:PORT (with --local-runner also
    job=HOST:PORT) on standard output; everything else goes to standard error. SIGTERM and Ctrl-C finish the calls in
    flight and exit with 0.
    """
    loopback = is_loopback(host)
    if local_runner and not loopback:
        raise click.ClickException("--local-runner runs submitted pipelines as you, so it needs a loopback --host")
    if not loopback and not insecure:
        raise click.ClickException(
            f"--host {host} can be reached from other machines, and calls are neither encrypted nor authenticated; add "
            "--insecure if that is all right there"
        )
    allowed = {
        "--allow-format": allowed_formats,
        "--trust-type": trusted_types,
        "--allow-import": allowed_imports,
        "--allow-inline-source": ("",) if allow_inline_source else (),  # which takes no value
    }
    settings = service.Settings(
        host,
        port,
        local_runner,
        job_port,
        environment,
        {k: v for k, v in allowed.items() if v},
        exit_with_parent,
        worker_packages,
    )
    sys.exit(service.run(settings))


if __name__ == "__main__":
    main()
