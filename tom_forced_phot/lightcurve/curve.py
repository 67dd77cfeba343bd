"""What the switches make of stored points: cut, clipped, judged anew, stacked. The points themselves stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import DETECTION, Floats, Integers, flux_of, is_detection, limit_of, magnitude_error_of, magnitude_of
from tom_forced_phot.cleaning import Cut, plain, weighted
from tom_forced_phot.cleaning.stack import BAD_DAY, clip
from tom_forced_phot.cleaning.ztf import SNT, SNU
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.lightcurve import baseline as baselines
from tom_forced_phot.lightcurve.baseline import Corrected, ReferenceGroup
from tom_forced_phot.lightcurve.columns import Columns, Label, Series, fluxes, series_of
from tom_forced_phot.lightcurve.options import Options
from tom_forced_phot.lightcurve.reading import numeric

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
    quality: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    groups: Sequence[ReferenceGroup] = ()

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
    for service, cut in options.cuts.items():
        keep &= _passing(stored, service, cut, keep, left_out, notes)
    larger = np.zeros(len(stored), dtype=np.bool_)
    for service, column in options.inflated.items():
        error, of_service = _inflated(stored, service, column, keep, error, notes)
        larger |= of_service
    without = None
    if options.baseline is not None:
        without = baselines.corrected(stored, options.baselined, keep, flux, error, options.baseline)
        keep &= _with_baseline(without, options, left_out, notes)
        flux, error = without.flux, without.flux_error
    if options.clip:
        keep &= _unclipped(stored, which, flux, error, keep, left_out)
    chosen = points_of(stored, which, flux, error, without)
    kept = chosen if keep.all() else chosen.only(keep)
    if without is not None:
        kept = _judged_again(kept)
    if larger.any():
        kept = judged(kept, DETECTION, larger[kept.row])
    if options.snr is not None:
        kept = judged(kept, options.snr)
    means = _stacked(kept, options, left_out) if options.stack else None
    groups = () if without is None else without.groups
    return Curve(series, stored.labels, kept, means, dict(left_out), notes, len(stored), stored.quality, groups)


def _with_baseline(without: Corrected, options: Options, left_out: Counter[str], notes: list[str]) -> Mask:
    """The points that have a baseline, and those that need none; never some corrected and others not in one series."""
    service = ' and '.join(sorted(options.baselined))
    for points, words in ((without.wanting, baselines.TOO_FEW), (without.unjudged, baselines.NO_COLUMNS)):
        if points.any():
            left_out[f'{service}: {words}'] += int(np.count_nonzero(points))
    made = [group for group in without.groups if np.isfinite(group.level)]
    notes.append(
        f'Baseline of {service}: subtracted from {counted_as(sum(group.points for group in made), "point")} of '
        f'{counted_as(len(made), "group")} (field, CCD, quadrant, filter, reference image).'
    )
    return ~(without.wanting | without.unjudged)


def _judged_again(points: Points) -> Points:
    """What a baseline was subtracted of, by the guide's thresholds: a magnitude above 3 errors, else the limit of 5."""
    done = np.isfinite(points.baseline)
    magnitude, error = magnitude_of(points.flux), magnitude_error_of(points.flux, points.flux_error)
    detected = is_detection(points.flux, points.flux_error, SNT)
    new = {
        'magnitude': np.where(done, np.where(detected, magnitude, np.nan), points.magnitude),
        'magnitude_error': np.where(done, np.where(detected, error, np.nan), points.magnitude_error),
        'limit': np.where(done, np.where(detected, np.nan, limit_of(points.flux_error, SNU)), points.limit),
    }
    return replace(points, **new)


def points_of(stored: Columns, which: NDArray[np.int64], flux: Floats, error: Floats, without: Corrected | None = None) -> Points:
    """Stored points as they stand, with what their fluxes are."""
    number = len(stored)
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
        number=np.ones(number, dtype=np.int64),
        measured=np.isfinite(stored.flux),
        row=np.arange(number),
        unsolved=stored.unsolved,
        flags=np.zeros(number, dtype=np.int64),
        clipped=np.zeros(number, dtype=np.int64),
        x2=np.full(number, np.nan),
        baseline=np.full(number, np.nan) if without is None else without.level,
        baseline_epochs=np.zeros(number, dtype=np.int64) if without is None else without.epochs,
    )


def _inflated(stored: Columns, service: str, column: str, keep: Mask, error: Floats, notes: list[str]) -> tuple[Floats, Mask]:
    """Errors with those of a column in their place, and of which points they are; what has none keeps its own, and is counted."""
    of_service = np.array([label.service == service for label in stored.labels], dtype=np.bool_)[stored.code]
    own = numeric(stored.quality[column]) if column in stored.quality else np.full(len(stored), np.nan)
    larger = of_service & (own > 0)
    without = int(np.count_nonzero(of_service & keep & ~larger))
    if without:
        notes.append(f'{counted_as(without, f"{service} point")} without control light curves: the errors stay as they are.')
    return np.where(larger, own, error), larger


def judged(points: Points, snr: float, which: Mask | None = None) -> Points:
    """Detections above this ratio of flux to error, limits at as many errors.

    Points without an error stay as they are, and so does a frame without photometric solution: nothing can be said of it.
    """
    judgeable = np.isfinite(points.flux) & (points.flux_error > 0) & ~points.unsolved
    if which is not None:
        judgeable &= which
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
    return replace(points, **new)


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


def _passing(stored: Columns, service: str, cut: Cut, keep: Mask, left_out: Counter[str], notes: list[str]) -> Mask:
    """The points that pass a cut, and those it does not judge: of other services, or without one of its columns."""
    mine = [label.service == service and (not cut.reductions or label.reduction in cut.reductions) for label in stored.labels]
    of_service = np.array(mine, dtype=np.bool_)[stored.code] & keep
    missing = np.full(len(stored), np.nan)
    wanted = dict.fromkeys(rule.column for rule in cut.rules)
    own = {name: numeric(stored.quality[name]) if name in stored.quality else missing for name in wanted}
    whole = of_service & np.logical_and.reduce([np.isfinite(column) for column in own.values()])
    unjudged = of_service & ~whole
    if unjudged.any():
        lacking = [name for name, column in own.items() if np.isnan(column[unjudged]).any()]
        number = int(np.count_nonzero(unjudged))
        verb, them = ('lacks', 'it') if number == 1 else ('lack', 'them')
        notes.append(f'{counted_as(number, f"{service} point")} {verb} {", ".join(lacking)}: {cut.name} does not judge {them}.')
    rows = np.flatnonzero(whole)
    given = table(stored.mjd[rows], stored.code[rows], stored.flux[rows], stored.flux_error[rows], stored.ids[rows])
    verdict = cut(replace(given, columns={name: column[rows] for name, column in own.items()}))
    for words, number in verdict.counts().items():
        if number:
            left_out[f'{service}: {words}'] += number
    passing = np.ones(len(stored), dtype=np.bool_)
    passing[rows] = verdict.keep
    return passing


def counted_as(number: int, noun: str) -> str:
    """``1 point``, ``1,200 points``."""
    return f'{number:,} {noun}{"" if number == 1 else "s"}'


def _unclipped(stored: Columns, which: NDArray[np.int64], flux: Floats, error: Floats, keep: Mask, left_out: Counter[str]) -> Mask:
    """Without the outliers of each series; points without a flux, or without photometric solution, are not judged."""
    rows = np.flatnonzero(keep & np.isfinite(flux) & (error > 0) & ~stored.unsolved)
    judging = table(mjd=stored.mjd[rows], band=which[rows], flux=flux[rows], error=error[rows], ids=stored.ids[rows])
    clipped = clip(judging)
    if clipped.any():
        left_out['further than 3 sigma from the rolling median'] += int(clipped.sum())
    passing = np.ones(len(stored), dtype=np.bool_)
    passing[rows[clipped]] = False
    return passing


def _stacked(points: Points, options: Options, left_out: Counter[str]) -> Points:
    """One mean a series and bin; frames without photometric solution are in none."""
    if points.unsolved.any():
        left_out[UNSOLVED_WORDS] += int(np.count_nonzero(points.unsolved))
        points = points.only(~points.unsolved)
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
        row=np.full(len(found), -1, dtype=np.int64),
        unsolved=np.zeros(len(found), dtype=np.bool_),
        # only ATClean's own mean has its verdict on a day
        flags=np.asarray(found.columns['flags'], dtype=np.int64) * (options.stack == 'weighted'),
        clipped=np.asarray(found.columns['clipped'], dtype=np.int64),
        x2=np.asarray(found.columns['x2'], dtype=np.float64),
        baseline=np.full(len(found), np.nan),
        baseline_epochs=np.zeros(len(found), dtype=np.int64),
    )
    return made.only(order)


UNSOLVED_WORDS = 'no photometric solution: in no mean'


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
