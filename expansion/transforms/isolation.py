# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Finding the rows that make an operation fail, so that one bad row never costs its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from expansion.errors import BadRows, first_line
from expansion.tensors.columns import Columns, Indices

# What libraries raise when they refuse the data they are given. Anything else (a missing package, memory, a network, a
# broken model) would fail for any row: it is left to fail the bundle, which the runner retries.
ROW_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError)


class RowError(NamedTuple):
    """Why one row failed.

    Attributes:
        error_type: Name of the exception's class.
        message: The first line of the exception's text.
    """

    error_type: str
    message: str


class Isolated(NamedTuple):
    """What an operation made of a batch.

    Attributes:
        columns: Its result for the rows that did not fail, in order.
        errors: Why the others failed, by their index.
    """

    columns: Columns
    errors: dict[int, RowError]


def isolate(operation: Callable[[Columns], Columns], columns: Columns) -> Isolated:
    """Applies an operation to all rows that it accepts.

    Rows that the operation names with BadRows are taken out at once. Where it fails without naming rows, halves are
    tried, then their halves: for k bad rows of n at most 2k(log2(n/k) + 2) calls.

    Raises:
        Exception: The operation's own, if it is not one of ROW_ERRORS.
    """
    if columns.row_count == 0:
        return Isolated(columns, {})
    errors: dict[int, RowError] = {}
    results = list(_attempt(operation, columns, np.arange(columns.row_count), errors))
    if not results:
        return Isolated(Columns({}, 0), errors)
    return Isolated(Columns.concat(results), errors)


def _attempt(
    operation: Callable[[Columns], Columns], columns: Columns, rows: Indices, errors: dict[int, RowError]
) -> Iterator[Columns]:
    """Yields results for the good ones among ``columns``, whose indices in the whole batch are ``rows``."""
    try:
        yield operation(columns)
    except BadRows as bad:
        for index, message in bad.messages.items():
            errors[int(rows[index])] = RowError("ValueError", message)
        good = np.setdiff1d(np.arange(len(rows)), list(bad.messages))
        if len(good):
            yield from _attempt(operation, columns.take(good), rows[good], errors)
    except ROW_ERRORS as error:
        if len(rows) == 1:
            errors[int(rows[0])] = RowError(type(error).__name__, first_line(error))
            return
        middle = len(rows) // 2
        yield from _attempt(operation, columns.slice(0, middle), rows[:middle], errors)
        yield from _attempt(operation, columns.slice(middle, len(rows)), rows[middle:], errors)
