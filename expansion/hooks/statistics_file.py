# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A JSON file of statistics by column, and the statistics of one column: what standardize works with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract.problems import did_you_mean, shown
from expansion.errors import SystemicError, first_line
from expansion.files import looks_like, read_on_worker

_EXAMPLE = '{"mean": 37.5, "standard_deviation": 12.25}'


@dataclass(frozen=True)
class Statistics:
    """What is known of one column, of all elements of a row or of each along the last axis.

    Attributes:
        mean: FP64 array [1] or [size].
        standard_deviation: FP64 array [1] or [size]; 0 or more.
    """

    mean: npt.NDArray[np.float64]
    standard_deviation: npt.NDArray[np.float64]

    @property
    def size(self) -> int:
        """Elements along the last axis; 1 where all are treated alike."""
        return max(len(self.mean), len(self.standard_deviation))

    @staticmethod
    def of(mean: Sequence[float], standard_deviation: Sequence[float]) -> Statistics:
        """Makes statistics of numbers."""
        return Statistics(np.array(mean, np.float64), np.array(standard_deviation, np.float64))


def sizes_agree(mean: Sequence[float], standard_deviation: Sequence[float]) -> bool:
    """Whether there are as many numbers of both, or one of one of them, for all elements."""
    return len(mean) == len(standard_deviation) or 1 in (len(mean), len(standard_deviation))


def read(uri: str, names: Iterable[str]) -> dict[str, Statistics]:
    """Reads the statistics of some columns. Called on workers.

    Raises:
        SystemicError: The file can't be read, is no JSON object, or has no usable statistics of one of the columns.
    """
    content = read_on_worker(uri)
    try:
        by_column = json.loads(content)
    except (ValueError, RecursionError) as error:  # of UTF-8, or of JSON
        raise SystemicError(
            f"the file of statistics {uri!r} is not JSON{looks_like(content[:64])}: {first_line(error)}"
        ) from error
    if not isinstance(by_column, Mapping):
        raise SystemicError(
            f"the file of statistics {uri!r} holds {shown(by_column)}; "
            f'expected an object of columns, such as {{"age": {_EXAMPLE}}}'
        )
    return {name: _of_column(uri, by_column, name) for name in names}


def _of_column(uri: str, by_column: Mapping[str, Any], name: str) -> Statistics:
    where = f"the file of statistics {uri!r}"
    if name not in by_column:
        raise SystemicError(f"{where} has no column {name!r}; {did_you_mean(name, by_column)}")
    found = by_column[name]
    mean, standard_deviation = (
        _numbers(found.get(key)) if isinstance(found, Mapping) else None for key in ("mean", "standard_deviation")
    )
    if mean is None or standard_deviation is None:
        problem = "expected finite numbers or lists of them"
    elif min(standard_deviation) < 0:
        problem = "expected a standard deviation of 0 or more"
    elif not sizes_agree(mean, standard_deviation):
        problem = "expected lists of one size"
    else:
        return Statistics.of(mean, standard_deviation)
    raise SystemicError(f"{where} has {shown(found)} for column {name!r}; {problem}, such as {_EXAMPLE}")


def _numbers(found: Any) -> list[float] | None:
    """Returns the numbers of a number or of a list, or None if it is anything else."""
    numbers = found if isinstance(found, list) else [found]
    good = all(
        isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
        for number in numbers
    )
    return numbers if numbers and good else None
