"""ATLAS result files, byte for byte in the form of the real ones (job211831, tom_base's NGC 1566)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.lightcurves import ATLAS, BANDS, Floats, Ints, Sky, key_of, normal, uniform

Column = NDArray[Any]
HEADER = (
    '###MJD          m      dm   uJy   duJy F err chi/N     RA       Dec        x        y     maj  min   phi  apfit'
    ' mag5sig Sky   Obs'
)
#: The official column description has PA_DEG between mag5sig and Sky; no served file that has it was found.
HEADER_PA = HEADER.replace(' Sky ', ' PA_DEG Sky ')
START = '%12.6f %7.3f %6.3f %5.0f %4.0f %s %2d %6.2f %9.5f %9.5f %8.2f %8.2f %4.2f %4.2f %5.1f %6.3f %5.2f'
ROW = START + ' %5.2f %s\n'
ROW_PA = START + ' %6.1f %5.2f %s\n'
CONFUSED = 0.0015  # the share of failed rows in job211831, roughly


@dataclass
class Frame:
    """The numbered exposures of a position: when, by which site, in which filter."""

    number: Ints
    mjd: Floats
    night: Ints
    site: Ints
    band: Column


def atlas_frame(sky: Sky, ra: float, dec: float, begin: float, end: float, *, rare: bool = True) -> Frame:
    """The exposures of a position: c about new moon, else o; g, H and w are seen, rarely."""
    number, mjd, night = ATLAS.slots(sky, ra, dec, begin, end)
    key = sky.key('atlas frame', ra, dec, 0.1)
    sites = [3, 4] if dec < -50 else [1, 2] if dec > 50 else [1, 2, 3, 4]
    site = np.array(sites)[(uniform(key, night, 1) * len(sites)).astype(int)]
    dark = np.abs((night - 51550.0 + 14.765) % 29.53 - 14.765) < 5
    band = np.where(dark, 'c', 'o')
    if rare:
        chance = uniform(key, number, 2)
        band = np.select([chance < 0.002, chance < 0.004, chance < 0.006], ['g', 'H', 'w'], band)
    return Frame(number, mjd, night, site, band)


def atlas_columns(
    sky: Sky, ra: float, dec: float, frame: Frame, *, reduced: bool = False, revision: int = 0, confused: float = CONFUSED
) -> list[Column]:
    """The columns of a file: true flux of the source, noise of the exposure, and what the frame was like."""
    number, key = frame.number, sky.key('atlas flux', ra, dec)
    flux, error = _measured(sky, ra, dec, frame, reduced, revision)
    limit, bright = 23.9 - 2.5 * np.log10(5 * error), np.clip(flux, 0, None)
    wrong, kind = uniform(key, number, 3) < confused, uniform(key, number, 4)
    which = np.where(wrong, np.select([kind < 0.3, kind < 0.6], [0, 1], 2), 3)
    flux = np.choose(which, [0.0, 15037656164.0, -234678343.0, flux])
    error = np.choose(which, [0.0, 9679410864.0, 13376665550.0, error])
    limit = np.choose(which, [14.73, -2.67, -3.13, limit])
    with np.errstate(divide='ignore', invalid='ignore'):
        sized = np.abs(flux) > 0
        mag = np.where(sized, np.sign(flux) * (23.9 - 2.5 * np.log10(np.abs(flux))), 0.0)
        magerr = np.where(sized, 1.0857 * error / np.abs(flux), 0.0)
    share, whole = [uniform(key, number, salt) for salt in range(10, 18)], np.ones(len(number))
    major = 1.9 + 0.9 * share[1]
    return [
        frame.mjd, mag, magerr, flux, error, frame.band, 0 * number, 0.9 + 0.4 * share[0] + bright / 50, ra * whole, dec * whole,
        150 + 10200 * share[2], 150 + 10200 * share[3], major, major * (0.8 + 0.15 * share[4]), 180 * share[5] - 90,
        -0.3 - 0.2 * share[6], limit, 360 * share[7], np.where(wrong, -1.24, 19.5 + share[5]), np.array(_names(frame)),
    ]  # fmt: skip


def _measured(sky: Sky, ra: float, dec: float, frame: Frame, reduced: bool, revision: int) -> tuple[Floats, Floats]:
    number, key, source = frame.number, sky.key('atlas flux', ra, dec), sky.source(ra, dec)
    truth = np.zeros(len(number))
    for band in BANDS:
        here = frame.band == band
        truth[here] = source.at(frame.mjd[here], band) + (source.host if reduced else 0.0)
    error = np.exp(2.6 + 0.9 * uniform(key, number, 1) ** 2) * (1 + 0.4 * (frame.band == 'o'))
    error = np.hypot(error, 0.01 * truth)
    flux = truth + error * normal(key, number, 2)
    if revision:
        flux = flux + 0.1 * error * normal(key, number, 100 + revision)
        error = error * (1 + 0.02 * uniform(key, number, 200 + revision))
    return flux, error


def _names(frame: Frame) -> list[str]:
    places = (50 + each % 900 for each in _places(frame.night, frame.number))
    parts = zip(frame.site.tolist(), frame.night.tolist(), places, frame.band.tolist(), strict=True)
    return [f'{site:02d}a{night:05d}o{place:04d}{band}' for site, night, place, band in parts]


def _places(night: Ints, number: Ints) -> list[int]:
    """A number within the night for each exposure, never twice in a night."""
    return [int(each) for each in (number - night * 4) * 37 + (night * 13) % 150]


def write_atlas(columns: list[Column], *, pa_deg: bool = False, last_newline: bool = True) -> bytes:
    """Print columns (20, with PA_DEG before Sky) as a file of 19, or of 20 columns."""
    shown = columns if pa_deg else columns[:17] + columns[18:]
    row = ROW_PA if pa_deg else ROW
    rows = map(row.__mod__, zip(*(each.tolist() for each in shown), strict=True))
    text = (HEADER_PA if pa_deg else HEADER) + '\n' + ''.join(rows)
    return (text if last_newline else text[:-1]).encode()


def atlas_light_curve(
    sky: Sky, ra: float, dec: float, begin: float, end: float, *, reduced: bool = False, revision: int = 0, **form: bool
) -> bytes:
    """The file of a position from ``begin`` to ``end`` (MJD); only a header row if nothing was exposed."""
    frame = atlas_frame(sky, ra, dec, begin, end)
    return write_atlas(atlas_columns(sky, ra, dec, frame, reduced=reduced, revision=revision), **form)


def atlas_file(rows: int, seed: int, revision: int = 0) -> bytes:
    """A file of exactly so many rows, fast, for benchmarks."""
    sky = Sky(seed)
    number = np.arange(rows, dtype=np.int64) + 57300 * 4
    night = number // 4
    mjd = np.round(night + 0.3 + 0.011 * (number % 4) + 0.002 * uniform(key_of(seed), number, 1), 6)
    band = np.where(uniform(key_of(seed), night, 2) < 0.25, 'c', 'o')
    frame = Frame(number, mjd, night, 1 + night % 4, band)
    return write_atlas(atlas_columns(sky, 150.0, 20.0, frame, revision=revision))
