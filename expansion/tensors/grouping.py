# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Working on rows of unequal shape with operations that need equal ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from expansion.errors import BadRows
from expansion.tensors.columns import Columns, Indices, Ragged, RaggedBlobs


def uniformly(operation: Callable[[Columns], Columns], columns: Columns, names: Iterable[str]) -> Columns:
    """Applies an operation to groups of rows that have one shape each, and puts the rows back in order.

    Args:
        operation: Makes columns of columns, row for row; in the columns called ``names`` it meets no Ragged and
            no RaggedBlobs.
        columns: All columns.
        names: Which columns' shapes must be equal within a group.

    Raises:
        BadRows: The operation's, for all groups at once.
    """
    ragged = {name: column for name in names if isinstance(column := columns[name], (Ragged, RaggedBlobs))}
    if not ragged:
        return operation(columns)
    shapes = np.concatenate([column.shapes for column in ragged.values()], axis=1)
    _, group_of = np.unique(shapes, axis=0, return_inverse=True)
    order: list[Indices] = []
    results: list[Columns] = []
    bad: dict[int, str] = {}
    for group in range(int(group_of.max(initial=-1)) + 1):
        rows = np.flatnonzero(group_of.reshape(-1) == group)
        part = columns.take(rows)
        dense = {name: column.take(rows).to_dense() for name, column in ragged.items()}
        try:
            results.append(operation(part.with_columns(dense)))
        except BadRows as error:
            bad.update({int(rows[index]): message for index, message in error.messages.items()})
        order.append(rows)
    if bad:
        raise BadRows(bad)
    return Columns.concat(results).take(np.argsort(np.concatenate(order)))
