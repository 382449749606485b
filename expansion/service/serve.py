# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The life of ``beam-ml-expansion serve``: start, say what is served, wait, drain."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from expansion import lifeline
from expansion.contract import urns
from expansion.contract._gen.server_pb2 import ServerConfig
from expansion.errors import ExpansionError
from expansion.service import frameworks, logs, wheels
from expansion.service.server_config import environment_of, is_local

if TYPE_CHECKING:
    import grpc

    from expansion.service.artifacts import Artifact
    from expansion.service.expand import Offer
    from expansion.service.metrics import ServiceMetrics
    from expansion.service.server import ExpansionServer
    from expansion.service.tokens import Tokens

_LOG = logging.getLogger(__name__)
_LOCAL_RUNNER_START_SECS = 60.0
_LOCAL_RUNNER_STOP_SECS = 15.0

# glibc's malloc, told to keep up to 1 GiB of freed memory (https://man7.org/linux/man-pages/man3/mallopt.3.html). The
# runner and its workers take and free megabytes for every batch, and fresh pages cost more than what is done with them.
_KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}


@dataclass(frozen=True)
class Settings:
    """What ``serve`` was told.

    Attributes:
        config: What the operator decides, checked, with every default filled in.
        packages: The wheels that it names.
        local_runner: Whether to run a job service and workers too.
        job_port: The local runner's; 0 takes a free one.
        exit_with_parent: Whether to end when standard input does.
    """

    config: ServerConfig
    packages: Sequence[wheels.Wheel] = ()
    local_runner: bool = False
    job_port: int = 0
    exit_with_parent: bool = False


def run(settings: Settings) -> int:
    """Serves until SIGTERM, SIGINT or, when asked for, the end of standard input.

    Returns:
        The exit code: 0 after a clean end; 1 if the service could not start, or its local runner ended.
    """
    logs.configure("%(asctime)s", settings.config.log_format)
    stop = _Stop()
    if settings.exit_with_parent:
        lifeline.watch(stop.request)
    try:
        with _local_runner(settings.job_port, stop) if settings.local_runner else nullcontext() as runner:
            return _serve(settings, runner, stop)
    except ExpansionError as error:
        if settings.config.log_format == "json":
            _LOG.critical("%s", error)
        else:
            print(f"error: {error}", file=sys.stderr)
        return 1


class _Stop:
    """Why and when to stop. A second SIGINT or SIGTERM ends the process at once.

    The kernel may hand a signal to any thread, and Python runs its handler on the main one when that has a turn, which
    one that waits for a lock never has: signals were lost. So the main thread waits for a byte, which Python sends it
    with each signal; https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self.requested = False
        self._waiting, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        if self.requested:
            os._exit(128 + number)
        self.request()

    def request(self, exit_code: int = 0) -> None:
        if not self.requested:
            self.exit_code, self.requested = exit_code, True
            os.write(self._waking, b"\0")

    def wait(self) -> None:
        while not self.requested:
            os.read(self._waiting, 1)

    def attend(self, work: Callable[[], None]) -> None:
        """Does what is left to do on another thread, and returns when it is done: a second signal needs this one."""
        done = threading.Event()

        def run() -> None:
            try:
                work()
            finally:
                done.set()
                os.write(self._waking, b"\0")

        threading.Thread(target=run, daemon=True).start()
        while not done.is_set():
            os.read(self._waiting, 1)


def _serve(settings: Settings, runner: subprocess.Popen[str] | None, stop: _Stop) -> int:
    config, packages = settings.config, settings.packages
    if runner and not config.environment:
        for wheel in packages:
            wheel.require_runs_here()
    frameworks.refuse()
    # Only now: these import Beam, which imports frameworks where it finds them.
    from expansion.service import artifacts, environments
    from expansion.service.authentication import TokenInterceptor
    from expansion.service.server import ExpansionServer

    local = _wait_until_ready(runner, stop) if runner else None
    spec = environment_of(config, config.environment)
    workers = spec or (f"external:{local.workers}" if local else environments.default_spec())
    issued = artifacts.of_wheels(packages)
    offer = _offer(config, workers, issued)
    metrics = _metrics(config)
    credentials, tokens = _access(config)
    interceptors = [TokenInterceptor(tokens)] if tokens else []
    server = ExpansionServer(config.host, config.port, offer, issued, credentials, interceptors, metrics)
    with _http(config, server, metrics, tokens, local.job if local else "") as http:
        lacking = f"{workers}; they need this package: see --worker-package and --environment"
        shown = workers if spec or local else lacking
        print(_greeting(server.address, shown, config, packages, local, http), flush=True)
        stop.wait()
        stop.attend(lambda: server.drain(config.limits.drain_secs, config.limits.notice_secs))
    return stop.exit_code


def _metrics(config: ServerConfig) -> ServiceMetrics | None:
    """Returns what counts calls, where HTTP is there to show it."""
    if config.http_port < 0:
        return None
    from expansion.service.metrics import ServiceMetrics

    return ServiceMetrics([preset.name for preset in config.presets])


def _http(
    config: ServerConfig, server: ExpansionServer, metrics: ServiceMetrics | None, tokens: Tokens | None, jobs: str
) -> AbstractContextManager[str | None]:
    """Serves HTTP, if any, and gives HOST:PORT that it listens on."""
    if metrics is None:
        return nullcontext()
    from expansion.page.about import About
    from expansion.service.catalogue_page import CataloguePage
    from expansion.service.pages import serve_http

    about = About(_called(server.address), tuple(_ways_in(config)), jobs)
    return serve_http(config, server, metrics, tokens, {"/": CataloguePage(config.presets, about)})


def _access(config: ServerConfig) -> tuple[grpc.ServerCredentials | None, Tokens | None]:
    """Returns the server's credentials, and the tokens that let calls in; None for none."""
    from expansion.service import tls
    from expansion.service.tokens import Tokens

    if config.token_file and not config.HasField("tls") and not is_local(config):
        _LOG.warning(
            "tokens cross the network in clear, and so do calls: set tls, or have a proxy in front encrypt them"
        )
    credentials = tls.credentials(config.tls) if config.HasField("tls") else None
    return credentials, Tokens(config.token_file) if config.token_file else None


def _offer(config: ServerConfig, workers: str, issued: Sequence[Artifact]) -> Offer:
    """Returns what there is to be asked for, running on these workers unless the configuration names others."""
    from expansion.service import environments
    from expansion.service.expand import Offer
    from expansion.service.policy import policy_of
    from expansion.service.presets import Presets
    from expansion.transforms.placement import Placement

    information = [artifact.information for artifact in issued]
    of_presets = (preset.environment for preset in config.presets if preset.environment)
    named = {*config.environments, *config.framework_environments.values(), *of_presets}
    return Offer(
        environments.parse(workers, information),
        policy_of(config.allow),
        Presets(config.presets),
        Placement(frozenset(config.environments), dict(config.framework_environments)),
        {name: environments.parse(environment_of(config, name), information) for name in named},
        config.limits,
    )


@dataclass(frozen=True)
class _LocalRunner:
    """Where a local runner listens, each as HOST:PORT."""

    job: str
    workers: str


def _greeting(
    address: str,
    workers: str,
    config: ServerConfig,
    packages: Sequence[wheels.Wheel],
    local: _LocalRunner | None,
    http: str | None,
) -> str:
    """Returns what is served, how to call it, and the line that programs wait for."""
    called = _called(address)
    lines = [
        f"beam-ml-expansion {metadata.version('beam-ml-expansion')} for Apache Beam {metadata.version('apache-beam')}",
        f"  serves   {urns.RUN_INFERENCE}",
        f"           {urns.RUN_INFERENCE_SCHEMA_TRANSFORM}",
        f"           {urns.ML_TRANSFORM}",
        f"           {urns.ML_TRANSFORM_SCHEMA_TRANSFORM}",
        *(f"  preset   {preset.name}  {preset.description}".rstrip() for preset in config.presets),
        *_access_lines(config),
        f"  workers  {workers}",
        *(f"           {name}: {environment_of(config, named)}" for name, named in _by_framework(config)),
        *(f"           with {wheel.file_name}" for wheel in packages),
        f'  Java     RunInference.<Row>of(Models.onnx("x.onnx")).features("x").withExpansionService("{called}")',
        f'  Python   rows | ExternalTransform("{urns.RUN_INFERENCE}", config.SerializeToString(), "{called}")',
    ]
    ready = f"LISTENING expansion={address}"
    if local:
        lines.append(f"  jobs     --runner=PortableRunner --jobEndpoint={local.job}  (runs submitted pipelines as you)")
        ready += f" job={local.job}"
    if http:
        scheme = "https" if config.HasField("tls") else "http"
        lines.append(f"  page     {scheme}://{_called(http)}/")
        lines.append(f"  HTTP     {scheme}://{http}/metrics, /healthz and /readyz")
        ready += f" http={http}"
    return "\n".join([*lines, ready])


def _by_framework(config: ServerConfig) -> list[tuple[str, str]]:
    return sorted(config.framework_environments.items())


def _called(address: str) -> str:
    """Returns an address as clients call it: "all interfaces" is none."""
    return re.sub(r"^(0\.0\.0\.0|\[::\])", socket.gethostname(), address)


def _access_lines(config: ServerConfig) -> list[str]:
    """Returns who may call, where that is not this machine alone, in clear."""
    ways = [*([] if config.HasField("tls") else ["in clear"]), *_ways_in(config)]
    if len(ways) == 1 and not is_local(config):
        ways.append("anyone who reaches it")
    return [] if ways == ["in clear"] else [f"  access   {', '.join(ways)}"]


def _ways_in(config: ServerConfig) -> list[str]:
    """Returns what clients need."""
    ways = ["TLS"] if config.HasField("tls") else []
    ways += ["client certificates"] if config.tls.client_ca_file else []
    return ways + (["tokens"] if config.token_file else [])


@contextmanager
def _local_runner(job_port: int, stop: _Stop) -> Iterator[subprocess.Popen[str]]:
    """Runs the local runner in a process of its own, which gets ready while the caller goes on."""
    arguments = ["--job-port", str(job_port)]
    process = lifeline.start(
        "expansion.service.local_runner",
        arguments,
        stdout=subprocess.PIPE,
        new_session=True,
        environment={**_KEEP_MEMORY, **os.environ},
    )
    try:
        yield process
    finally:
        stop.request()
        process.terminate()
        try:
            process.wait(_LOCAL_RUNNER_STOP_SECS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_ready(process: subprocess.Popen[str], stop: _Stop) -> _LocalRunner:
    """Reads the READY line of the local runner. If that ends by itself later, the service stops."""
    assert process.stdout is not None  # noqa: S101 - a pipe, as asked for
    killer = threading.Timer(_LOCAL_RUNNER_START_SECS, process.kill)
    killer.start()
    line = process.stdout.readline()
    killer.cancel()
    if not line.startswith("READY "):
        raise ExpansionError("the local runner did not start; see above")
    threading.Thread(target=_watch, args=(process, stop), daemon=True).start()
    return _LocalRunner(**dict(part.split("=", 1) for part in line.split()[1:]))


def _watch(process: subprocess.Popen[str], stop: _Stop) -> None:
    code = process.wait()
    if not stop.requested:
        print(f"error: the local runner ended by itself (exit code {code})", file=sys.stderr)
        stop.request(exit_code=1)
