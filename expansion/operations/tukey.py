# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Tukey hh distribution: what becomes of a standard normal u by x = u × exp(h × u² ÷ 2), with an h for each side.

T. C. Headrick and M. D. Pant, "Characterizing Tukey h and hh-Distributions through L-Moments and the L-Correlation",
ISRN Applied Mathematics 2012, give its L-moments. Each side adds its own: with a = 2 − h, and all ÷ √(2π),

    scale     1 ÷ ((1 − h) √a)
    skewness  ± (6 ÷ π × atan(1 ÷ √a) ÷ √a − 1 ÷ 2) ÷ (1 − h)
    kurtosis  (30 ÷ π × atan(√(1 + 2 ÷ a)) − 9) ÷ ((1 − h) √a)

where those of skewness and kurtosis are to be divided by that of scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from expansion.operations.lmoments import LMoments

_TOLERANCE = 1e-6
_NORMAL_KURTOSIS = 0.1226017
_MAX_KURTOSIS = 1 - 1e-5
_MAX_H = 1 - 1e-7


class Tukey(NamedTuple):
    """A Tukey hh distribution of (x − location) ÷ scale; both h are 0 of a normal one.

    Attributes:
        location: Where the two sides meet.
        scale: 0 or more; 0 leaves x − location.
        left: The h of what is below the location, 0 or more and below 1.
        right: The h of what is above.
    """

    location: float
    scale: float
    left: float
    right: float


def tukey_parameters(moments: LMoments) -> Tukey:
    """Returns the distribution that has these L-moments.

    Where tails are not longer than those of a normal distribution it is that of the mean and standard deviation.
    Where no h has both the skewness and the kurtosis, the shorter tail's is 0.
    """
    short, long = tail_parameters(abs(moments.skewness), moments.kurtosis)
    if long <= 0:
        return Tukey(moments.mean, moments.standard_deviation, 0.0, 0.0)
    left, right = (long, short) if moments.skewness < 0 else (short, long)
    side = math.sqrt(2 * math.pi)
    scale = moments.scale / ((_scale(left) + _scale(right)) / side)
    location = moments.mean - scale * (1 / (1 - right) - 1 / (1 - left)) / side
    return Tukey(location, scale, left, right)


def tail_parameters(skewness: float, kurtosis: float) -> tuple[float, float]:
    """Returns the h of the shorter and of the longer tail that have an L-skewness, 0 or more, and an L-kurtosis.

    The search goes as far as tensorflow-transform's, so that results are equal: of tails that are long and unequal it
    may end before it has converged, and then an h is up to 0.1 away from that of the exact solution. It begins with
    equal tails, and takes turns at the difference of the two and at the longer one; in each turn it halves the interval
    that the one is known to be in.
    """
    if kurtosis < _NORMAL_KURTOSIS:
        return 0.0, 0.0
    kurtosis = min(kurtosis, _MAX_KURTOSIS)
    equal = 3 - 1 / math.cos(math.pi / 15 * (kurtosis - 6))
    long, difference = equal, 0.0
    longs, differences = (equal, _MAX_H), (0.0, equal)
    before = (0.0, 0.0)
    for _ in range(20):
        if _skewness_error(skewness, long, differences[1]) > 0:  # so there is a difference with that skewness
            difference = _narrow_difference(skewness, long, differences)[1]
            long = _narrow_long(kurtosis, difference, longs)[1]
            longs, differences = (longs[0], long), (differences[0], difference)
            difference = _narrow_difference(skewness, long, differences)[0]
            long = _narrow_long(kurtosis, difference, longs)[0]
            longs, differences = (long, longs[1]), (difference, differences[1])
        else:
            difference = differences[1]
            long = _narrow_long(kurtosis, difference, longs)[0]
            longs, differences = (long, longs[1]), (difference, long)
        errors = (_skewness_error(skewness, long, difference), _kurtosis_error(kurtosis, long, difference))
        if _are_small(errors) or _are_small((long - before[0], difference - before[1])):
            break
        before = (long, difference)
    return long - difference, long


def _skewness_error(wanted: float, long: float, difference: float) -> float:
    return l_ratios(long - difference, long)[0] - wanted


def _kurtosis_error(wanted: float, long: float, difference: float) -> float:
    return l_ratios(long - difference, long)[1] - wanted


def _narrow_difference(skewness: float, long: float, interval: tuple[float, float]) -> tuple[float, float]:
    return _narrowed(lambda difference: _skewness_error(skewness, long, difference), interval)


def _narrow_long(kurtosis: float, difference: float, interval: tuple[float, float]) -> tuple[float, float]:
    return _narrowed(lambda long: _kurtosis_error(kurtosis, long, difference), interval)


def l_ratios(left: float, right: float) -> tuple[float, float]:
    """Returns the L-skewness and L-kurtosis of a distribution with location 0."""
    scale = _scale(left) + _scale(right)
    return (_skewness(right) - _skewness(left)) / scale, (_kurtosis(left) + _kurtosis(right)) / scale


def _scale(h: float) -> float:
    return 1 / ((1 - h) * math.sqrt(2 - h))


def _skewness(h: float) -> float:
    root = math.sqrt(2 - h)
    return (6 / math.pi * math.atan(1 / root) / root - 0.5) / (1 - h)


def _kurtosis(h: float) -> float:
    return (30 / math.pi * math.atan(math.sqrt(1 + 2 / (2 - h))) - 9) * _scale(h)


def _narrowed(error: Callable[[float], float], interval: tuple[float, float]) -> tuple[float, float]:
    """Returns an interval within the given one: at its lower end the error is below 0, at its upper end it is not."""
    low, high = interval
    for _ in range(11):
        middle = (low + high) / 2
        found = error(middle)
        low, high = (middle, high) if found < 0 else (low, middle)
        if abs(found) < _TOLERANCE or high - low < _TOLERANCE:
            break
    return low, high


def _are_small(numbers: tuple[float, float]) -> bool:
    return all(abs(number) < _TOLERANCE for number in numbers)


def to_normal(values: npt.NDArray[np.float64], h: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the u, 0 or more, with x = u × exp(h × u² ÷ 2).

    It is √(W(h × x²) ÷ h), where W is Lambert's function, W(t) × exp(W(t)) = t. With logarithms w + log w = log t,
    which Newton's method solves whatever t is.

    Args:
        values: The x, 0 or more.
        h: 0 or more, of a shape that broadcasts against them.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        log_t = np.log(h) + 2 * np.log(values)
        w = np.log1p(np.exp(np.minimum(log_t, 700)))
        for _ in range(6):
            w = w * (1 + log_t - np.log(w)) / (1 + w)
        u: npt.NDArray[Any] = np.sqrt(w / h)
    plain = (h * np.minimum(values, 1e100) ** 2 < 1e-7) | np.isinf(values)
    return np.where(plain, values, u)
