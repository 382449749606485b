# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Worker environments: where the expanded steps run. The operator chooses it; clients can't."""

from __future__ import annotations

import re
from collections.abc import Iterable

from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.transforms import environments

from expansion.errors import ConfigError, Problem

FORMS = "docker:IMAGE, process:COMMAND or external:HOST:PORT"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):(\d{1,5})")


def default_spec() -> str:
    """Returns the SPEC of Beam's own worker image, of the Beam and Python versions that run here.

    The image lacks this package: jobs run there only if whoever runs them installs it on the workers.
    """
    return f"docker:{environments.DockerEnvironment.default_docker_image()}"


def parse(spec: str, artifacts: Iterable[beam_runner_api_pb2.ArtifactInformation] = ()) -> environments.Environment:
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
    kind, _, value = spec.partition(":")
    capabilities = environments.python_sdk_capabilities()
    value = value.strip()
    if kind == "docker" and value and not re.search(r"\s", value):
        return environments.DockerEnvironment.from_container_image(value, artifacts=artifacts)
    if kind == "process" and value:
        return environments.ProcessEnvironment(value, capabilities=capabilities, artifacts=artifacts)
    if kind == "external":
        address = _ADDRESS.fullmatch(value)
        if address and 0 < int(address[2]) < 65536:
            return environments.ExternalEnvironment(value, capabilities=capabilities, artifacts=artifacts)
    raise ConfigError([Problem("environment", f"got {spec[:100]!r}; expected {FORMS}")])
