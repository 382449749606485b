# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several models as one: its outputs are the weighted averages of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.errors import BadRows, SystemicError
from expansion.models.signature import Model
from expansion.tensors.columns import Column, Columns, Dense, Ragged


class Ensemble:
    """Runs all models on each batch. Used by several threads.

    Attributes:
        models: The models.

    Args:
        models: At least one.
        weights: One a model, above 0. Default: all the same.
    """

    def __init__(self, models: Sequence[Model], weights: Sequence[float] = ()):
        self.models = list(models)
        self._weights = np.array(weights or np.ones(len(self.models)), np.float64)
        self._weights /= self._weights.sum()

    def with_models(self, models: Sequence[Model]) -> Ensemble:
        """Returns an ensemble of other models, with these weights."""
        return Ensemble(models, self._weights.tolist())

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Returns the averages, computed in FP64 and of the models' own datatype; see Model."""
        results = [model.run(inputs, outputs) for model in self.models]
        return {name: self._average(name, [result[name] for result in results]) for name in outputs}

    def _average(self, name: str, columns: Sequence[Column]) -> Column:
        first = columns[0]
        if isinstance(first, Dense) and all(isinstance(c, Dense) and c.shape == first.shape for c in columns):
            return Dense(self._averaged(columns))
        ragged = [column for column in columns if isinstance(column, Ragged)]
        if isinstance(first, Ragged) and len(ragged) == len(columns):
            unlike = np.any([np.any(column.shapes != first.shapes, axis=1) for column in ragged], axis=0)
            if unlike.any():
                reason = f"output {name!r} has not the same shape in all models of the ensemble"
                raise BadRows(dict.fromkeys(np.flatnonzero(unlike).tolist(), reason))
            return Ragged(self._averaged(columns), first.shapes)
        shapes = ", ".join(f"{column.datatype}{list(column.shape)}" for column in columns)
        raise SystemicError(f"output {name!r} of the ensemble's models is {shapes}; expected the same of all")

    def _averaged(self, columns: Sequence[Any]) -> npt.NDArray[Any]:
        total = sum(
            weight * column.values.astype(np.float64) for weight, column in zip(self._weights, columns, strict=True)
        )
        return np.asarray(total).astype(columns[0].values.dtype)
