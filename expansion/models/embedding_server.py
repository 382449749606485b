# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where a provider of embeddings is called, and which key goes there."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from expansion.errors import SystemicError
from expansion.models.vertex_ai_address import is_loopback

_HOSTS = {
    "openai": re.compile(r"(.+\.)?(openai\.com|openai\.azure\.com)"),
    "hugging_face": re.compile(r"(.+\.)?(huggingface\.co|endpoints\.huggingface\.cloud)"),
}


class Server(NamedTuple):
    """Where a provider is called.

    Attributes:
        url: As configured; empty for the provider's own address.
        is_of_provider: Whether it is one of the provider's, over TLS.
        is_loopback: Whether it is the worker's own machine.
    """

    url: str
    is_of_provider: bool
    is_loopback: bool

    def key(self, variable: str) -> str:
        """Returns the key of this worker that may be sent there; empty where none is.

        Args:
            variable: The environment variable that holds it.

        Raises:
            SystemicError: The provider is called, and there is none.
        """
        key = os.environ.get(variable, "").strip() if self.is_of_provider or self.is_loopback else ""
        if self.is_of_provider and not key:
            raise SystemicError(f"{variable} is not set in the environment of this worker, and the provider needs it")
        return key


def read_server(provider: str, endpoint: str) -> Server | None:
    """Returns where to call a provider; None if the endpoint is no URL, or one with a user, query or fragment.

    Args:
        provider: "openai" or "hugging_face".
        endpoint: As configured; empty for the provider's own address.
    """
    if not endpoint:
        return Server("", True, False)
    if not re.fullmatch(r"https?://[\w.:\[\]-]+(/[\w.~/%:@-]*)?", endpoint, re.ASCII):
        return None
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname, url.port
    except ValueError:
        return None
    if not host:
        return None
    is_of_provider = url.scheme == "https" and provider in _HOSTS and bool(_HOSTS[provider].fullmatch(host))
    return Server(endpoint, is_of_provider, is_loopback(host))
