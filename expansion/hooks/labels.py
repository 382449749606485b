# Licensed under the Apache License, Version 2.0; see LICENSE.
"""labels: turn class indices into names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import Field
from expansion.errors import Problem, SystemicError
from expansion.files import read_on_worker
from expansion.hooks.demands import INTEGER, Demands, numbers, reject, required, with_texts
from expansion.tensors.columns import Columns

TAKES_RAGGED = True


def check(config: hook_pb2.Labels) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from required("column", config.column)
    if not config.labels and not config.uri:
        yield Problem("labels", "missing; list the labels here, or set uri to a file with one a line")
    if config.labels and config.uri:
        yield Problem("uri", "labels is set too; set one of them")


def fields(config: hook_pb2.Labels, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with a STRING one of the same shape for the result."""
    demands = Demands(inputs)
    classes = demands.column("column", config.column, INTEGER)
    demands.settle()
    output = config.output or config.column
    return {**inputs, output: Field(output, "STRING", classes.shape)}


def build(config: hook_pb2.Labels) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: The file of labels can't be read.
    """
    names = list(config.labels) or _read(config.uri)
    labels_by_index = pa.array([name.encode() for name in names], pa.binary())

    def labels(columns: Columns) -> Columns:
        column = numbers(columns, config.column)
        classes = column.values.ravel()
        reject(
            column,
            (classes < 0) | (classes >= len(names)),
            lambda position: f"column {config.column!r} is {classes[position]}; labels go from 0 to {len(names) - 1}",
        )
        named = with_texts(column, "STRING", labels_by_index.take(pa.array(classes)))
        return columns.with_column(config.output or config.column, named)

    return labels


def _read(uri: str) -> list[str]:
    try:
        text = read_on_worker(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SystemicError(f"the file of labels {uri!r} is not UTF-8: {error}") from error
    names = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if names == [""]:
        raise SystemicError(f"the file of labels {uri!r} is empty")
    return names
