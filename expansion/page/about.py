# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The service that a page is of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """What is said of the service itself.

    Attributes:
        address: HOST:PORT of gRPC.
        access: Who may call, a word or two each: "TLS", "tokens".
        jobs: HOST:PORT of a runner that runs beside it; empty for none.
    """

    address: str
    access: tuple[str, ...] = ()
    jobs: str = ""
