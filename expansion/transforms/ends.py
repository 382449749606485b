# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What both kinds of ends share."""

from __future__ import annotations

from typing import NoReturn

from expansion.errors import ExpansionError
from expansion.transforms.batch import Failures


def fail_the_job(failures: Failures) -> NoReturn:
    """Raises for a row that failed where the configuration asks for no error rows."""
    error = failures.errors[0]
    raise ExpansionError(
        f"{len(failures.errors)} row(s) failed in {failures.stage}; the first: {error.error_type}: {error.message}. "
        "To go on without such rows, set error_handling.output to the name of a second output for them."
    )
