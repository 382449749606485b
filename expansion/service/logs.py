# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Logging to standard error, the same in the service, the local runner and its workers."""

from __future__ import annotations

import logging


def configure(prefix: str) -> None:
    """Starts logging: this package from INFO on, everything else from WARNING on.

    Args:
        prefix: What every line starts with; may hold logging's fields, such as ``%(asctime)s``.
    """
    logging.basicConfig(level=logging.WARNING, format=f"{prefix} %(levelname)s %(name)s: %(message)s")
    logging.getLogger("expansion").setLevel(logging.INFO)
    # Beam warns, when it is imported, of a client library that nothing here uses.
    logging.getLogger().addFilter(lambda record: not record.getMessage().startswith("apitools not found"))
