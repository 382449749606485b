# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``beam-ml-expansion serve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from expansion.contract._gen.server_pb2 import Allow, ServerConfig
from expansion.errors import ExpansionError
from expansion.service.ports import is_loopback

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML or JSON file with everything that an operator decides, presets among it: the message ServerConfig. "
    "Options given here win over it; those that may be repeated add to it.",
)
@click.option(
    "--host",
    help="Address to listen on. One that other machines can reach needs TLS, tokens or --insecure, and "
    "--allow-uri-prefix.  [default: 127.0.0.1]",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Let anyone who reaches a --host of other machines call, in clear.",
)
@click.option(
    "--tls-certificate", "certificate_file", metavar="FILE", type=_FILE, help="Serve with TLS: the certificate, as PEM."
)
@click.option("--tls-key", "key_file", metavar="FILE", type=_FILE, help="The certificate's private key, as PEM.")
@click.option(
    "--tls-client-ca",
    "client_ca_file",
    metavar="FILE",
    type=_FILE,
    help="Let in only clients with a certificate of one of these, as PEM.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=_FILE,
    help="Let in only calls with one of the tokens in this file, one a line, as metadata 'authorization: Bearer "
    "TOKEN'. The health service stays open.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.  [default: 8097]",
)
@click.option(
    "--http-port",
    type=click.IntRange(-1, 65535),
    help="Port of HTTP, for /healthz, /readyz, /metrics and the catalogue page; 0 takes a free one, -1 serves none.  "
    "[default: the one after --port; a free one where that is 0]",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How the log is written to standard error; json: an object on each line.  [default: text]",
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
    "formats",
    type=click.Choice(["joblib", "pickle", "keras", "tensorrt-engine"]),
    multiple=True,
    help="Let clients name model files of this format, which have workers run code that the file holds, or that it "
    "names (keras). May be repeated.",
)
@click.option(
    "--trust-type",
    "types",
    metavar="MODULE.CLASS",
    multiple=True,
    help="Let clients trust this type in skops files. Model files can then have workers make, and if it is a function "
    "call, it with whatever they hold. May be repeated.  [default: what scikit-learn's own estimators are made of]",
)
@click.option(
    "--allow-import",
    "imports",
    metavar="NAME",
    multiple=True,
    help="Let clients name this module, class or function, and all that is below it, for workers to import and run: "
    "model classes, custom models and custom hooks. May be repeated.  [default: hooks that installed packages offer as "
    "entry points of group beam_ml_expansion.hooks]",
)
@click.option(
    "--allow-server-arg",
    "server_args",
    metavar="NAME",
    multiple=True,
    help="Let clients set this argument of vLLM's server, such as chat-template, on workers. Some run code, such as "
    "trust-remote-code, and some open ports. May be repeated.  [default: those that only decide on size and speed]",
)
@click.option(
    "--allow-inline-source",
    is_flag=True,
    help="Let clients send Python source as custom hooks, for workers to run. Whoever reaches the service can then run "
    "anything there.",
)
@click.option(
    "--trust-artifact-root",
    "artifact_roots",
    metavar="DIRECTORY",
    multiple=True,
    help="Let clients read artifacts of MLTransform's engine TFT, which have workers run TensorFlow graphs, in this "
    "directory and those below it: a path or a URI. May be repeated.",
)
@click.option(
    "--allow-uri-prefix",
    "uri_prefixes",
    metavar="URI",
    multiple=True,
    help="Let clients name model files, files of hooks, artifacts and servers of models at this place or below it: a "
    "directory, a bucket, a server or a scheme; / allows all local files, gs:// all buckets. May be repeated.  "
    "[default: all, where only this machine can reach the service; else required]",
)
@click.option(
    "--allow-sha256",
    "sha256",
    metavar="HEX",
    multiple=True,
    help="Let clients use the joblib, pickle or Keras file with this SHA-256, where model.sha256 names it. May be "
    "repeated.",
)
@click.option(
    "--allow-env-var",
    "env_vars",
    metavar="NAME",
    multiple=True,
    help="Let clients set this environment variable for models on workers. May be repeated.  [default: those that only "
    "decide on threads, devices and logs]",
)
@click.option(
    "--worker-package",
    "worker_packages",
    metavar="WHEEL",
    multiple=True,
    help="A package that workers get before they start, such as one with custom hooks; or this package itself, as "
    "'beam-ml-expansion[onnx,sklearn]', for workers that lack it, such as Beam's own image. What it depends on they "
    "have, are given too, or get from the package index. May be repeated.",
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
def serve(config_file: Path | None, local_runner: bool, job_port: int, exit_with_parent: bool, **options: Any) -> None:
    """Run the expansion service.

    Prints what it serves and how to call it, then a line LISTENING expansion=HOST:PORT (with --local-runner also
    job=HOST:PORT, and http=HOST:PORT unless there is none) on standard output; everything else goes to standard error.
    SIGTERM and Ctrl-C finish the calls in flight and exit with 0; a second one ends it at once.
    """
    # Not before: --help needs none of it.
    from expansion.service import serve as service
    from expansion.service import server_config, staged_wheels

    try:
        config = server_config.read(config_file) if config_file else ServerConfig()
        config.MergeFrom(_of_options(**options))
        config = server_config.checked(config)
        packages = staged_wheels.read_all(config.worker_packages)
    except ExpansionError as error:
        raise click.UsageError(str(error)) from None
    if local_runner and not is_loopback(config.host):
        raise click.UsageError("--local-runner runs submitted pipelines as you, so it needs a loopback --host")
    sys.exit(service.run(service.Settings(config, packages, local_runner, job_port, exit_with_parent)))


def _of_options(
    host: str | None,
    insecure: bool,
    port: int | None,
    http_port: int | None,
    log_format: str | None,
    environment: str | None,
    allow_inline_source: bool,
    worker_packages: tuple[str, ...],
    certificate_file: Path | None,
    key_file: Path | None,
    client_ca_file: Path | None,
    token_file: Path | None,
    **allowed: tuple[str, ...],
) -> ServerConfig:
    """Returns what the command line says, as a file would; what it does not say is not set."""
    from expansion.service import own_wheel

    packages = [
        package if own_wheel.extras_of(package) is not None else str(Path(package).resolve())
        for package in worker_packages
    ]
    allow = Allow(inline_source=allow_inline_source, **allowed)
    config = ServerConfig(
        host=host,
        insecure=insecure,
        port=port,
        http_port=http_port,
        log_format=log_format,
        environment=environment,
        worker_packages=packages,
    )
    if allow.ListFields():
        config.allow.CopyFrom(allow)
    if token_file:
        config.token_file = str(token_file.absolute())
    files = {"certificate_file": certificate_file, "key_file": key_file, "client_ca_file": client_ca_file}
    for name, path in files.items():
        if path:
            setattr(config.tls, name, str(path.absolute()))  # not resolved: a link may be made to point elsewhere
    return config
