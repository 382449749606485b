# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Features of trips, as custom hooks: one is a function, the other a class that is made once and then called.

A hook gets a dict of the columns that its configuration names, and returns a dict of those that it makes. Each is a
numpy array of all rows of a batch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG


def clock(columns: dict[str, npt.NDArray[np.float64]], period: float = 24.0) -> dict[str, npt.NDArray[np.float64]]:
    """Puts a time on a circle, so that 23:59 is near 00:01.

    Args:
        columns: ``hour``, float64 [rows]: a time within the period.
        period: After how long times repeat, in the unit of ``hour``. Default: a day of 24 hours.

    Returns:
        ``clock``, float64 [rows, 2]: sine and cosine.
    """
    angle = columns["hour"] * (2 * np.pi / period)
    return {"clock": np.stack([np.sin(angle), np.cos(angle)], axis=1)}


class DistanceTo:
    """How far places are from one place.

    Args:
        latitude: Of that place, in degrees.
        longitude: Of that place, in degrees.
    """

    def __init__(self, latitude: float, longitude: float):
        if not -90 <= latitude <= 90:
            raise ValueError(f"latitude: got {latitude}; expected degrees, from -90 to 90")
        self._latitude, self._longitude = np.radians([latitude, longitude])

    def __call__(self, columns: dict[str, npt.NDArray[np.float64]]) -> dict[str, npt.NDArray[np.float64]]:
        """Returns great-circle distances, by the haversine formula (https://en.wikipedia.org/wiki/Haversine_formula).

        Args:
            columns: ``latitude`` and ``longitude``, float64 [rows], in degrees.

        Returns:
            ``distance_km``, float64 [rows].
        """
        latitude, longitude = np.radians(columns["latitude"]), np.radians(columns["longitude"])
        haversine = (
            np.sin((latitude - self._latitude) / 2) ** 2
            + np.cos(latitude) * np.cos(self._latitude) * np.sin((longitude - self._longitude) / 2) ** 2
        )
        return {"distance_km": 2 * _EARTH_RADIUS_KM * np.arcsin(np.sqrt(haversine))}
