# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Encryption: certificates from files, which may be replaced while the service runs."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expansion.contract._gen.server_pb2 import Tls
from expansion.errors import Problem

if TYPE_CHECKING:
    import grpc

_LOG = logging.getLogger(__name__)
_FILES = ("certificate_file", "key_file", "client_ca_file")


def check(tls: Tls) -> Iterator[Problem]:
    """Yields what is wrong with certificates and keys: what is missing, unreadable, or does not go together."""
    found = []
    for name in _FILES:
        path = getattr(tls, name)
        if not path and name != "client_ca_file":
            found.append(Problem(name, "missing; expected a PEM file; TLS needs a certificate and its key"))
        elif path:
            try:
                Path(path).read_bytes()
            except OSError as error:
                found.append(Problem(name, f"can't read {path!r}: {error.strerror}"))
    yield from found or _check_content(tls)


def _check_content(tls: Tls) -> Iterator[Problem]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file, password=lambda: "")  # else it asks at the terminal
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        yield Problem(
            "certificate_file",
            f"{tls.certificate_file!r} and {tls.key_file!r} are no certificate with its key, in PEM and without a "
            f"passphrase: {reason}",
        )
    if tls.client_ca_file:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            yield Problem("client_ca_file", f"{tls.client_ca_file!r} holds no certificates in PEM: {reason}")


def credentials(tls: Tls) -> grpc.ServerCredentials:
    """Returns gRPC's credentials, which look at each new connection whether the files have changed.

    Args:
        tls: In which ``check`` finds no problems. Files that are replaced by others in which it does find some are
            logged and not taken: a certificate that is written before its key fits it a moment later.
    """
    import grpc

    have_changed = _watch(tls)

    def newest() -> Any:  # None is: no others
        return _configuration(tls) if have_changed() else None

    return grpc.dynamic_ssl_server_credentials(
        _configuration(tls), newest, require_client_authentication=bool(tls.client_ca_file)
    )


def contexts(tls: Tls) -> Callable[[], ssl.SSLContext]:
    """Returns what gives HTTP's connections their context, looking at each whether the files have changed.

    Clients may show a certificate and need not: probes have none.

    Args:
        tls: As for ``credentials``.
    """
    have_changed = _watch(tls)
    taken = _context(tls)

    def newest() -> ssl.SSLContext:
        nonlocal taken
        if have_changed():
            taken = _context(tls)
        return taken

    return newest


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate_file, tls.key_file)
    if tls.client_ca_file:
        context.load_verify_locations(tls.client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _watch(tls: Tls) -> Callable[[], bool]:
    """Returns what says whether files have changed since they were looked at last, and are in order."""
    taken = _stamps(tls)

    def have_changed() -> bool:
        nonlocal taken
        stamps = _stamps(tls)
        if stamps == taken:
            return False
        problems = list(check(tls))
        if problems:
            _LOG.warning("new certificates are not taken: %s", "; ".join(map(str, problems)))
            return False
        taken = stamps
        _LOG.info("new certificates are taken from now on")
        return True

    return have_changed


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    import grpc

    pair = (Path(tls.key_file).read_bytes(), Path(tls.certificate_file).read_bytes())
    roots = Path(tls.client_ca_file).read_bytes() if tls.client_ca_file else None
    return grpc.ssl_server_certificate_configuration([pair], roots)


def _stamps(tls: Tls) -> list[tuple[int, int, int] | None]:
    return [stamp(path) for name in _FILES if (path := getattr(tls, name))]


def stamp(path: str) -> tuple[int, int, int] | None:
    """Returns what changes when a file is written or replaced; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
