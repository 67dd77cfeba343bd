"""What must hold in the sky for an observation to be asked for."""

from __future__ import annotations

from dataclasses import dataclass

DARKNESS: dict[str, float | None] = {'any': None, 'civil': -6.0, 'nautical': -12.0, 'astronomical': -18.0}
"""The altitude of the Sun's centre, in degrees, below which each kind of twilight is over."""


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Least altitude and distance from the Moon in degrees, greatest airmass, and which twilight must be over."""

    min_altitude: float | None = None
    max_airmass: float | None = None
    darkness: str = 'any'
    min_moon_distance: float | None = None

    def in_words(self) -> str:
        """For example ``above 30°, airmass up to 2, after astronomical twilight, 40° from the Moon``."""
        parts = [
            f'above {self.min_altitude:g}°' if self.min_altitude is not None else '',
            f'airmass up to {self.max_airmass:g}' if self.max_airmass is not None else '',
            f'after {self.darkness} twilight' if self.darkness != 'any' else '',
            f'{self.min_moon_distance:g}° from the Moon' if self.min_moon_distance is not None else '',
        ]
        return ', '.join(part for part in parts if part)
