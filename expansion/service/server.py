# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The gRPC server: expansion, artifact retrieval and health on one port."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.portability.api import beam_artifact_api_pb2_grpc, beam_expansion_api_pb2, beam_expansion_api_pb2_grpc
from apache_beam.transforms.environments import Environment
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from expansion.service.artifacts import Artifact, ArtifactServicer
from expansion.service.expand import ExpansionServicer
from expansion.service.policy import Policy
from expansion.service.ports import require_free_port
from expansion.service.requests import MAX_REQUEST_BYTES

# Expansion is work for one core; the other threads answer health checks and wait for remote model files.
_THREADS = 8
# Calls beyond these are refused (RESOURCE_EXHAUSTED) rather than queued without end.
_CONCURRENT_CALLS = 256
DRAIN_SECS = 30.0


class ExpansionServer:
    """A server, listening from construction on.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        environment: Where expanded steps run.
        policy: What the operator lets clients ask for. Default: nothing that may run code from a model's file.
        artifacts: The environment's, to serve. Default: none.

    Attributes:
        address: HOST:PORT that it listens on.

    Raises:
        PortError: If the port is in use, or the host is none of this machine's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        environment: Environment,
        policy: Policy | None = None,
        artifacts: Iterable[Artifact] = (),
    ):
        # Without so_reuseport=0 two servers on one port start happily and each gets some of the calls.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_REQUEST_BYTES)]
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="expansion"),
            options=options,
            maximum_concurrent_rpcs=_CONCURRENT_CALLS,
        )
        self._health = health.HealthServicer()
        expansion = beam_expansion_api_pb2.DESCRIPTOR.services_by_name["ExpansionService"].full_name
        self._health.set(expansion, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        beam_expansion_api_pb2_grpc.add_ExpansionServiceServicer_to_server(
            ExpansionServicer(environment, policy), self._server
        )
        beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(
            ArtifactServicer(artifacts), self._server
        )
        require_free_port(host, port)
        shown_host = f"[{host}]" if ":" in host else host
        self.address = f"{shown_host}:{self._server.add_insecure_port(f'{shown_host}:{port}')}"
        self._server.start()

    def drain(self, timeout_secs: float = DRAIN_SECS) -> None:
        """Turns health to NOT_SERVING, takes no more calls, and returns when those in flight are answered.

        Args:
            timeout_secs: How long calls in flight may take; those that take longer are cancelled.
        """
        self._health.enter_graceful_shutdown()
        self._server.stop(timeout_secs).wait()
