# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Addresses to listen on."""

from __future__ import annotations

import ipaddress
import socket

from expansion.errors import ExpansionError


class PortError(ExpansionError):
    """An address can't be listened on."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_free_port(host: str, port: int) -> None:
    """Checks that an address can be listened on.

    gRPC does not say why it can't, and writes a line of its own to standard error.

    Raises:
        PortError: If not; one line that says why.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gRPC does: closed connections don't count
            probe.bind(address)
            probe.listen()
    except OSError as error:
        reason = f"can't listen on {host} port {port}: {error.strerror}"
        raise PortError(f"{reason}; choose another port (0 takes a free one), or another host") from None
