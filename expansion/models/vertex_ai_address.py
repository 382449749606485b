# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where an endpoint or a published model of Vertex AI is called, and whether credentials may go there."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_URI = re.compile(
    r"projects/[\w.:-]+/locations/(?P<location>[a-z0-9-]+)/"
    r"(endpoints/[\w-]+|(?P<model>publishers/[\w-]+/models/[\w.@-]+))"
)
_ADDRESS = re.compile(r"((?P<scheme>https?)://)?(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?P<port>:\d{1,5})?/?")
_OF_GOOGLE = re.compile(r"(.+\.)?(googleapis\.com|prediction\.vertexai\.goog)", re.IGNORECASE)


class Address(NamedTuple):
    """Where an endpoint is called.

    Attributes:
        origin: "https://HOST" or "https://HOST:PORT"; http on loopback only.
        is_of_google: Whether it is one of Google's, over TLS.
        is_loopback: Whether it is the worker's own machine.
    """

    origin: str
    is_of_google: bool
    is_loopback: bool


def is_endpoint(uri: str) -> bool:
    """Whether it is projects/PROJECT/locations/LOCATION/endpoints/ENDPOINT."""
    match = _URI.fullmatch(uri)
    return bool(match and not match["model"])


def is_endpoint_or_model(uri: str) -> bool:
    """Whether it is an endpoint, or projects/PROJECT/locations/LOCATION/publishers/PUBLISHER/models/MODEL."""
    return bool(_URI.fullmatch(uri))


def read_address(uri: str, api_endpoint: str) -> Address | None:
    """Returns where to call an endpoint; None if there is no such address, or if it is in clear to another machine.

    Args:
        uri: An endpoint or a published model.
        api_endpoint: As configured; empty for the address of its location.
    """
    known = _URI.fullmatch(uri)
    if not api_endpoint and known:
        region = "" if known["location"] == "global" else f"{known['location']}-"
        api_endpoint = f"{region}aiplatform.googleapis.com"
    match = _ADDRESS.fullmatch(api_endpoint)
    if not match:
        return None
    host, scheme = match["host"], match["scheme"] or "https"
    on_loopback = is_loopback(host.strip("[]"))
    if scheme == "http" and not on_loopback:
        return None
    is_of_google = scheme == "https" and bool(_OF_GOOGLE.fullmatch(host))
    return Address(f"{scheme}://{host}{match['port'] or ''}", is_of_google, on_loopback)


def is_loopback(host: str) -> bool:
    """Whether a host, by its name or its address, is the machine that asks."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
