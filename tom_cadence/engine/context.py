"""The context of cadences: light curves, answers of photometry services and the sky, for many at once and where asked for."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np
from django.apps import apps
from django.conf import settings
from django.db.models import Q
from django.db.models.fields.json import KT
from django.utils.module_loading import import_string
from tom_dataproducts.models import PhotometryReducedDatum
from tom_targets.models import Target

from tom_cadence import conf
from tom_cadence.core.bounds import bounded_text, error_text, short_repr
from tom_cadence.core.decisions import PhotometryRequest
from tom_cadence.core.history import Attempt, PhotometryAnswer
from tom_cadence.core.parameters import Parameters
from tom_cadence.core.photometry import EMPTY, Photometry, measurable
from tom_cadence.core.visibility import Constraints, Site, Sky
from tom_cadence.engine.containment import is_lost
from tom_cadence.engine.stages import Context, Known, RecordRow, Snapshot
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.facilities import Facilities
from tom_cadence.facilities.gateway import sites_of
from tom_cadence.models import ManagedCadence
from tom_cadence.permissions import visible_points
from tom_followup.units import EPOCH, flux_factor, is_ab, magnitude_error_of, magnitude_of

NOTHING = Context()


def read_context(snapshots: Sequence[Snapshot], facilities: Facilities, now: datetime) -> dict[int, Context]:
    """What these cadences look at besides their observations, by cadence; no statement where none looks at anything."""
    curves, answers, skies = read_photometry(snapshots, now), read_answers(snapshots), read_sky(snapshots, facilities)
    read = dict.fromkeys((each.pk for each in snapshots), NOTHING)
    for pk in {*curves, *answers, *skies}:
        sky = skies.get(pk)
        known, trouble = (None, sky) if isinstance(sky, str) else (sky, '')
        read[pk] = Context(photometry=curves.get(pk, EMPTY), answers=answers.get(pk, ()), sky=known, trouble=trouble)
    return read


def read_context_of(snapshot: Snapshot, facilities: Facilities, now: datetime) -> Context:
    """The same for one of them."""
    return read_context([snapshot], facilities, now)[snapshot.pk]


def context_of_new(strategy: Any, parameters: Parameters, owner: Any, first: Attempt, target: int, now: datetime) -> Context:
    """What a cadence would look at that does not exist yet, and whose first observation would be ``first``."""
    row = RecordRow(
        pk=first.record,
        observation_id=first.observation_id,
        facility=first.facility,
        status=first.status,
        created=first.created,
        target=target,
    )
    managed = ManagedCadence(owner=owner, facility=first.facility)
    snapshot = Snapshot(managed=managed, strategy=strategy, parameters=parameters, rows=(row,))
    return read_context_of(snapshot, Facilities(), now)


COLUMNS = ('target', 'timestamp', 'bandpass', 'brightness', 'brightness_error', 'limit', 'unit', 'source_name', 'telescope')
MOST_POINTS, MOST_TOGETHER = 50_000, 200_000
"""Of one target, the newest, that a decision looks at; and of all targets of a batch that are read by one statement."""
DAY = timedelta(days=1)
MOST_ERROR = 10.0
"""Magnitudes. Surveys write 99 or 9.99 where they have none, and a detection with such an error is none."""
OTHER_MAGNITUDES = {
    f'{before}{system}{after}' for system in ('vega', 'st') for before, after in (('', ''), ('', 'mag'), ('', ' mag'))
}
OTHER_MAGNITUDES |= {'mag(vega)', 'mag (vega)', 'mag(st)', 'mag (st)', 'mag (ab)', 'magnitudes'}
"""Beside those of ``tom_followup.units``: what is a magnitude, although not AB."""


def read_photometry(snapshots: Iterable[Snapshot], now: datetime) -> dict[int, Photometry]:
    """The light curves of the cadences whose strategy needs one, by cadence."""
    needing = [each for each in snapshots if not each.trouble and getattr(each.strategy, 'needs_photometry', False) and each.rows]
    spans = {each.pk: _span(each) for each in needing}
    found: dict[int, Photometry] = {}
    for readers in _who_may_see_the_same([each for each in needing if spans[each.pk] != timedelta(0)]):
        curves = _read(readers, spans, now)
        for each in readers:
            curve, span = curves.get(_target(each), Photometry()), spans[each.pk]
            found[each.pk] = curve if span is None else curve.since(now - span)
    return found


def _span(snapshot: Snapshot) -> timedelta | None:
    try:
        return snapshot.strategy.photometry_span()
    except Exception:  # a parameter that cannot be used: decide says which, and a person is asked
        return timedelta(0)


def _target(snapshot: Snapshot) -> int:
    return snapshot.rows[-1].target


def _who_may_see_the_same(snapshots: Sequence[Snapshot]) -> list[list[Snapshot]]:
    """All together; where each point has permissions of its own, by owner, so that no reason tells what its reader may not see."""
    if settings.TARGET_PERMISSIONS_ONLY:
        return [list(snapshots)] if snapshots else []
    by_owner: dict[Any, list[Snapshot]] = defaultdict(list)
    for each in snapshots:
        by_owner[each.managed.owner_id].append(each)
    return list(by_owner.values())


def _read(snapshots: Sequence[Snapshot], spans: dict[int, timedelta | None], now: datetime) -> dict[int, Photometry]:
    wanted: dict[timedelta | None, set[int]] = defaultdict(set)
    for each in snapshots:
        wanted[spans[each.pk]].add(_target(each))
    which = Q()
    for span, targets in wanted.items():
        which |= Q(target__in=targets) if span is None else Q(target__in=targets, timestamp__gte=now - span)
    points = visible_points(snapshots[0].managed.owner, PhotometryReducedDatum.objects.filter(which, timestamp__lte=now))
    rows: dict[int, list[Any]] = defaultdict(list)
    together = list(points.order_by().values_list(*COLUMNS, KT('value__flux'))[: MOST_TOGETHER + 1])
    if len(together) > MOST_TOGETHER:
        return {target: _newest(points.filter(target=target)) for target in set().union(*wanted.values())}
    for target, *row in together:
        rows[target].append(row)
    return {target: columns(found) if len(found) <= MOST_POINTS else _newest_of(found) for target, found in rows.items()}


def _newest(points: Any) -> Photometry:
    """Of one target with very many points, alone, so that one of it costs the others nothing but the statement."""
    rows = list(points.order_by('-timestamp').values_list(*COLUMNS, KT('value__flux'))[: MOST_POINTS + 1])
    return _newest_of([row[1:] for row in rows]) if rows else Photometry()


def _newest_of(rows: list[Any]) -> Photometry:
    """The newest of these, as many as a decision is to look at; that there are more is said."""
    if len(rows) <= MOST_POINTS:
        return columns(rows)
    found = columns(sorted(rows, key=itemgetter(0))[-MOST_POINTS:])
    return replace(found, left_out=f'{found.left_out} Only the newest {MOST_POINTS} points are looked at.'.strip())


def columns(rows: Sequence[Sequence[Any]]) -> Photometry:
    """Rows (timestamp, band, brightness, error, limit, unit, source, telescope, flux in microjansky) as columns.

    A brightness in janskys becomes an AB magnitude (Oke & Gunn 1983, ApJ 266, 713). Points in an unknown unit, and those with
    nothing that a telescope can have measured, are left out and named.
    """
    when, band, value, error, limit, unit, source, telescope, flux = zip(*rows, strict=True)
    magnitude, errors, limits = (np.asarray(column, dtype=np.float64) for column in (value, error, limit))
    fluxes = np.array([_number(text) for text in flux])
    factor = np.array([flux_factor(text or '') for text in unit])
    is_flux = np.isfinite(factor)
    known = is_flux | np.array([is_ab(text or '') or (text or '').strip().lower() in OTHER_MAGNITUDES for text in unit])
    with np.errstate(over='ignore', invalid='ignore'):
        as_magnitude = [magnitude_of(column * factor) for column in (magnitude, limits)]
        as_error = np.where(is_flux, magnitude_error_of(magnitude, errors), errors)
        as_flux = np.where(is_flux & np.isnan(fluxes), magnitude * factor, fluxes)
    given = [np.where(is_flux, flux, plain) for flux, plain in zip(as_magnitude, (magnitude, limits), strict=True)]
    seen, deep = (np.where(known & measurable(column), column, np.nan) for column in given)
    wrong = ~known | ((np.isfinite(given[0]) | np.isfinite(given[1])) & np.isnan(seen) & np.isnan(deep))
    wrong |= np.isinf(as_flux)
    found = Photometry.of(
        time=[(moment - EPOCH) / DAY for moment in when],
        band=band,
        magnitude=np.where(wrong, np.nan, seen),
        error=np.where((as_error > 0) & (as_error < MOST_ERROR), as_error, np.nan),
        limit=np.where(wrong, np.nan, deep),
        flux=np.where(wrong, np.nan, as_flux),
        source=[name or other for name, other in zip(source, telescope, strict=True)],
    )
    usable = np.isfinite(found.magnitude) | np.isfinite(found.limit) | np.isfinite(found.flux)
    words = (
        _named(*each) for each in zip(known[wrong], *(np.array(c, dtype=object)[wrong] for c in (value, limit, unit)), strict=True)
    )
    return replace(found.only(usable), left_out=_in_words(list(words)))


def _named(known: bool, value: Any, limit: Any, unit: Any) -> str:
    if not known:
        return f'unit {short_repr(unit)}'
    return f'magnitude {value:g}' if value is not None else f'limit {limit:g}'


def _in_words(points: Sequence[str]) -> str:
    """For example ``3 points are left out, because no telescope measures that: limit 99.99 (2), unit 'counts' (1).``"""
    if not points:
        return ''
    kinds = Counter(points).most_common(3)
    named = ', '.join(f'{kind} ({number})' for kind, number in kinds)
    many = 'point is' if len(points) == 1 else 'points are'
    return f'{len(points)} {many} left out, because no telescope measures that: {named}.'


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return np.nan


NO_SITES = '{} says nothing of its sites, so nobody knows when a target is up there: leave out what is asked of the sky.'
NO_PLACE = '{} has no fixed coordinates, so it is not known when it is up: leave out what is asked of the sky.'


class Place(NamedTuple):
    """A target's name, type and coordinates (ICRS, degrees)."""

    name: str
    kind: str
    ra: float | None
    dec: float | None


def read_sky(snapshots: Iterable[Snapshot], facilities: Facilities) -> dict[int, Sky | str]:
    """The sky of the cadences that ask anything of it, or why it is not known, by cadence; one statement for all."""
    asking = [each for each in snapshots if not each.trouble and each.parameters.constraints is not None and each.rows]
    places = read_places(_target(each) for each in asking)
    return {each.pk: _sky_of(each, places.get(_target(each)), facilities) for each in asking}


def _sky_of(snapshot: Snapshot, place: Place | None, facilities: Facilities) -> Sky | str:
    facility = snapshot.rows[-1].facility
    try:
        sites = sites_of(facilities.gateway(facility, snapshot.managed.owner).facility)
        return sky_for(snapshot.parameters.constraints, facility, place, sites)
    except NeedsAttention as error:
        return str(error)
    except Exception as error:  # a facility class is the site's code: its errors belong to its cadences alone
        return error_text(error)


def read_places(targets: Iterable[int]) -> dict[int, Place]:
    """Where these targets are; no statement for none."""
    wanted = set(targets)
    rows = Target.objects.filter(pk__in=wanted).values_list('pk', 'name', 'type', 'ra', 'dec') if wanted else ()
    return {pk: Place(*rest) for pk, *rest in rows}


def sky_for(constraints: Constraints | None, facility: str, place: Place | None, sites: tuple[Site, ...]) -> Sky:
    """The sky over these sites; NeedsAttention says why it is not known when the target is up."""
    if not sites or constraints is None:
        raise NeedsAttention(NO_SITES.format(facility))
    name, kind, ra, dec = place or Place('The target', '', None, None)
    if kind != Target.SIDEREAL or ra is None or dec is None or not math.isfinite(ra + dec) or abs(dec) > 90:
        raise NeedsAttention(NO_PLACE.format(name))
    return Sky(sites=sites, ra=float(ra) % 360, dec=float(dec), constraints=constraints)


FORCED = 'tom_cadence.integrations.forced_phot.ForcedLooks'


class PhotometryClient(Protocol):
    """Who asks photometry services."""

    def looks(self, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[PhotometryAnswer, ...]]:
        """What became of earlier questions about these targets (primary keys) to these services, oldest first."""
        ...

    def ask(self, target: int, wish: PhotometryRequest, owner: Any, now: datetime) -> None:
        """Ask about a target; what it raises says why that is impossible."""
        ...


def photometry_client() -> PhotometryClient | None:
    """Whom this TOM asks, or None."""
    path = conf.get('FRESH_LOOKS') or (FORCED if apps.is_installed('tom_forced_phot') else '')
    found: PhotometryClient | None = import_string(path)() if path else None
    return found


def read_answers(snapshots: Iterable[Snapshot]) -> dict[int, tuple[PhotometryAnswer, ...]]:
    """What became of earlier requests, by cadence, for each that may have made any: one statement for all."""
    wanted = {each.pk: (_target(each), service) for each in snapshots if each.rows and (service := _service(each))}
    asked = photometry_client() if wanted else None
    found = asked.looks(set(wanted.values())) if asked is not None else {}
    return {pk: found.get(pair, ()) for pk, pair in wanted.items()}


def _service(snapshot: Snapshot) -> str:
    asks = getattr(snapshot.strategy, 'asks_service', None)
    try:
        return str(asks()) if callable(asks) and not snapshot.trouble else ''
    except Exception:  # a parameter that cannot be used: decide says which, and a person is asked
        return ''


def ask_photometry(known: Known, wanted: PhotometryRequest, now: datetime) -> Known | None:
    """Ask for what a cadence waits for; where that is impossible, the cadence with the reason among its answers."""
    try:
        asked = photometry_client()
        if asked is None:
            raise LookupError('this TOM asks no photometry services')
        asked.ask(_target(known.snapshot), wanted, known.managed.owner, now)
        return None
    except Exception as error:  # one service, one target: the others go on
        if is_lost(error):
            raise
        problem = bounded_text(error) or type(error).__name__
        answer = PhotometryAnswer(service=wanted.service, asked=now, ended=now, problem=problem)
        context = known.context or NOTHING
        return replace(known, context=replace(context, answers=(*context.answers, answer)))
