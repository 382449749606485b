# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Running a model once before the first real batch, so that compilation and allocation are not its business."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.models.signature import Model
from expansion.tensors.columns import Blobs, Column, Columns, Dense

_LOG = logging.getLogger(__name__)


def zeros(inputs: Iterable[Field], row_count: int) -> dict[str, Columns]:
    """Returns rows of zeros and empty texts for a model's inputs; sizes that it leaves open are 1.

    Args:
        inputs: The model's inputs; an empty datatype is FP64.
        row_count: Number of rows.
    """
    return {field.name: Columns({field.name: _zeros(field, row_count)}, row_count) for field in inputs}


def warm_up(model: Model, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> None:
    """Runs a model once.

    A model that does not like zeros is not warm, but is as good as before: a warning is logged.
    """
    try:
        model.run(inputs, outputs)
    except Exception as error:  # whatever the model raises
        _LOG.warning("warming up on zeros failed: %s: %s", type(error).__name__, error)


def _zeros(field: Field, row_count: int) -> Column:
    shape = tuple(1 if size < 0 else size for size in field.shape)
    if field.datatype in ("STRING", "BYTES"):
        count = row_count * int(np.prod(shape, dtype=np.int64))
        return Blobs.of(field.datatype, [b""] * count, row_count, shape)
    return Dense(np.zeros((row_count, *shape), NUMPY_DTYPES[field.datatype or "FP64"]))
