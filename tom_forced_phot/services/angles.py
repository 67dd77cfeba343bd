"""Angles on the sky. Pure."""

from __future__ import annotations

from math import asin, cos, degrees, radians, sin, sqrt


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """The great-circle distance between two positions (degrees) in arcsec; the haversine form is exact for small angles."""
    one, two = radians(dec), radians(other_dec)
    across = sin(radians(other_ra - ra) / 2) ** 2
    square = sin((two - one) / 2) ** 2 + cos(one) * cos(two) * across
    return 3600 * degrees(2 * asin(sqrt(min(1.0, square))))
