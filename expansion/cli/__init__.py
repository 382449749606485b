# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The command line: ``beam-ml-expansion``. One command a file."""

from __future__ import annotations

import logging

import click

from expansion.cli.describe import describe
from expansion.cli.doctor import doctor
from expansion.cli.list import list_all
from expansion.cli.serve import serve
from expansion.cli.snippet import snippet
from expansion.cli.trial import try_config
from expansion.cli.validate import validate
from expansion.cli.worker_pool import worker_pool


@click.group("beam-ml-expansion", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="beam-ml-expansion", message="%(prog)s %(version)s")
def main() -> None:
    """Machine-learning transforms for Apache Beam pipelines in Java, YAML, Go and Python."""
    # As serve's own log: Beam warns, when it is imported, of a client library that nothing here uses.
    logging.getLogger().addFilter(lambda record: not record.getMessage().startswith("apitools not found"))


for command in (serve, list_all, describe, validate, try_config, snippet, doctor, worker_pool):
    main.add_command(command)
