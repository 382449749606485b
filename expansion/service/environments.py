# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Worker environments: where the expanded steps run. The operator chooses it; clients can't."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from expansion.errors import ConfigError, Problem

if TYPE_CHECKING:  # imported when needed: a configuration is checked without Beam
    from apache_beam.portability.api import beam_runner_api_pb2
    from apache_beam.transforms.environments import Environment

FORMS = "docker:IMAGE, process:COMMAND or external:HOST:PORT"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):(\d{1,5})")


def default_spec() -> str:
    """Returns the SPEC of Beam's own worker image, of the Beam and Python versions that run here.

    The image lacks this package: jobs run there only if whoever runs them installs it on the workers.
    """
    from apache_beam.transforms.environments import DockerEnvironment

    return f"docker:{DockerEnvironment.default_docker_image()}"


def check(spec: str) -> str:
    """Returns what is wrong with a SPEC, as ``parse`` takes it; empty if nothing is."""
    kind, _, value = spec.partition(":")
    value = value.strip()
    address = _ADDRESS.fullmatch(value)
    right = {
        "docker": bool(value) and not re.search(r"\s", value),
        "process": bool(value),
        "external": address is not None and 0 < int(address[2]) < 65536,
    }.get(kind, False)
    return "" if right else f"got {spec[:100]!r}; expected {FORMS}"


def parse(spec: str, artifacts: Iterable[beam_runner_api_pb2.ArtifactInformation] = ()) -> Environment:
    """Parses a SPEC.

    Args:
        spec: ``docker:IMAGE``, ``process:COMMAND`` (a worker's ``boot`` program) or ``external:HOST:PORT`` (a running
            worker pool).
        artifacts: What workers retrieve before they start. Default: nothing.

    Returns:
        The environment, with the artifacts, and with the capabilities of the Beam version that runs here.

    Raises:
        ConfigError: If the SPEC has another form.
    """
    from apache_beam.transforms import environments

    wrong = check(spec)
    if wrong:
        raise ConfigError([Problem("environment", wrong)])
    kind, _, value = spec.partition(":")
    value, capabilities = value.strip(), environments.python_sdk_capabilities()
    if kind == "docker":
        return environments.DockerEnvironment.from_container_image(value, artifacts=artifacts)
    of_kind = {"process": environments.ProcessEnvironment, "external": environments.ExternalEnvironment}[kind]
    return of_kind(value, capabilities=capabilities, artifacts=artifacts)
