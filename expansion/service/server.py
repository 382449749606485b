# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The gRPC server: expansion, artifact retrieval, health and reflection on one port."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_expansion_api_pb2,
    beam_expansion_api_pb2_grpc,
)
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from expansion.contract._gen.server_pb2 import Limits
from expansion.service import reflection
from expansion.service.arrivals import Arrivals
from expansion.service.artifacts import Artifact, ArtifactServicer
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.interceptor import CallInterceptor
from expansion.service.limits import DEFAULT_LIMITS
from expansion.service.messages import MessageWait
from expansion.service.ports import require_free_port
from expansion.service.watched_health import WatchedHealth
from expansion.service.workers import Workers, WorkersInterceptor

if TYPE_CHECKING:
    from expansion.service.metrics import ServiceMetrics

# Calls beyond those that expand or wait for it: health, and artifacts.
_OTHER_CALLS = 64
# Connections end after this, with the grace of the longest call: a client that stalls in one does not keep it for ever.
_MAX_CONNECTION_AGE_SECS = 600.0
# Whether a client that says nothing is still there is asked this often; https://grpc.io/docs/guides/keepalive/.
_KEEPALIVE_SECS = 60.0
_EXPANSION = beam_expansion_api_pb2.DESCRIPTOR.services_by_name["ExpansionService"].full_name
_ARTIFACTS = beam_artifact_api_pb2.DESCRIPTOR.services_by_name["ArtifactRetrievalService"].full_name


class ExpansionServer:
    """A server, listening from construction on.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        offer: What there is to be asked for.
        artifacts: The environments', to serve. Default: none.
        credentials: The server's, for TLS. Default: in clear.
        interceptors: What sees calls before they are worked on. Default: nothing.
        metrics: Counts calls. Default: nothing does.

    Attributes:
        address: HOST:PORT that it listens on.
        workers: What answers expansions.

    Raises:
        PortError: If the port is in use, or the host is none of this machine's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        offer: Offer,
        artifacts: Iterable[Artifact] = (),
        credentials: grpc.ServerCredentials | None = None,
        interceptors: Sequence[grpc.ServerInterceptor[Any, Any]] = (),
        metrics: ServiceMetrics | None = None,
    ):
        limits = offer.limits
        self._arrivals = Arrivals()
        self.workers = Workers(limits)
        if metrics:
            metrics.watch(self.workers)
        self._metrics = metrics
        watch = CallInterceptor([_EXPANSION, _ARTIFACTS], metrics.answered if metrics else lambda call: None)
        # A thread for each call that is taken, as a call keeps one from its first byte to its answer.
        calls = limits.workers + limits.max_waiting_calls + _OTHER_CALLS
        self._server = grpc.server(
            ThreadPoolExecutor(calls, thread_name_prefix="call"),
            options=_options(limits),
            maximum_concurrent_rpcs=calls,
            interceptors=[
                self._arrivals,
                MessageWait(_OTHER_CALLS),
                watch,
                *interceptors,
                WorkersInterceptor(_EXPANSION, self.workers),
            ],
        )
        self._health = WatchedHealth()
        for service in (_EXPANSION, _ARTIFACTS):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        beam_expansion_api_pb2_grpc.add_ExpansionServiceServicer_to_server(ExpansionServicer(offer), self._server)
        beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(
            ArtifactServicer(artifacts), self._server
        )
        reflection.add_to(self._server, [_EXPANSION, _ARTIFACTS, health.SERVICE_NAME])
        require_free_port(host, port)
        shown_host = f"[{host}]" if ":" in host else host
        asked = f"{shown_host}:{port}"
        bound = (
            self._server.add_secure_port(asked, credentials) if credentials else self._server.add_insecure_port(asked)
        )
        self.address = f"{shown_host}:{bound}"
        self._server.start()
        self._set_ready(True)

    @property
    def is_ready(self) -> bool:
        """Whether calls are to be sent here."""
        return self._is_ready

    def _set_ready(self, ready: bool) -> None:
        self._is_ready = ready
        if self._metrics:
            self._metrics.set_ready(ready)

    def drain(self, timeout_secs: float = DEFAULT_LIMITS.drain_secs, notice_secs: float = 0) -> None:
        """Turns health to NOT_SERVING, takes calls until none arrives any more, and returns when all are answered.

        Args:
            timeout_secs: How long that may take. Calls may arrive for half of it; those that take longer are cancelled.
            notice_secs: How long calls are taken before that, in any case, so that load balancers notice.
        """
        self._set_ready(False)
        self._health.enter_graceful_shutdown()
        time.sleep(notice_secs)
        end = time.monotonic() + timeout_secs
        self._arrivals.wait_for_quiet(timeout_secs / 2)
        self._server.stop(max(end - time.monotonic(), 0)).wait()
        self.workers.close()


def _options(limits: Limits) -> list[tuple[str, int]]:
    """Returns the server's channel arguments."""
    return [
        ("grpc.so_reuseport", 0),  # else two servers on one port start happily and each gets some of the calls
        ("grpc.max_receive_message_length", limits.max_request_bytes),
        ("grpc.max_connection_age_ms", int(1e3 * _MAX_CONNECTION_AGE_SECS)),
        ("grpc.max_connection_age_grace_ms", int(1e3 * limits.deadline_secs)),
        ("grpc.keepalive_time_ms", int(1e3 * _KEEPALIVE_SECS)),
    ]
