# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Who may see which pages. Probes are for all; what says something about the service is not."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from expansion.service.http_server import Page, Reply, Visit
from expansion.service.ports import is_loopback

_REALM = 'Basic realm="beam-ml-expansion", charset="UTF-8"'


@dataclass(frozen=True)
class Access:
    """What visitors have to show.

    Attributes:
        host: Address that the service listens on.
        is_token: Whether a text is one of the operator's tokens. None: there are none.
        takes_certificates: Whether clients may show a certificate instead.
    """

    host: str
    is_token: Callable[[str], bool] | None = None
    takes_certificates: bool = False

    def to_metrics(self, page: Page) -> Page:
        """Returns the page for those who are let in; for all where the operator asks nobody who they are."""
        return self._guarded(page, is_open=True)

    def to_catalogue(self, page: Page) -> Page:
        """Returns the page for those who are let in; for this machine where the operator asks nobody who they are."""
        return self._guarded(page, is_open=is_loopback(self.host))

    def _guarded(self, page: Page, is_open: bool) -> Page:
        asks = self.is_token is not None or self.takes_certificates

        def answer(visit: Visit) -> Reply:
            if self._is_rebound(visit):
                return Reply(b"421 Misdirected Request: call it by localhost\n", status=421)
            if self._is_known(visit) or (is_open and not asks):
                return page(visit)
            if self.is_token is not None:
                advice = b"401 Unauthorized: send one of the operator's tokens, as bearer token or as password\n"
                return Reply(advice, status=401, headers={"WWW-Authenticate": _REALM})
            if self.takes_certificates:
                return Reply(b"403 Forbidden: come with a client certificate\n", status=403)
            return Reply(b"403 Forbidden: beyond this machine it needs token_file or tls.client_ca_file\n", status=403)

        return answer

    def _is_known(self, visit: Visit) -> bool:
        if self.takes_certificates and visit.has_certificate:
            return True
        return self.is_token is not None and self.is_token(_token_in(visit.headers.get("Authorization") or ""))

    def _is_rebound(self, visit: Visit) -> bool:
        """Whether it was called by a name that is not this machine's: a page elsewhere may have a browser do so."""
        try:
            host = urlsplit(f"//{visit.headers.get('Host') or 'localhost'}").hostname or ""
        except ValueError:  # an open bracket
            host = ""
        return is_loopback(self.host) and not is_loopback(host)


def _token_in(authorization: str) -> str:
    """Returns an Authorization header's token, or its password, as browsers ask for one, of any user; "" for none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
