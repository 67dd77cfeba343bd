"""What the switches make of stored points: cut, clipped, judged anew, stacked. The points themselves stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tom_forced_phot.cleaning import CUTS, clip, plain, weighted
from tom_forced_phot.lightcurve.columns import Columns, Integers, Label, Series, fluxes, only, series_of
from tom_forced_phot.lightcurve.options import CUTS_OF, Options
from tom_forced_phot.photometry import DETECTION, Floats, Measurements, is_detection, limit_of, magnitude_error_of, magnitude_of

Mask = NDArray[np.bool_]
NOTHING, DETECTED, LIMIT = 0, 1, 2


@dataclass(frozen=True)
class Points:
    """Points to draw, in order of time; ``ids`` are 0 for means. ``measured``: the flux was measured, not made of a magnitude."""

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

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kind(self) -> NDArray[np.int64]:
        """Of each point: a detection, a limit, or neither."""
        return np.where(np.isfinite(self.magnitude), DETECTED, np.where(np.isfinite(self.limit), LIMIT, NOTHING))

    @property
    def snr(self) -> Floats:
        """Flux over its error; nan where a point has none."""
        with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
            return np.where(self.flux_error > 0, self.flux / self.flux_error, np.nan)

    def only(self, keep: NDArray[np.bool_] | Integers) -> Points:
        """The points that a mask, or indices, choose."""
        return Points(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Curve:
    """A light curve as it is shown. ``points`` were kept, and stand behind the ``means`` where there are any."""

    series: tuple[Series, ...]
    labels: tuple[Label, ...]
    points: Points
    means: Points | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    stored: int = 0

    @property
    def shown(self) -> Points:
        """What a file or a table of it holds: the means, or the points."""
        return self.points if self.means is None else self.means


def evaluate(stored: Columns, options: Options) -> Curve:
    """The light curve that these switches ask for."""
    series, which = series_of(stored)
    flux, error = fluxes(stored)
    left_out: Counter[str] = Counter()
    keep, notes = _chosen(stored, series, which, options), list[str]()
    for cut in options.cuts:
        keep &= _passing(stored, cut, keep, left_out, notes)
    if options.clip:
        keep &= _unclipped(stored, which, flux, error, keep, left_out)
    chosen = points_of(stored, which, flux, error)
    kept = chosen if keep.all() else chosen.only(keep)
    if options.snr is not None:
        kept = judged(kept, options.snr)
    means = _stacked(kept, options, left_out) if options.stack else None
    return Curve(series, stored.labels, kept, means, dict(left_out), notes, len(stored))


def points_of(stored: Columns, which: NDArray[np.int64], flux: Floats, error: Floats) -> Points:
    """Stored points as they stand, with what their fluxes are."""
    return Points(
        ids=stored.ids,
        series=which,
        code=stored.code,
        mjd=stored.mjd,
        flux=flux,
        flux_error=error,
        magnitude=stored.magnitude,
        magnitude_error=stored.magnitude_error,
        limit=stored.limit,
        exposure_time=stored.exposure_time,
        number=np.ones(len(stored), dtype=np.int64),
        measured=np.isfinite(stored.flux),
    )


def judged(points: Points, snr: float) -> Points:
    """Detections above this ratio of flux to error, limits at as many errors; points without an error stay as they are."""
    judgeable = np.isfinite(points.flux) & (points.flux_error > 0)
    detected = judgeable & is_detection(points.flux, points.flux_error, snr)
    limited = judgeable & ~detected
    given = np.isfinite(points.magnitude)
    # a service knows the unrounded flux, so its own magnitude is better than ours
    magnitude = np.where(given, points.magnitude, magnitude_of(points.flux))
    error = np.where(given, points.magnitude_error, magnitude_error_of(points.flux, points.flux_error))
    new = {
        'magnitude': np.where(judgeable, np.where(detected, magnitude, np.nan), points.magnitude),
        'magnitude_error': np.where(judgeable, np.where(detected, error, np.nan), points.magnitude_error),
        'limit': np.where(judgeable, np.where(limited, limit_of(points.flux_error, snr), np.nan), points.limit),
    }
    return Points(**{name: new.get(name, getattr(points, name)) for name in points.__dataclass_fields__})


def _chosen(stored: Columns, series: Sequence[Series], which: NDArray[np.int64], options: Options) -> Mask:
    """The points of the series, and of the dates, that are asked for."""
    keep = np.ones(len(stored), dtype=np.bool_)
    hidden = np.array([each.key in options.hide for each in series], dtype=np.bool_)
    if hidden.any():
        keep &= ~hidden[which]
    if options.first is not None:
        keep &= stored.mjd >= options.first
    if options.last is not None:
        keep &= stored.mjd <= options.last
    return keep


def _passing(stored: Columns, name: str, keep: Mask, left_out: Counter[str], notes: list[str]) -> Mask:
    """The points that pass a cut, and those it does not judge: of other services, or without its columns."""
    cut = CUTS[name]
    service = next(service for service, names in CUTS_OF.items() if name in names)
    of_service = np.array([label.service == service for label in stored.labels], dtype=np.bool_)[stored.code]
    has_columns = np.zeros(len(stored), dtype=np.bool_)
    for rule in cut.rules:
        has_columns |= np.isfinite(stored.quality[rule.column])
    rows = np.flatnonzero(of_service & has_columns & keep)
    unjudged = int(np.count_nonzero(of_service & ~has_columns & keep))
    if unjudged:
        notes.append(f'{unjudged:,} {service} points have no quality columns: {cut.name} does not judge them.')
    verdict = cut(measurements(only(stored, rows)))
    for words, number in verdict.counts().items():
        if number:
            left_out[f'{service}: {words}'] += number
    passing = np.ones(len(stored), dtype=np.bool_)
    passing[rows] = verdict.keep
    return passing


def _unclipped(stored: Columns, which: NDArray[np.int64], flux: Floats, error: Floats, keep: Mask, left_out: Counter[str]) -> Mask:
    """Without the outliers of each series; points without a flux are not judged."""
    rows = np.flatnonzero(keep & np.isfinite(flux) & (error > 0))
    judging = table(mjd=stored.mjd[rows], band=which[rows], flux=flux[rows], error=error[rows], ids=stored.ids[rows])
    clipped = clip(judging)
    if clipped.any():
        left_out['further than 3 sigma from the rolling median'] += int(clipped.sum())
    passing = np.ones(len(stored), dtype=np.bool_)
    passing[rows[clipped]] = False
    return passing


def _stacked(points: Points, options: Options, left_out: Counter[str]) -> Points:
    """One mean a series and bin."""
    stack = {'weighted': weighted, 'plain': plain}[options.stack]
    threshold = DETECTION if options.snr is None else options.snr
    given = table(points.mjd, points.series, points.flux, points.flux_error, points.ids, points.exposure_time)
    found = stack(given, days=options.days, threshold=threshold)
    left_out.update(found.rejected.counts)
    order = np.argsort(found.mjd, kind='stable')
    made = Points(
        ids=np.zeros(len(found), dtype=np.int64),
        series=np.asarray(found.band, dtype=np.int64),
        code=np.full(len(found), -1, dtype=np.int32),
        mjd=found.mjd,
        flux=found.flux,
        flux_error=found.flux_error,
        magnitude=found.magnitude,
        magnitude_error=found.magnitude_error,
        limit=found.limit,
        exposure_time=found.exposure_time,
        number=np.asarray(found.columns['n'], dtype=np.int64),
        measured=np.ones(len(found), dtype=np.bool_),
    )
    return made.only(order)


def measurements(stored: Columns) -> Measurements:
    """Stored points as the recipes of ``cleaning`` take them, quality columns and all."""
    found = table(stored.mjd, stored.code, stored.flux, stored.flux_error, stored.ids, stored.exposure_time)
    return Measurements(**{**_fields(found), 'columns': dict(stored.quality)})


def table(
    mjd: Floats, band: NDArray, flux: Floats, error: Floats, ids: Integers, exposure_time: Floats | None = None
) -> Measurements:
    """Numbers as the recipes take them: what stands for a band is what keeps two points apart, here a series."""
    nothing = np.full(len(mjd), np.nan)
    return Measurements(
        mjd=mjd,
        band=band,
        flux=flux,
        flux_error=error,
        magnitude=nothing,
        magnitude_error=nothing,
        limit=nothing,
        exposure=ids,
        exposure_time=nothing if exposure_time is None else exposure_time,
        telescope='',
        instrument=np.zeros(len(mjd), dtype='<U1'),
    )


def _fields(found: Measurements) -> dict:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}
