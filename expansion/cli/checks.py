# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What `doctor` looks at, a function for each; nothing is changed, and no framework is imported."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from expansion import extras
from expansion.contract._gen.model_pb2 import Model
from expansion.errors import ExpansionError
from expansion.models import stacks

OK, WARN, FAIL = "OK", "WARN", "FAIL"
_EXTRAS = (
    "onnx", "sklearn", "pytorch", "xgboost", "tensorflow", "huggingface", "hooks", "tft", "openai", "gcp", "tensorrt",
    "vllm",
)  # fmt: skip
_MIN_JDK = 11
_PORTS = (8097, 8098)
_TIMEOUT_SECS = 20


@dataclass(frozen=True)
class Check:
    """What came of a check.

    Attributes:
        status: "OK", "WARN" for what some need and others do not, or "FAIL".
        subject: What was looked at.
        found: What was found.
        fix: How to make it better; empty where it is good.
    """

    status: str
    subject: str
    found: str
    fix: str = ""


def of_machine() -> Iterator[Check]:
    """Yields what there is on this machine."""
    yield from (_python(), _beam(), _command(), _jdk(), _gradle(), _prism(), _docker(), _gpu())
    yield from _frameworks()
    yield from map(_port, _PORTS)


def of_server(server: str, ca_file: Path | None) -> Iterator[Check]:
    """Yields how a service is.

    Args:
        server: HOST:PORT.
        ca_file: Certificates that its own is to lead to, in PEM; None where it speaks in clear.
    """
    from expansion.cli import server_calls

    if ca_file is not None:
        check = _tls(server, ca_file)
        yield check
        if check.status == FAIL:
            return
    try:
        status = server_calls.health(server, ca_file)
        yield Check(OK if status == "SERVING" else FAIL, f"service at {server}", f"says that it is {status}")
        served = [transform["identifier"] for transform in server_calls.discover(server, ca_file)]
        yield Check(OK, f"service at {server}", f"serves {', '.join(served)}")
    except ExpansionError as error:
        yield Check(FAIL, f"service at {server}", str(error), "start one with: beam-ml-expansion serve")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(OK, "Python", version)


def _beam() -> Check:
    try:
        version = metadata.version("apache-beam")
    except metadata.PackageNotFoundError:
        return Check(FAIL, "Apache Beam", "is not installed", f"pip install {extras.DISTRIBUTION}")
    return Check(OK, "Apache Beam", f"{version} for Python; pipelines in Java may have 2.65 or newer")


def _command() -> Check:
    named = os.environ.get("BEAM_ML_EXPANSION_COMMAND")
    found = shutil.which(named or extras.DISTRIBUTION)
    if found:
        return Check(OK, "command for the Java client", found)
    fix = "set BEAM_ML_EXPANSION_COMMAND to the path of beam-ml-expansion, or put it on PATH"
    return Check(WARN, "command for the Java client", f"{named or extras.DISTRIBUTION} is not found", fix)


def _jdk() -> Check:
    said = _output("java", "-version")
    version = re.search(r'version "(\d+)(?:\.(\d+))?', said)
    if version is None:
        return Check(WARN, "JDK", "no java on PATH", f"install a JDK, {_MIN_JDK} or newer; only Java pipelines need it")
    number = int(version[2] if version[1] == "1" and version[2] else version[1])
    if number < _MIN_JDK:
        return Check(WARN, "JDK", f"{number}", f"install JDK {_MIN_JDK} or newer")
    if not shutil.which("javac"):
        return Check(WARN, "JDK", f"{number}, without javac", "install a JDK in place of a JRE, to compile pipelines")
    return Check(OK, "JDK", str(number))


def _gradle() -> Check:
    version = re.search(r"Gradle (\S+)", _output("gradle", "--version"))
    if version is None:
        return Check(
            WARN, "Gradle", "not on PATH", "install Gradle 4.4 or newer, or use Maven; for Java pipelines only"
        )
    return Check(OK, "Gradle", version[1])


def _prism() -> Check:
    found = shutil.which("prism") or next(iter(map(str, Path().glob("build/prism/prism"))), None)
    if found:
        return Check(OK, "runner", f"Prism, {found}; and serve --local-runner")
    return Check(OK, "runner", "serve --local-runner, for batch; Prism, which streams, is not on PATH")


def _docker() -> Check:
    found = next(filter(None, map(shutil.which, ("docker", "podman"))), None)
    if found:
        return Check(OK, "containers", found)
    fix = "install one, or start the service with --environment process:… or external:…, or with --local-runner"
    return Check(WARN, "containers", "neither docker nor podman on PATH, which Beam's default environment needs", fix)


def _gpu() -> Check:
    said = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    gpus = [line for line in said.splitlines() if "," in line]
    if gpus:
        return Check(OK, "GPU", "; ".join(gpus))
    return Check(OK, "GPU", "none of NVIDIA's; models run on the CPU")


def _frameworks() -> Iterator[Check]:
    for extra in _EXTRAS:
        have, lacking = extras.installed(extra), extras.missing(extra)
        versions = ", ".join(f"{name} {version}" for name, version in have.items())
        subject = f"extra {extra}"
        if not lacking:
            yield Check(OK, subject, versions or "nothing that this Python needs")
        elif extras.has_main_package(extra):
            yield Check(WARN, subject, f"{versions}; {', '.join(lacking)} is missing", extras.install_command(extra))
        else:
            yield Check(OK, subject, f"not installed ({extras.install_command(extra)})")
    complete = {name for name in Model.DESCRIPTOR.fields_by_name if name in _EXTRAS and not extras.missing(name)}
    clash = stacks.clashing(complete)
    if clash:
        fix = "have workers of their own for each, as runners that start workers do, or install them apart"
        found = f"{clash[0]} aborts a process that also loads {' or '.join(clash[1:])}"
        yield Check(WARN, "frameworks together", found, fix)
    else:
        yield Check(OK, "frameworks together", "none that can't be in one process")


def _port(port: int) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fix = f"if it is no service of yours: serve --port, or http_port, other than {port}"
            return Check(WARN, f"port {port}", "is in use", fix)
    return Check(OK, f"port {port}", "is free")


def _tls(server: str, ca_file: Path) -> Check:
    host, _, port = server.rpartition(":")
    subject = f"TLS at {server}"
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT_SECS) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")) as secure,
        ):
            certificate = secure.getpeercert() or {}
            return Check(OK, subject, f"{secure.version()}, certificate good until {certificate.get('notAfter')}")
    except ssl.SSLCertVerificationError as error:
        fix = "give --ca the certificates that the service's leads to, and call it by a name that is in it"
        return Check(FAIL, subject, error.verify_message or str(error), fix)
    except (OSError, ValueError) as error:
        return Check(FAIL, subject, str(error), "see that the service has tls in its configuration, and runs there")


def _output(*command: str) -> str:
    """Returns what a command prints; empty if it is not there or does not work."""
    path = shutil.which(command[0])
    if path is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - names that are written here
            [path, *command[1:]], capture_output=True, text=True, timeout=_TIMEOUT_SECS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
