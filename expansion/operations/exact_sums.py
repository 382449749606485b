# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Sums of numbers and of their squares without any rounding, so that they are the same in any order.

A finite FP64 is an integer of 53 bits times a power of 2. The integer is cut into pieces of 18 bits, and pieces of
numbers with one power are summed at once: in FP64, which is exact below 2^53. The sums are put together as Python's
integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Sums are multiples of 2^-SCALE, sums of squares of 2^-(2 × SCALE): of the smallest FP64 the 53 bits begin there.
SCALE = 1126

_PIECE = 18
_MASK = (1 << _PIECE) - 1
_ROWS = 1 << 15  # 2^15 × 3 products of two pieces are below 2^53
_BINS = 1 << 22

_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """Sums by position.

    Attributes:
        count: How many numbers.
        total: Their sum × 2^SCALE.
        squares: The sum of their squares × 2^(2 × SCALE).
    """

    count: list[int]
    total: list[int]
    squares: list[int]

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            _added(self.count, other.count), _added(self.total, other.total), _added(self.squares, other.squares)
        )


def exact_sums(values: npt.NDArray[Any]) -> Sums:
    """Returns the sums of the finite numbers of each column of an array.

    Args:
        values: Array [rows, positions] of any numeric dtype but longer floats than FP64.
    """
    count = np.isfinite(values).sum(axis=0).tolist()
    sums = Sums(count, [0] * len(count), [0] * len(count))
    for start in range(0, len(values), _ROWS):
        rows = values[start : start + _ROWS]
        add = _add_floats if values.dtype.kind == "f" else _add_integers
        add(sums, rows)
    return sums


def _added(left: list[int], right: list[int]) -> list[int]:
    return [a + b for a, b in zip(left, right, strict=True)]


def _add_integers(sums: Sums, values: npt.NDArray[Any]) -> None:
    # Of UINT64 the highest bits do not fit into INT64, so they are cut off as they are.
    unsigned = values.dtype.kind == "u"
    wide = values.astype(np.uint64 if unsigned else np.int64)
    pieces = [piece.astype(np.int64) for piece in (wide >> 44, (wide >> 22) & (2**22 - 1), wide & (2**22 - 1))]
    for position in range(values.shape[1]):
        high, middle, low = (np.ascontiguousarray(piece[:, position]) for piece in pieces)
        total = _joined([int(piece.sum()) for piece in (high, middle, low)], 22)
        squares = _joined([int(product.sum()) for product in _products(high, middle, low)], 22)
        sums.total[position] += total << SCALE
        sums.squares[position] += squares << 2 * SCALE


def _add_floats(sums: Sums, values: npt.NDArray[Any]) -> None:
    fractions, exponents = np.frexp(values.astype(np.float64, copy=False))
    finite = np.isfinite(fractions)
    if not finite.all():
        fractions = np.where(finite, fractions, 0)
    lowest = int(exponents.min(initial=0))
    span = int(exponents.max(initial=0)) - lowest + 1
    step = max(1, _BINS // span)
    for first in range(0, values.shape[1], step):
        part = slice(first, first + step)
        integers = np.ldexp(fractions[:, part], 53).astype(np.int64)
        bins = exponents[:, part] - lowest + span * np.arange(integers.shape[1])
        for position, exponent, total, squares in _binned(integers.ravel(), bins.ravel(), span):
            shift = exponent + lowest - 53 + SCALE
            sums.total[first + position] += total << shift
            sums.squares[first + position] += squares << 2 * shift


def _binned(integers: _Integers, bins: npt.NDArray[Any], span: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields position, exponent, sum and sum of squares of each bin that is not empty."""
    pieces = (integers >> 2 * _PIECE, (integers >> _PIECE) & _MASK, integers & _MASK)
    used = np.flatnonzero(np.bincount(bins))
    of_bins = [np.bincount(bins, piece)[used].tolist() for piece in (*pieces, *_products(*pieces))]
    for index, *sums in zip(used.tolist(), *of_bins, strict=True):
        exact = [int(piece) for piece in sums]
        yield index // span, index % span, _joined(exact[:3], _PIECE), _joined(exact[3:], _PIECE)


def _products(high: _Integers, middle: _Integers, low: _Integers) -> Iterator[_Integers]:
    """Yields the pieces of the square, those of the highest bits first."""
    yield high * high
    yield 2 * high * middle
    yield 2 * high * low + middle * middle
    yield 2 * middle * low
    yield low * low


def _joined(pieces: list[int], bits: int) -> int:
    number = 0
    for piece in pieces:
        number = (number << bits) + piece
    return number
