# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Finding the rows that make an operation fail, so that one bad row never costs its batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from expansion.errors import BadRows, SystemicError, first_line, may_be_about_a_row
from expansion.tensors.columns import Columns, Indices

Operation = Callable[[Columns], Columns]

# What libraries raise when they refuse the data they are given.
ROW_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError)

# What would happen with any row: a missing package, a network, a time-out, a broken model, no memory for even one row.
# Never bisected: it fails the bundle, which the runner retries. Of OSErrors, those that may be about a row are none.
_SYSTEMIC_ERRORS = (SystemicError, ImportError, OSError, MemoryError)

# Rows that fail alike, with none that succeeds, after which an error of any other class is taken to be systemic.
_ALIKE = 3


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


def isolate(operation: Operation, columns: Columns) -> Isolated:
    """Applies an operation to all rows that it accepts.

    Rows that the operation names with BadRows are taken out at once. Where it fails without naming rows, halves are
    tried, then their halves: for k bad rows of n at most 2k(log2(n/k) + 2) calls. An exception that is neither one of
    ROW_ERRORS nor systemic may be about a row or about all of them: if the first three rows that it is traced
    to fail alike, and none has succeeded before, it is raised.

    Raises:
        Exception: The operation's own, if it is systemic.
    """
    if columns.row_count == 0:
        return Isolated(columns, {})
    search = _Search(operation)
    results = list(search.attempt(columns, np.arange(columns.row_count)))
    if not results:
        return Isolated(Columns({}, 0), search.errors)
    return Isolated(Columns.concat(results), search.errors)


class _Search:
    """One search for bad rows.

    Attributes:
        errors: Why rows failed, by their index in the whole batch.
    """

    def __init__(self, operation: Operation):
        self.errors: dict[int, RowError] = {}
        self._operation = operation
        self._has_succeeded = False
        self._alike: Counter[RowError] = Counter()

    def attempt(self, columns: Columns, rows: Indices) -> Iterator[Columns]:
        """Yields results for the good ones among ``columns``, whose indices in the whole batch are ``rows``."""
        results: list[Columns] = []
        while not results and len(rows):
            try:
                results.append(self._operation(columns))
            except BadRows as bad:  # noqa: PERF203 - a call of the operation a turn
                good = self._take_out(bad, rows)
                columns, rows = columns.take(good), rows[good]
            except Exception as error:
                if isinstance(error, _SYSTEMIC_ERRORS) and not may_be_about_a_row(error):
                    raise
                if len(rows) == 1:
                    self._blame(int(rows[0]), error)
                    return
                break
        if results:
            self._has_succeeded = True
            yield from results
        elif len(rows):
            middle = len(rows) // 2
            yield from self.attempt(columns.slice(0, middle), rows[:middle])
            yield from self.attempt(columns.slice(middle, len(rows)), rows[middle:])

    def _take_out(self, bad: BadRows, rows: Indices) -> Indices:
        """Notes the rows that are named; returns the indices of the others among ``rows``."""
        for index, message in bad.messages.items():
            self.errors[int(rows[index])] = RowError("ValueError", message)
        good = np.setdiff1d(np.arange(len(rows)), list(bad.messages))
        if len(good) == len(rows):
            raise SystemicError("bad rows were announced, and none was named; name them in BadRows") from bad
        return good

    def _blame(self, row: int, error: Exception) -> None:
        self.errors[row] = alike = RowError(type(error).__name__, first_line(error))
        self._alike[alike] += 1
        if not isinstance(error, ROW_ERRORS) and not self._has_succeeded and self._alike[alike] >= _ALIKE:
            raise error
