"""Times and fluxes between the units of the field, in one place for both apps.

MJD = JD - 2400000.5 (IAU 1997, resolution B1); MJD 40587 is 1970-01-01. Every day has 86,400 s here, as in every MJD of UTC.

m(AB) = 23.9 - 2.5 log10(F / uJy)      Oke & Gunn 1983, ApJ 266, 713; 1 Jy = 10^6 uJy
dm    = 2.5 / ln 10 * dF / F           first order

The zero point is 23.9 exactly, so that a source of 0 mag has 10^(0.4 x 23.9) = 3630.78 Jy. Tables made with 3631 Jy are larger by
0.006 %: 0.008 uJy at 130 uJy.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

JD_OF_MJD_0 = 2400000.5
MJD_OF_1970 = 40587.0
SECONDS_A_DAY = 86_400.0
MICROSECONDS_A_DAY = 86_400_000_000
EPOCH = datetime(1858, 11, 17, tzinfo=timezone.utc)  # MJD 0

ZERO_POINT = 23.9
#: A magnitude is given above this ratio of flux to its error, as the ATLAS server and the toolkit do.
DETECTION = 3.0
#: Magnitudes per relative flux.
POGSON = 2.5 / np.log(10.0)
#: A flux in one of these units, in lower case, times the number is in microjansky.
FLUX_UNITS = {
    **dict.fromkeys(('njy', 'nanojansky'), 1e-3),
    **dict.fromkeys(('ujy', '\u00b5jy', '\u03bcjy', 'microjansky'), 1.0),
    **dict.fromkeys(('mjy', 'millijansky'), 1e3),
    **dict.fromkeys(('jy', 'jansky'), 1e6),
}
#: Units, in lower case, of a magnitude from which a flux follows: AB, or a source that does not say.
AB_UNITS = frozenset({'', 'mag', 'mags', 'magnitude', 'ab', 'abmag', 'ab mag', 'mag(ab)', 'ab magnitude'})


def mjd_of(instant: datetime) -> float:
    """The UTC MJD of an aware datetime; ValueError for a naive one."""
    if instant.tzinfo is None:
        raise ValueError('A time without a time zone.')
    return (instant - EPOCH) / timedelta(days=1)


def instant_of(mjd: float) -> datetime:
    """The aware UTC datetime of an MJD (UTC), to the microsecond."""
    return EPOCH + timedelta(days=float(mjd))


def microseconds_of(mjd: Floats) -> Integers:
    """Microseconds since 1970 of an MJD, both UTC; a float64 MJD is good to about 0.6 of them."""
    return np.rint((mjd - MJD_OF_1970) * MICROSECONDS_A_DAY).astype(np.int64)


def mjd_of_microseconds(micros: Integers) -> Floats:
    """MJD of microseconds since 1970, both UTC."""
    return MJD_OF_1970 + micros / MICROSECONDS_A_DAY


def flux_factor(unit: str) -> float:
    """What a number in this unit is multiplied by to be in microjansky; nan where the unit is none of a flux.

    Case counts in one place only: mJy are millijansky, MJy are not.
    """
    if unit.strip() == 'MJy':
        return 1e12
    return FLUX_UNITS.get(unit.strip().lower(), np.nan)


def is_ab(unit: str) -> bool:
    """Whether a magnitude in this unit is AB, or may be taken for it because its source does not say."""
    return unit.strip().lower() in AB_UNITS


def magnitude_of(flux: Floats, zero_point: Floats | float = ZERO_POINT) -> Floats:
    """AB magnitude of a flux (microjansky with the default zero point); nan where the flux is not positive and finite."""
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where((flux > 0) & np.isfinite(flux), zero_point - 2.5 * np.log10(flux), np.nan)


def magnitude_error_of(flux: Floats, error: Floats) -> Floats:
    """The first-order error of a magnitude; nan where the flux is not positive."""
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        return np.where(flux > 0, POGSON * error / flux, np.nan)


def limit_of(error: Floats, sigmas: float, zero_point: Floats | float = ZERO_POINT) -> Floats:
    """The magnitude of ``sigmas`` times the error of the flux; nan where the error is not positive and finite."""
    return magnitude_of(sigmas * error, zero_point)


def flux_of(magnitude: Floats) -> Floats:
    """The flux in microjansky of an AB magnitude."""
    with np.errstate(over='ignore', invalid='ignore'):
        return np.asarray(10 ** (0.4 * (ZERO_POINT - magnitude)))


def flux_error_of(flux: Floats, magnitude_error: Floats) -> Floats:
    """The first-order error of a flux whose magnitude has this error; the unit of the flux."""
    with np.errstate(over='ignore', invalid='ignore'):
        return flux * magnitude_error / POGSON


def microjansky_of(counts: Floats, zero_point: Floats) -> Floats:
    """Counts of an image with the AB zero point ``zero_point`` in microjansky."""
    return counts * flux_of(zero_point)


def is_detection(flux: Floats, error: Floats, threshold: float = DETECTION) -> NDArray[np.bool_]:
    """Whether the signed ratio of flux to error is above the threshold: a negative flux is never a detection."""
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        return np.asarray(flux / error > threshold)
