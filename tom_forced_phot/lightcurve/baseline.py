"""The baseline of difference images, taken from stored points: what is subtracted of which, and what has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats, flux_of
from tom_forced_phot.cleaning import (
    BASELINE_COLUMNS,
    BASELINE_CUT,
    LEAST_EPOCHS,
    quality,
    quiet_epochs,
    reference_groups,
    rescale,
    subtract_baseline,
)
from tom_forced_phot.core.photometry import Measurements, rows_by_group
from tom_forced_phot.lightcurve.columns import Columns, Mask, Points, numeric
from tom_forced_phot.lightcurve.options import Baseline, Options

DIFFERENCE = 'difference'


@dataclass(frozen=True, kw_only=True)
class ReferenceGroup:
    """One field, CCD, quadrant, filter and reference image: its baseline in DN (nan: too few epochs), of how many epochs."""

    words: str
    level: float
    microjansky: float
    epochs: int
    points: int


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """Columns over all points: fluxes after the subtraction; ``level`` (microjansky) is nan where none was made.

    ``wanting``: points that should have had one, and have none: their group has too few quiet epochs. ``unjudged``: points of the
    service without the columns that it takes.
    """

    flux: Floats
    flux_error: Floats
    level: Floats
    epochs: NDArray[np.int64]
    wanting: Mask
    unjudged: Mask
    groups: Sequence[ReferenceGroup]

    def applied(self, points: Points) -> Points:
        """All points with these fluxes."""
        return replace(points, flux=self.flux, flux_error=self.flux_error, baseline=self.level, baseline_epochs=self.epochs)


def corrected(stored: Columns, points: Points, sound: Mask, options: Options) -> Corrected:
    """The fluxes of the services' difference images without their baseline.

    It is made of all sound epochs that pass the guide's own quality cut, whichever cut was chosen: a ruined frame tells nothing
    of a baseline.
    """
    baseline = options.baseline or Baseline()
    mine = [label.service in options.baselined and label.reduction == DIFFERENCE for label in stored.labels]
    of_service = np.array(mine, dtype=np.bool_)[stored.code] & sound & ~stored.unsolved
    of_service &= np.isfinite(points.flux) & (points.flux_error > 0)
    missing = np.full(len(stored), np.nan)
    own = {name: numeric(stored.quality[name]) if name in stored.quality else missing for name in BASELINE_COLUMNS}
    described = of_service & np.logical_and.reduce([np.isfinite(column) for column in own.values()])
    rows = np.flatnonzero(described)
    found = measured(stored, points, rows, own)
    quiet = (quiet_between if baseline.quiet else quiet_far)(found, baseline)
    made = subtract_baseline(found, quiet)
    if baseline.rescale:
        made = rescale(made, quiet)
    level, epochs = missing.copy(), np.zeros(len(stored), dtype=np.int64)
    level[rows] = made.columns['baseline'] * flux_of(own['zpdiff'][rows])
    epochs[rows] = made.columns['baseline_epochs']
    flux, error = points.flux.copy(), points.flux_error.copy()
    flux[rows], error[rows] = made.flux, made.flux_error
    return Corrected(
        flux=flux,
        flux_error=error,
        level=level,
        epochs=epochs,
        wanting=described & np.isnan(level),
        unjudged=of_service & ~described,
        groups=described_groups(made),
    )


def measured(stored: Columns, points: Points, rows: NDArray[np.int64], own: dict[str, Floats]) -> Measurements:
    """Stored points as the recipe takes them."""
    nothing = np.full(len(rows), np.nan)
    bands, instruments = (np.array([getattr(label, name) for label in stored.labels]) for name in ('band', 'instrument'))
    return Measurements(
        mjd=stored.mjd[rows],
        band=bands[stored.code[rows]] if len(rows) else np.zeros(0, dtype='<U1'),
        flux=points.flux[rows],
        flux_error=points.flux_error[rows],
        magnitude=nothing,
        magnitude_error=nothing,
        limit=nothing,
        exposure=stored.ids[rows],
        exposure_time=stored.exposure_time[rows],
        telescope='',
        instrument=instruments[stored.code[rows]] if len(rows) else np.zeros(0, dtype='<U1'),
        columns={name: column[rows] for name, column in own.items()},
    )


def quiet_far(found: Measurements, baseline: Baseline) -> Mask:
    """The good epochs far from the maximum, of each group those before it if they are enough, else those after."""
    good = np.flatnonzero(BASELINE_CUT(found).keep)
    quiet = np.zeros(len(found), dtype=np.bool_)
    quiet[good] = quiet_epochs(found.only(good), float(baseline.peak or 0.0))
    return quiet


def quiet_between(found: Measurements, baseline: Baseline) -> Mask:
    """The good epochs of the interval."""
    first, last = baseline.quiet or (np.inf, -np.inf)
    return BASELINE_CUT(found).keep & (found.mjd >= first) & (found.mjd <= last)


def described_groups(made: Measurements) -> list[ReferenceGroup]:
    """What was made of each group, for people."""
    found = []
    starts, ends = (quality(made, name) for name in ('refjdstart', 'refjdend'))
    zero_point = quality(made, 'zpdiff')
    for rows in rows_by_group(reference_groups(made)):
        first = rows[0]
        level = float(made.columns['baseline'][first])
        scales = flux_of(zero_point[rows])
        found.append(
            ReferenceGroup(
                words=f'{made.instrument[first]} {made.band[first]}, reference of JD {starts[first]:.1f} to {ends[first]:.1f}',
                level=level,
                microjansky=level * float(np.median(scales)),
                epochs=int(made.columns['baseline_epochs'][first]),
                points=len(rows),
            )
        )
    return found


TOO_FEW = f'no baseline: fewer than {LEAST_EPOCHS} quiet epochs of their field, CCD, quadrant, filter and reference image'
NO_COLUMNS = 'no baseline: their files say nothing of the reference image, the zero point or the quality'
