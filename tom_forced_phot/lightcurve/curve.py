"""What the switches make of stored points: cut, clipped, judged anew, stacked. The points themselves stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tom_followup.units import DETECTION, Floats, is_detection, limit_of, magnitude_error_of, magnitude_of
from tom_forced_phot.cleaning import BASELINE_LIMIT, BASELINE_THRESHOLD, Cut, plain, weighted
from tom_forced_phot.cleaning.stack import BAD_DAY, clip
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.lightcurve import baseline as baselines
from tom_forced_phot.lightcurve.bands import Dust
from tom_forced_phot.lightcurve.baseline import Corrected, ReferenceGroup
from tom_forced_phot.lightcurve.columns import Columns, Label, Mask, Points, Series, fluxes, numeric, series_of
from tom_forced_phot.lightcurve.options import Distance, Options
from tom_forced_phot.lightcurve.times import Axis, find_period


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
    axis: Axis | None = None
    distance: Distance | None = None
    dust: Dust | None = None

    @property
    def modulus(self) -> float:
        """What is subtracted from a magnitude to make it absolute; 0 where no distance was given."""
        return 0.0 if self.distance is None else self.distance.modulus

    @property
    def shown(self) -> Points:
        """What a file or a table of it holds: the means, or the points."""
        return self.points if self.means is None else self.means


BASELINE_BEFORE_DUST = (
    'The baseline is subtracted first; what remains, and its errors, are corrected for extinction. '
    'The baseline of each group, and the column baseline of a file, are without that correction.'
)
OWN_COLUMNS = (
    "The services' own columns stay as the services gave them, in files, too: neither baseline nor extinction is corrected there."
)


@dataclass
class _Account:
    """What is told of an evaluation: how many points were left out for which reason, and sentences."""

    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def evaluate(stored: Columns, options: Options) -> Curve:
    """The light curve that these switches ask for.

    What is hidden, or outside of the dates asked for, is not counted, but has its part in a baseline: that does not change with
    what is looked at.
    """
    series, which = series_of(stored)
    points, account = points_of(stored, which), _Account()
    if stored.newest_only:
        account.notes.append(f'Only the newest {len(stored)} points are here, because there are more than are read at a time.')
    asked = _chosen(points, series, options)
    sound = np.ones(len(stored), dtype=np.bool_)
    for pk, reason in options.hidden.items():
        here = points.ids == pk
        sound &= ~here
        if (here & asked).any():
            account.left_out[f'hidden by hand: {reason}'] += 1
    for service, cut in options.cuts.items():
        sound &= _passing(stored, service, cut, asked & sound, account)
    larger = np.zeros(len(stored), dtype=np.bool_)
    for service, column in options.inflated.items():
        errors = _larger_errors(stored, service, column, asked & sound, account)
        larger |= errors > 0
        points = _with_errors(points, errors)
    groups: Sequence[ReferenceGroup] = ()
    if options.baseline is not None:
        without = baselines.corrected(stored, points, sound, options)
        sound &= _with_baseline(without, asked, options, account)
        points, groups = without.applied(points), without.groups
    if options.clip:
        sound &= _unclipped(points, asked & sound, account)
    keep = asked & sound
    kept = points if keep.all() else points.only(keep)
    if options.dust is not None:
        kept = _without_dust(kept, series, options.dust, account)
    account.notes += _uncorrected(options)
    if options.baseline is not None:
        kept = _judged_again(kept)
    if larger.any():
        kept = judged(kept, DETECTION, larger[kept.row])
    if options.snr is not None:
        kept = judged(kept, options.snr)
    means = _stacked(kept, options, account) if options.stack else None
    axis = _axis(kept if means is None else means, series, options, account)
    return Curve(
        series=series,
        labels=stored.labels,
        points=kept,
        means=means,
        left_out=dict(account.left_out),
        notes=account.notes,
        stored=len(stored),
        quality=stored.quality,
        groups=groups,
        axis=axis,
        distance=options.distance,
        dust=options.dust,
    )


def _uncorrected(options: Options) -> Iterator[str]:
    """What is told of numbers that a file has beside those which a baseline or extinction changed."""
    if options.dust is not None and options.baseline is not None:
        yield BASELINE_BEFORE_DUST
    if not options.stack and (options.dust is not None or options.baseline is not None):
        yield OWN_COLUMNS


def _without_dust(points: Points, series: Sequence[Series], dust: Dust, account: _Account) -> Points:
    """As bright as without the dust of the Milky Way; a band whose wavelength nobody knows is left out, and counted."""
    dimmed = np.array([dust.of(each.band) for each in series], dtype=np.float64)
    numbers = np.bincount(points.series, minlength=len(series)).tolist()
    for each, by, number in zip(series, dimmed.tolist(), numbers, strict=True):
        if number and np.isnan(by):
            account.left_out[f'no wavelength is known of the band of {each.words}: no extinction'] += number
    points = points.only(np.isfinite(dimmed[points.series])) if len(points) else points
    away = dimmed[points.series]
    return replace(
        points,
        magnitude=points.magnitude - away,
        limit=points.limit - away,
        flux=points.flux * 10 ** (0.4 * away),
        flux_error=points.flux_error * 10 ** (0.4 * away),
        extinction=away,
    )


def _axis(shown: Points, series: Sequence[Series], options: Options, account: _Account) -> Axis | None:
    """What times are counted from; a period that is to be found is found in the series with most points."""
    period = options.period
    if options.search is not None and len(shown):
        place = int(np.bincount(shown.series).argmax())
        chosen = shown.only((shown.series == place) & ~shown.unsolved & ((shown.flags & BAD_DAY) == 0))
        found = find_period(chosen.mjd, chosen.flux, chosen.flux_error, options.search)
        words = series[place].words
        none = f'No period can be found in {words}: too few points, or no change.'
        account.notes.append(none if found is None else found.words(words))
        period = period if found is None else found.period
    if period is None and options.since is None:
        return None
    return Axis(zero=options.since or 0.0, period=period)


def _with_baseline(without: Corrected, asked: Mask, options: Options, account: _Account) -> Mask:
    """The points that have a baseline, and those that need none; never some corrected and others not in one series."""
    service = ' and '.join(sorted(options.baselined))
    for points, words in ((without.wanting, baselines.TOO_FEW), (without.unjudged, baselines.NO_COLUMNS)):
        if (points & asked).any():
            account.left_out[f'{service}: {words}'] += int(np.count_nonzero(points & asked))
    made = [group for group in without.groups if np.isfinite(group.level)]
    account.notes.append(
        f'Baseline of {service}: subtracted from {counted_as(sum(group.points for group in made), "point")} of '
        f'{counted_as(len(made), "group")} (field, CCD, quadrant, filter, reference image).'
    )
    return ~(without.wanting | without.unjudged)


def _judged_again(points: Points) -> Points:
    """What a baseline was subtracted of, by the guide's thresholds: a magnitude above 3 errors, else the limit of 5."""
    done = np.isfinite(points.baseline)
    magnitude, error = magnitude_of(points.flux), magnitude_error_of(points.flux, points.flux_error)
    detected = is_detection(points.flux, points.flux_error, BASELINE_THRESHOLD)
    new = {
        'magnitude': np.where(done, np.where(detected, magnitude, np.nan), points.magnitude),
        'magnitude_error': np.where(done, np.where(detected, error, np.nan), points.magnitude_error),
        'limit': np.where(done, np.where(detected, np.nan, limit_of(points.flux_error, BASELINE_LIMIT)), points.limit),
    }
    return replace(points, **new)


def points_of(stored: Columns, which: NDArray[np.int64]) -> Points:
    """Stored points as they stand, with what their fluxes are; ``which``: the series of each."""
    number = len(stored)
    flux, error = fluxes(stored)
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
        baseline=np.full(number, np.nan),
        baseline_epochs=np.zeros(number, dtype=np.int64),
        extinction=np.zeros(number),
    )


def _larger_errors(stored: Columns, service: str, column: str, keep: Mask, account: _Account) -> Floats:
    """The errors in a column of the service's own, nan for other points; what has none is counted."""
    of_service = np.array([label.service == service for label in stored.labels], dtype=np.bool_)[stored.code]
    own = numeric(stored.quality[column]) if column in stored.quality else np.full(len(stored), np.nan)
    without = int(np.count_nonzero(of_service & keep & ~(own > 0)))
    if without:
        words = counted_as(without, f'{service} point')
        account.notes.append(f'{words} without control light curves: the errors stay as they are.')
    return np.where(of_service, own, np.nan)


def _with_errors(points: Points, errors: Floats) -> Points:
    """These errors where there are any, also of magnitudes: the service's own know nothing of this scatter."""
    given = errors > 0
    of_magnitude = given & np.isfinite(points.magnitude)
    return replace(
        points,
        flux_error=np.where(given, errors, points.flux_error),
        magnitude_error=np.where(of_magnitude, magnitude_error_of(points.flux, errors), points.magnitude_error),
    )


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


def _chosen(points: Points, series: Sequence[Series], options: Options) -> Mask:
    """The points of the series, and of the dates, that are asked for."""
    keep = np.ones(len(points), dtype=np.bool_)
    hidden = np.array([each.key in options.hide for each in series], dtype=np.bool_)
    if hidden.any():
        keep &= ~hidden[points.series]
    if options.first is not None:
        keep &= points.mjd >= options.first
    if options.last is not None:
        keep &= points.mjd <= options.last
    return keep


def _passing(stored: Columns, service: str, cut: Cut, asked: Mask, account: _Account) -> Mask:
    """The points that pass a cut, and those it does not judge: of other services, or without one of its columns."""
    mine = [label.service == service and (not cut.reductions or label.reduction in cut.reductions) for label in stored.labels]
    of_service = np.array(mine, dtype=np.bool_)[stored.code]
    missing = np.full(len(stored), np.nan)
    wanted = dict.fromkeys(rule.column for rule in cut.rules)
    own = {name: numeric(stored.quality[name]) if name in stored.quality else missing for name in wanted}
    whole = of_service & np.logical_and.reduce([np.isfinite(column) for column in own.values()])
    unjudged = of_service & ~whole & asked
    if unjudged.any():
        lacking = [name for name, column in own.items() if np.isnan(column[unjudged]).any()]
        number = int(np.count_nonzero(unjudged))
        verb, them = ('lacks', 'it') if number == 1 else ('lack', 'them')
        words = counted_as(number, f'{service} point')
        account.notes.append(f'{words} {verb} {", ".join(lacking)}: {cut.name} does not judge {them}.')
    rows = np.flatnonzero(whole)
    verdict = cut.of({name: column[rows] for name, column in own.items()})
    for flag, words in verdict.words.items():
        failing = int(np.count_nonzero((verdict.flags & flag != 0) & asked[rows]))
        if failing:
            account.left_out[f'{service}: {words}'] += failing
    passing = np.ones(len(stored), dtype=np.bool_)
    passing[rows] = verdict.keep
    return passing


def counted_as(number: int, noun: str) -> str:
    """``1 point``, ``1,200 points``."""
    return f'{number:,} {noun}{"" if number == 1 else "s"}'


def _unclipped(points: Points, keep: Mask, account: _Account) -> Mask:
    """Without the outliers of each series; points without a flux, or without photometric solution, are not judged."""
    rows = np.flatnonzero(keep & np.isfinite(points.flux) & (points.flux_error > 0) & ~points.unsolved)
    clipped = clip(table(points.only(rows)))
    if clipped.any():
        account.left_out['further than 3 sigma from the rolling median'] += int(clipped.sum())
    passing = np.ones(len(points), dtype=np.bool_)
    passing[rows[clipped]] = False
    return passing


def _stacked(points: Points, options: Options, account: _Account) -> Points:
    """One mean a series and bin; frames without photometric solution are in none."""
    if points.unsolved.any():
        account.left_out[UNSOLVED_WORDS] += int(np.count_nonzero(points.unsolved))
        points = points.only(~points.unsolved)
    stack = {'weighted': weighted, 'plain': plain}[options.stack]
    threshold = DETECTION if options.snr is None else options.snr
    found = stack(table(points), days=options.days, threshold=threshold)
    account.left_out.update(found.rejected.counts)
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
        extinction=np.zeros(len(found)),
    )
    return made.only(order)


UNSOLVED_WORDS = 'no photometric solution: in no mean'


def table(points: Points) -> Measurements:
    """Points as the recipes take them: what stands for a band is what keeps two points apart, here a series."""
    nothing = np.full(len(points), np.nan)
    return Measurements(
        mjd=points.mjd,
        band=points.series,
        flux=points.flux,
        flux_error=points.flux_error,
        magnitude=nothing,
        magnitude_error=nothing,
        limit=nothing,
        exposure=points.ids,
        exposure_time=points.exposure_time,
        telescope='',
        instrument=np.zeros(len(points), dtype='<U1'),
    )
