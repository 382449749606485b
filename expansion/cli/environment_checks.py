# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What `doctor` looks at of the environments in a server's configuration: whether workers can be started there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from expansion.cli.checks import FAIL, OK, WARN, Check
from expansion.contract._gen.server_pb2 import ServerConfig
from expansion.service import server_config

_TIMEOUT_SECS = 10
_MACHINES = "on each machine that runs tasks, if that is not this one"


def of_file(path: Path) -> Iterator[Check]:
    """Yields how the environments of a file are, as this machine sees them; nothing is started.

    Raises:
        ConfigError: With everything that is wrong with the file.
    """
    for spec, names in _named(server_config.checked(server_config.read(path))).items():
        kind, _, value = spec.partition(":")
        subject = f"environment {', '.join(sorted(names))} ({spec})"
        yield {"external": _pool, "process": _command, "docker": _image}[kind](subject, value.strip())


def _named(config: ServerConfig) -> dict[str, set[str]]:
    """Returns the SPECs of a configuration, each with what it is called there."""
    named: dict[str, set[str]] = {}
    for name, spec in sorted(config.environments.items()):
        named.setdefault(spec, set()).add(name)
    others = [("default", config.environment), *sorted(config.framework_environments.items())]
    others += [(f"preset {preset.name}", preset.environment) for preset in config.presets]
    for name, environment in others:
        if environment:
            named.setdefault(server_config.environment_of(config, environment), set()).add(name)
    return named


def _pool(subject: str, address: str) -> Check:
    """Asks a worker pool to stop a worker that it does not have, which does nothing: pools know only two calls."""
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        try:
            pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="doctor"), timeout=_TIMEOUT_SECS)
        except grpc.RpcError as error:
            port = address.rpartition(":")[2]
            start = f"beam-ml-expansion worker-pool --port {port}"
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return Check(FAIL, subject, "answers, and is no worker pool", f"choose a free port for: {start}")
            return Check(WARN, subject, "no worker pool answers", f"run this, {_MACHINES}: {start}")
    return Check(OK, subject, "a worker pool answers")


def _command(subject: str, command: str) -> Check:
    found = shutil.which(command)
    if found:
        return Check(OK, subject, found)
    fix = f"install it there, {_MACHINES}; expected the path of a worker's boot program, without arguments"
    return Check(WARN, subject, "there is no such command", fix)


def _image(subject: str, image: str) -> Check:
    if any(map(shutil.which, ("docker", "podman"))):
        return Check(OK, subject, "an image that the runner fetches, if it is not there")
    return Check(WARN, subject, "neither docker nor podman on PATH", f"install one, {_MACHINES}; Dataflow has its own")
