"""Points of a light curve on their way from what is stored to what is shown, as columns, and what each of them is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats, Integers, flux_of
from tom_forced_phot.cleaning.stack import BAD_DAY

Mask = NDArray[np.bool_]
#: What a point is: a mean of a day flagged as bad, and a frame without photometric solution, are neither detection nor limit.
NOTHING, DETECTED, LIMIT, BAD, UNSOLVED = 0, 1, 2, 3, 4
#: More errors than this are no limit of theirs: its source made it in another way.
MOST_SIGMAS = 1e6


@dataclass(frozen=True)
class Points:
    """Points to draw, in order of time; ``ids`` are 0 for means. ``measured``: the flux was measured, not made of a magnitude.

    ``row``: its place among the stored points, -1 for a mean. ``flags``: ATClean's, of a weighted mean; ``clipped`` and ``x2``: how
    many points it is without, and its reduced chi squared. ``baseline`` (microjansky): what was subtracted from the flux.
    """

    ids: Integers
    series: NDArray[np.int64]
    code: NDArray[np.int32]
    mjd: Floats
    flux: Floats
    flux_error: Floats
    magnitude: Floats
    magnitude_error: Floats
    limit: Floats
    exposure_time: Floats
    number: NDArray[np.int64]
    measured: Mask
    row: NDArray[np.int64]
    unsolved: Mask
    flags: NDArray[np.int64]
    clipped: NDArray[np.int64]
    x2: Floats
    baseline: Floats
    baseline_epochs: NDArray[np.int64]
    extinction: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kind(self) -> NDArray[np.int64]:
        """Of each point: a detection, a limit, or why it is neither."""
        judged = np.where(np.isfinite(self.magnitude), DETECTED, np.where(np.isfinite(self.limit), LIMIT, NOTHING))
        return np.where((self.flags & BAD_DAY) != 0, BAD, np.where(self.unsolved, UNSOLVED, judged))

    @property
    def limit_sigmas(self) -> Floats:
        """How many errors of the flux a limit is; nan where there is no limit, or no error."""
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            ratio = flux_of(self.limit) / self.flux_error
        return np.where((self.flux_error > 0) & (ratio < MOST_SIGMAS), np.round(ratio, 3), np.nan)

    @property
    def snr(self) -> Floats:
        """Flux over its error; nan where a point has none."""
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            return np.where(self.flux_error > 0, self.flux / self.flux_error, np.nan)

    def only(self, keep: NDArray[np.bool_] | Integers) -> Points:
        """The points that a mask, or indices, choose."""
        return Points(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})
