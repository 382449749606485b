# Licensed under the Apache License, Version 2.0; see LICENSE.
"""L-moments of a sample: J. R. M. Hosking, "L-Moments", Journal of the Royal Statistical Society B 52 (1990)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class LMoments(NamedTuple):
    """The first L-moments of a sample and its standard deviation.

    Attributes:
        mean: The first.
        scale: The second, half the expected difference of two values; 0 of fewer than two.
        skewness: The third ÷ the second; 0 of fewer than four values, and of equal ones.
        kurtosis: The fourth ÷ the second; 0 of fewer than four values, and of equal ones.
        standard_deviation: With ÷ n.
    """

    mean: float
    scale: float
    skewness: float
    kurtosis: float
    standard_deviation: float


def l_moments(values: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> LMoments:
    """Returns the unbiased sample L-moments, in FP64.

    They are written as sums of gaps: with the probability c[r] that all of r values drawn without replacement are
    among the lowest k, that is C(k, r) ÷ C(n, r), and the gap between values k and k + 1,

        l2 = Σ (c1 − c2) gap
        l3 = Σ (−c1 + 3 c2 − 2 c3) gap
        l4 = Σ (c1 − 6 c2 + 10 c3 − 5 c4) gap

    which does not lose digits where values are large and close together.

    Args:
        values: Distinct values, ascending; at least one.
        counts: How often each is there.
    """
    # In units of the largest one, so that no sum is infinite.
    _, exponent = np.frexp(float(max(abs(values[0].item()), abs(values[-1].item()))))
    numbers = np.ldexp(values.astype(np.float64), -exponent)
    lowest = numbers[0]
    above = numbers - lowest
    total = int(counts.sum())
    mean = (above * counts).sum() / total
    deviation = np.ldexp(np.sqrt((counts * (above - mean) ** 2).sum() / total), exponent).item()
    gaps = np.diff(above)
    among = _chances(np.cumsum(counts)[:-1], total)
    second, third, fourth = (
        (sum(factor * chance for factor, chance in zip(factors, among, strict=False)) * gaps).sum().item()
        for factors in ((1, -1), (-1, 3, -2), (1, -6, 10, -5))
    )
    location, scale = np.ldexp(lowest + mean, exponent).item(), np.ldexp(second, exponent).item()
    if total < 4 or second <= 0:
        return LMoments(location, scale, 0.0, 0.0, deviation)
    return LMoments(location, scale, third / second, fourth / second, deviation)


def _chances(lowest: npt.NDArray[np.int64], total: int) -> list[npt.NDArray[np.float64]]:
    """Returns C(k, r) ÷ C(total, r) for each k and r = 1, 2, 3, 4; 0 where r is more than there are."""
    chances = []
    chance = np.ones(len(lowest))
    for drawn in range(4):
        chance = chance * np.maximum(lowest - drawn, 0) / max(total - drawn, 1)
        chances.append(chance)
    return chances
