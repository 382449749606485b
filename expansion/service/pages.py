# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a service shows over HTTP: the pages of orchestrators and of Prometheus, and those for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from expansion.contract._gen.server_pb2 import ServerConfig
from expansion.service import tls
from expansion.service.access import Access
from expansion.service.http_server import HttpPages, Page, Reply, Visit
from expansion.service.metrics import ServiceMetrics
from expansion.service.ports import PortError
from expansion.service.server import ExpansionServer
from expansion.service.tokens import Tokens


@contextmanager
def serve_http(
    config: ServerConfig,
    server: ExpansionServer,
    metrics: ServiceMetrics,
    tokens: Tokens | None = None,
    catalogue: Mapping[str, Page] | None = None,
) -> Iterator[str]:
    """Serves HTTP beside gRPC, to the end of the drain.

    Args:
        config: Where to listen, and with which certificate.
        server: What is served by gRPC.
        metrics: Its metrics.
        tokens: Those that let people in. Default: nobody is asked for one.
        catalogue: Pages for people, by path. Default: none.

    Yields:
        HOST:PORT that it listens on.

    Raises:
        PortError: If its port is in use; gRPC is not served any more then.
    """
    access = Access(
        config.host,
        is_token=(lambda token: tokens.accept(f"Bearer {token}")) if tokens else None,
        takes_certificates=bool(config.tls.client_ca_file),
    )
    pages = operators_pages(lambda: server.is_ready, metrics, access)
    pages.update({path: access.to_catalogue(page) for path, page in (catalogue or {}).items()})
    contexts = tls.contexts(config.tls) if config.HasField("tls") else None
    try:
        http = HttpPages(config.host, config.http_port, pages, contexts)
    except PortError:
        server.drain(0)
        raise
    http.start()
    try:
        yield http.address
    finally:
        http.close()


def operators_pages(is_ready: Callable[[], bool], metrics: ServiceMetrics, access: Access) -> dict[str, Page]:
    """Returns the pages that programs ask for, by path.

    Args:
        is_ready: Whether calls are taken.
        metrics: What /metrics shows.
        access: Who may see that.
    """

    def healthz(visit: Visit) -> Reply:
        return Reply(b"ok\n")

    def readyz(visit: Visit) -> Reply:
        return Reply(b"ok\n") if is_ready() else Reply(b"draining\n", status=503)

    def render(visit: Visit) -> Reply:
        body, content_type = metrics.render(visit.headers.get("Accept") or "")
        return Reply(body, content_type)

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": access.to_metrics(render)}
