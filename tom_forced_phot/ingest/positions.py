"""Where a file was measured, compared with where its target is.

A file says it by row (its position, or the mean one of a catalogue's object) or in its header. Rows further away than TOLERANCE are
of something else. Between APART and that they are taken, and the account says it: people ask with coordinates of different origin,
and photometry at two positions is not one light curve to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import Floats
from tom_forced_phot.core.photometry import Measurements

#: Arcsec. The control positions of ATClean, 17 arcsec away, are beyond the first.
TOLERANCE, APART = 5.0, 1.0
COLUMNS = (('RA', 'Dec'), ('ra', 'dec'), ('raMean', 'decMean'), ('raStack', 'decStack'))
MAS_A_DEGREE = 3_600_000.0
ARCSEC_A_DEGREE = 3600.0
#: The epoch of a position in years, where a target has a proper motion and does not say; MJD of J2000.0, days of a Julian year.
EPOCH_YEAR, MJD_OF_2000, YEAR = 2000.0, 51544.5, 365.25


@dataclass(frozen=True, kw_only=True)
class Places:
    """The position of each row, in degrees (ICRS); nan where it has none."""

    ra: Floats
    dec: Floats

    @property
    def middle(self) -> tuple[float, float] | None:
        """The median position, across RA 0 too; None where no row has one."""
        known = np.isfinite(self.ra) & np.isfinite(self.dec)
        if not known.any():
            return None
        ra, dec = self.ra[known], self.dec[known]
        turned = (ra - ra[0] + 180) % 360 - 180
        return float((ra[0] + np.median(turned)) % 360), float(np.median(dec))


def places(table: Measurements) -> Places:
    """Where the rows of a table were measured."""
    for names in COLUMNS:
        if all(name in table.columns for name in names):
            ra, dec = (numbers(table.columns[name]) for name in names)
            known = (np.abs(dec) <= 90) & (ra >= -360) & (ra <= 720)
            return Places(ra=np.where(known, ra, np.nan), dec=np.where(known, dec, np.nan))
    asked = table.position or (np.nan, np.nan)
    return Places(ra=np.full(len(table), asked[0]), dec=np.full(len(table), asked[1]))


def numbers(column: NDArray[Any]) -> Floats:
    """A column as float64; nan everywhere where it is text."""
    return column.astype(np.float64) if column.dtype.kind in 'if' else np.full(len(column), np.nan)


def separations(ra: Floats | float, dec: Floats | float, other_ra: Floats | float, other_dec: Floats | float) -> Floats:
    """The great-circle distances in arcsec of positions in degrees, by the haversine form."""
    one, two = np.radians(dec), np.radians(other_dec)
    across = np.sin((np.radians(other_ra) - np.radians(ra)) / 2) ** 2
    square = np.sin((two - one) / 2) ** 2 + np.cos(one) * np.cos(two) * across
    return np.asarray(ARCSEC_A_DEGREE * np.degrees(2 * np.arcsin(np.sqrt(np.minimum(1.0, square)))))


def distances(table: Measurements, target: Any) -> Floats | None:
    """Arcsec between each row and the target; None for a target that moves or has no position.

    A star with a proper motion may have been measured where it is catalogued, or where it was that night: the nearer one counts.
    """
    if target.type != 'SIDEREAL' or target.ra is None or target.dec is None:
        return None
    here = places(table)
    catalogued = separations(target.ra, target.dec, here.ra, here.dec)
    if not (target.pm_ra or target.pm_dec):
        return catalogued
    years = EPOCH_YEAR + (table.mjd - MJD_OF_2000) / YEAR - (target.epoch or EPOCH_YEAR)
    dec = target.dec + (target.pm_dec or 0.0) * years / MAS_A_DEGREE
    ra = target.ra + (target.pm_ra or 0.0) * years / MAS_A_DEGREE / max(np.cos(np.radians(target.dec)), 1e-6)
    return np.asarray(np.fmin(catalogued, separations(ra, dec, here.ra, here.dec)))


def at_target(table: Measurements, target: Any) -> tuple[Measurements, str]:
    """The table without the rows that were measured elsewhere, and what a person should know about the position.

    Where all rows are elsewhere the text is why, and the table is empty.
    """
    away = distances(table, target)
    if away is None or not len(table):
        return table, ''
    if not np.isfinite(away).any():
        return table, 'the file does not say for which position it was measured'
    far = away > TOLERANCE
    if not far.any():
        middle = float(np.nanmedian(away))
        return table, f'measured {middle:.1f} arcsec from the position of {target.name}' if middle > APART else ''
    here, nearest = places(table), int(np.nanargmin(away))
    found = f'{here.ra[nearest]:.5f} {here.dec[nearest]:.5f}, {distance(away[nearest])} from {target.name}'
    line = f' (line {table.lines[nearest]})' if table.lines is not None and len(table.lines) else ''
    kept, _ = table.rejecting(far, f'measured more than {TOLERANCE:g} arcsec from {target.name}', numbered(table))
    if len(kept):
        return kept, ''
    return kept, f'It was measured at another position: the nearest row{line} is at {found}; {TOLERANCE:g} arcsec are allowed.'


def numbered(table: Measurements) -> NDArray[np.int64]:
    """The line of each row in its file, where that is known; else their order."""
    return table.lines if table.lines is not None else np.arange(1, len(table) + 1)


def distance(arcsec: float) -> str:
    """In words, in the unit that one can imagine."""
    if arcsec < 120:
        return f'{arcsec:.1f} arcsec'
    return f'{arcsec / 60:.1f} arcmin' if arcsec < 7200 else f'{arcsec / ARCSEC_A_DEGREE:.1f} degrees'
