# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which places clients may name: below prefixes of the operator, and never those that give away a machine's secrets.

What configurations name is looked at by the service, before it reads anything there. What data names, as keys in a
template and a second input do, workers look at; so paths and links are those of the machine that asks.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import unquote

from google.protobuf.message import Message

from expansion.contract.locations import Kind, kind_of_uri, locations_of
from expansion.contract.problems import shown
from expansion.errors import Problem

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What some libraries read as ".", "/", "\" or "%", and others as it stands.
_HIDDEN = re.compile(r"%(2e|2f|5c|25|00)", re.IGNORECASE)
_OVER_HTTP = ("http", "https", "ftp")
_OF_SERVERS = (*_OVER_HTTP, "grpc", "grpcs")
_KERNEL = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm/"  # noqa: S108 - files in memory
KEY = "{key}"  # in a template, the key of a row

# Where clouds tell a machine its secrets. Beside these: all link-local addresses.
_METADATA_HOSTS = {
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
}
_METADATA_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in ("fd00:ec2::/32", "fd20:ce::/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class _RefusedError(Exception):
    """A place that nobody may name."""


class _Place(NamedTuple):
    """A place in the one form that is compared.

    Attributes:
        scheme: In lower case; empty for local files.
        parts: Host or bucket and what is below it; of local files those of the path, without links.
    """

    scheme: str
    parts: tuple[str, ...]

    def is_below(self, other: _Place) -> bool:
        return self.scheme == other.scheme and self.parts[: len(other.parts)] == other.parts


@dataclass(frozen=True)
class Places:
    """Places that clients may name; pickled into steps for what data names.

    Attributes:
        prefixes: Directories, buckets, servers and schemes. Default: anywhere.
    """

    prefixes: tuple[str, ...] = ()

    def check(self, config: Message) -> Iterator[Problem]:
        """Yields the places that a configuration names and must not."""
        for location in locations_of(config):
            refusal = self.refusal(location.uri, location.kind)
            if refusal:
                yield Problem(location.path, f"got {shown(location.uri)}, {refusal}")

    def refusal_of_model(self, message: Any) -> str:
        """Returns why a model may not be where its framework's message says, after "got …,"; empty where it may."""
        kind = kind_of_uri(message)
        return self.refusal(message.uri, kind) if kind else ""

    def beside(self, template: str) -> Places:
        """Returns these places, and the one that all models are in or below that a template with {key} leads to."""
        folder = template.partition(KEY)[0].rpartition("/")
        return replace(self, prefixes=(*self.prefixes, "".join(folder[:2]))) if self.prefixes else self

    def refusal(self, uri: str, kind: Kind = Kind.FILE) -> str:
        """Returns why a place may not be named, after "got …,"; empty where it may."""
        try:
            place = _place(uri, kind)
        except _RefusedError as error:
            return str(error)
        if self.prefixes:
            if any(place.is_below(prefix) for prefix in _places(self.prefixes)):
                return ""
            some = ", ".join(self.prefixes[:5]) + (", …" if len(self.prefixes) > 5 else "")
            return (
                f"which is in no place that this service allows; expected one below {some}; ask its operator, who can "
                "allow others with --allow-uri-prefix"
            )
        if kind is Kind.FILE and place.scheme in _OVER_HTTP:
            return f"which is fetched over {place.scheme.upper()}, from wherever the service can reach; expected a file"
        return ""


def check_prefix(prefix: str) -> str:
    """Returns what is wrong with a prefix of an operator; empty where nothing is."""
    if not (prefix.startswith("/") or _URI.fullmatch(prefix)):
        return "expected an absolute path, a URI or a scheme, such as /srv/models, gs://models or gs://"
    try:
        _place(prefix, Kind.FILE)
    except _RefusedError as error:
        return f"{error}; nobody may name it"
    return ""


def is_below(uri: str, root: str) -> bool:
    """Whether a file or directory is a directory of an operator's or below it."""
    with suppress(_RefusedError):
        return _place(uri, Kind.FILE).is_below(_place(root, Kind.FILE))
    return False


def _places(prefixes: Iterable[str]) -> Iterator[_Place]:
    # Anew for each call, as links may have been changed; what nobody may name allows nothing.
    for prefix in prefixes:
        with suppress(_RefusedError):
            yield _place(prefix, Kind.FILE)


def _place(uri: str, kind: Kind) -> _Place:
    """Returns a place in the one form that is compared.

    Raises:
        _RefusedError: It is one that nobody may name, or says something else than it seems to.
    """
    if _CONTROL.search(uri):
        raise _RefusedError("which has control characters")
    if uri != uri.strip():  # Beam's filesystems look for a scheme without them: " gs://bucket" is no local file to it
        raise _RefusedError("which begins or ends with a space; write it without")
    match = _URI.fullmatch(uri)
    if match is None and kind is Kind.FILE:
        return _local(uri)
    scheme, rest = (match[1].lower(), match[2]) if match else ("https", uri)
    if scheme == "file":
        if _URI.match(rest.strip()):  # without file://, as it is opened, it is a URI of another scheme
            raise _RefusedError("which has a URI in place of a path; write one of both")
        return _local(rest)
    parts = rest.rstrip("/").split("/") if rest.rstrip("/") else []
    if any(part in (".", "..") for part in parts) or "\\" in rest or _HIDDEN.search(rest):
        raise _RefusedError("which has '..', '.' or characters that hide them; write the path as it is")
    if parts and _tells_secrets(parts[0]):
        raise _RefusedError("which is where a cloud tells a machine its secrets")
    if parts and scheme in _OF_SERVERS:
        if KEY in parts[0]:
            raise _RefusedError(f"which has {KEY} where the host is; write the host as it is")
        parts[0] = parts[0].lower()
    return _Place(scheme, tuple(parts))


def _local(path: str) -> _Place:
    """Returns a path as it is once all links are followed, as files are opened relative to this process's directory."""
    if KEY in path and ".." in path.split("/"):
        raise _RefusedError(f"which has '..' beside {KEY}; write the path as it is")
    real = os.path.realpath(path)
    if any(f"{real}/".startswith(f"{root}/") for root in _KERNEL) and not f"{real}/".startswith(_SHARED_MEMORY):
        raise _RefusedError("which is the operating system's and no file")
    return _Place("", tuple(part for part in real.split("/") if part))


def _tells_secrets(authority: str) -> bool:
    """Whether a host, with a port, a user or brackets, is one at which clouds tell a machine its secrets."""
    host = unicodedata.normalize("NFKC", unquote(authority)).rpartition("@")[2].lower()
    bracketed = re.fullmatch(r"\[(.*?)(%.*)?\](:\d*)?", host)
    host = bracketed[1] if bracketed else host.rpartition(":")[0] or host if host.count(":") == 1 else host
    host = host.rstrip(".")
    if host in _METADATA_HOSTS:
        return True
    address = _address(host)
    return address is not None and (address.is_link_local or any(address in net for net in _METADATA_NETWORKS))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Returns the address that a host is, however it is written: also 2852039166, 0xa9fea9fe and 169.254.43518."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address
