"""What one user is shown of tonight: what needs the user, the next windows, what has arrived, and whether cron is alive."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Coalesce
from tom_observations.models import ObservationGroup, ObservationRecord
from tom_targets.models import Target

from tom_cadence import conf
from tom_cadence.core.altitude import SiteBar, Span, bars, spans
from tom_cadence.core.history import Outcome
from tom_cadence.core.template_fields import in_words
from tom_cadence.core.visibility import Site
from tom_cadence.core.windows import Window
from tom_cadence.engine import health
from tom_cadence.facilities import Facilities
from tom_cadence.facilities.gateway import sites_of
from tom_cadence.integrations.photometry_news import News, news
from tom_cadence.models import ManagedCadence, Submission
from tom_cadence.pages.overview.summary import outcome_of
from tom_cadence.pages.requests import open_requests
from tom_cadence.permissions import UNSEEN, changeable_cadences, names_visible_to, visible_cadences, visible_records, without_names

State = ManagedCadence.State
MOST, MOST_READ, MOST_SITES = 12, 1000, 3
"""Rows of a list, unfinished observations that are looked at for it, and sites with a bar of one window."""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class InNeed:
    """A cadence that waits for a person, with the name of its target as its reader may know it."""

    managed: ManagedCadence
    target: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What waits for this user. ``unanswered``: requests of no cadence of which nobody knows what became of them."""

    attention: Sequence[InNeed]
    attention_number: int
    uncertain: Sequence[InNeed]
    unanswered: int
    photometry: News | None

    @property
    def nothing(self) -> bool:
        """Whether this user can go to bed."""
        failed = self.photometry.failed_number if self.photometry is not None else 0
        return not (self.attention_number or self.uncertain or self.unanswered or failed)


def needs(user: Any, found: News | None) -> Needs:
    """What this user may put right: nothing of cadences that the user may only look at."""
    mine = changeable_cadences(user, ManagedCadence.objects.filter(cadence__isnull=False))
    attention = mine.filter(state=State.ATTENTION)
    in_doubt = Submission.objects.filter(state=Submission.State.UNCERTAIN, managed__isnull=False).values('managed')
    uncertain = mine.filter(pk__in=in_doubt).exclude(state=State.ATTENTION)
    return Needs(
        attention=_named(user, attention.order_by('-last_check', '-pk')[:MOST]),
        attention_number=attention.count(),
        uncertain=_named(user, uncertain.order_by('-pk')[:MOST]),
        unanswered=open_requests(user).count(),
        photometry=found,
    )


def _named(user: Any, rows: Iterable[ManagedCadence]) -> list[InNeed]:
    found = list(rows)
    named = ManagedCadence.objects.filter(names_visible_to(user), pk__in=[row.pk for row in found])
    seen = set(named.values_list('pk', flat=True))
    return [
        InNeed(
            managed=row,
            target=(row.target_name or 'no observation yet') if row.pk in seen else UNSEEN,
            reason=in_words(row.reason if row.pk in seen else without_names([row.target_name], row.reason)),
        )
        for row in found
    ]


@dataclass(frozen=True, kw_only=True)
class NextWindow:
    """One observation that is booked and not over; ``span`` is its window, and ``bars`` the sky, over the hours shown.

    ``is_down``: the target cannot be observed at any site before the window is over, as far as that is within those hours.
    """

    cadence: int | None
    target: int
    name: str
    facility: str
    window: Window
    is_open: bool
    span: Span | None = None
    bars: Sequence[SiteBar] = ()
    other_sites: int = 0
    no_sky: str = ''
    is_down: bool = False


@dataclass(frozen=True, kw_only=True)
class Night:
    """The next windows in their order, the hours that their bars show, and active cadences that have nothing booked."""

    windows: Sequence[NextWindow]
    number: int
    active: int
    unbooked: int
    start: datetime
    hours: Sequence[datetime] = field(default_factory=tuple)


def night(user: Any, now: datetime, *, with_sky: bool) -> Night:
    """The next windows of the active cadences that this user may see; the sky over them costs a moment more."""
    facilities = Facilities()
    active = ManagedCadence.objects.filter(state=State.ACTIVE, cadence__active=True)
    groups = dict(visible_cadences(user, active).values_list('cadence__observation_group', 'pk'))
    rows = ObservationRecord.objects.filter(observationgroup__in=groups).order_by()
    waiting = with_outcomes(rows, facilities, {Outcome.WAITING})
    booked = set(waiting.values_list('observationgroup', flat=True).distinct()) & set(groups)
    names = ('pk', 'observationgroup', 'target', 'target__name', 'facility', 'parameters')
    read = visible_records(user, waiting).order_by('-pk').values_list(*names)[:MOST_READ]
    found: dict[int, NextWindow] = {}
    for pk, group, target, name, facility, parameters in read:
        window = facilities.window(facility, parameters)
        if window is not None and window.end > now:
            found[pk] = NextWindow(
                cadence=groups.get(group),
                target=target,
                name=name,
                facility=facility,
                window=window,
                is_open=window.start <= now,
            )
    start = now.replace(minute=0, second=0, microsecond=0)
    first = sorted(found.values(), key=lambda each: (max(each.window.start, now), each.window.end, each.name))[:MOST]
    return Night(
        windows=list(_with_sky(first, facilities, start)) if with_sky else first,
        number=len(found),
        active=len(groups),
        unbooked=len(groups) - len(booked),
        start=start,
        hours=[start + 6 * number * HOUR for number in range(4)] if with_sky else (),
    )


def with_outcomes(rows: QuerySet[Any], facilities: Facilities, wanted: set[Outcome]) -> QuerySet[Any]:
    """Those of these records whose state means one of the outcomes at their facility."""
    which = Q(pk__in=[])
    for facility, status in rows.values_list('facility', 'status').distinct():
        if outcome_of(facilities, facility, status) in wanted:
            which |= Q(facility=facility, status=status)
    return rows.filter(which)


def _with_sky(windows: Sequence[NextWindow], facilities: Facilities, start: datetime) -> Iterator[NextWindow]:
    """With bars, where the sites of the facility and the place of the target are known."""
    rows = Target.objects.filter(pk__in={each.target for each in windows}).values_list('pk', 'type', 'ra', 'dec')
    places = {
        pk: (float(ra) % 360, float(dec))
        for pk, kind, ra, dec in rows
        if kind == Target.SIDEREAL and ra is not None and dec is not None and math.isfinite(ra + dec) and abs(dec) <= 90
    }
    sites: dict[str, tuple[Site, ...]] = {}
    end = start + DAY
    for each in windows:
        if each.facility not in sites:
            sites[each.facility] = _sites(facilities, each.facility)
        place, there = places.get(each.target), sites[each.facility]
        span = next(iter(spans([(each.window.start, each.window.end)], start, end)), None)
        shown: list[SiteBar] = []
        no_sky = ''
        if place is None:
            no_sky = 'the target has no fixed coordinates.'
        elif not there:
            no_sky = f'{each.facility} does not say where its sites are.'
        elif span is None:
            no_sky = 'its window opens after the hours that are shown.'
        else:
            shown = bars(there, place, each.window, start, end)
        is_down = bool(shown) and each.window.end <= end and not any(bar.observable for bar in shown)
        yield replace(each, span=span, bars=shown[:MOST_SITES], other_sites=len(shown[MOST_SITES:]), no_sky=no_sky, is_down=is_down)


def _sites(facilities: Facilities, name: str) -> tuple[Site, ...]:
    try:
        return sites_of(facilities.gateway(name, None).facility)
    except Exception:  # a facility class is the site's code, and a page shows the others all the same
        return ()


@dataclass(frozen=True, kw_only=True)
class EndedObservation:
    """An observation that is over, as its reader sees it."""

    cadence: int
    name: str
    facility: str
    outcome: Outcome
    when: datetime


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """Observations of cadences that ended, the newest first, and how many in all; points are said by the other app.

    ``cut``: there were more than are looked at.
    """

    ended: Sequence[EndedObservation]
    counts: Sequence[tuple[str, int]]
    cut: bool


def arrived(user: Any, since: datetime, now: datetime) -> Arrived:
    """What ended between the two instants, of the cadences that this user may see: the newest MOST_READ are looked at."""
    facilities, over = Facilities(), {Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED}
    recent = ObservationRecord.objects.annotate(over=Coalesce('scheduled_end', 'modified')).filter(over__gt=since, over__lte=now)
    rows = with_outcomes(recent.order_by(), facilities, over).order_by('-over', '-pk')
    read = list(rows.values_list('pk', 'target__name', 'facility', 'status', 'over')[:MOST_READ])
    cadences = _cadences_of([pk for pk, *_ in read], user) if read else {}
    found = [
        EndedObservation(cadence=cadences[pk], name=name, facility=facility, outcome=outcome, when=when)
        for pk, name, facility, status, when in read
        if pk in cadences and (outcome := outcome_of(facilities, facility, status)) is not None
    ]
    counts = Counter(each.outcome for each in found)
    words = [(outcome.value, counts[outcome]) for outcome in Outcome if counts[outcome]]
    return Arrived(ended=found[:MOST], counts=words, cut=len(read) == MOST_READ)


def _cadences_of(records: Sequence[int], user: Any) -> dict[int, int]:
    """The cadence of each of these records, where the user may see both."""
    seen = set(visible_records(user, ObservationRecord.objects.filter(pk__in=records)).values_list('pk', flat=True))
    grouped = ObservationGroup.observation_records.through.objects.filter(observationrecord__in=seen)
    pairs = list(grouped.values_list('observationrecord', 'observationgroup'))
    rows = ManagedCadence.objects.filter(cadence__observation_group__in={group for _, group in pairs})
    groups = dict(visible_cadences(user, rows).values_list('cadence__observation_group', 'pk'))
    return {record: groups[group] for record, group in pairs if group in groups}


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """Whether cron and the workers are alive: facts of the whole TOM, without a name of anything."""

    silent: int
    last_look: datetime | None
    expected: float
    photometry: News | None


def pulse(now: datetime, found: News | None) -> Pulse:
    """As they are now."""
    looked = ManagedCadence.objects.filter(cadence__active=True).aggregate(last=Max('last_check'))['last']
    return Pulse(silent=health.silence(now).silent, last_look=looked, expected=conf.get('EXPECTED_INTERVAL'), photometry=found)


def photometry(user: Any, now: datetime) -> News | None:
    """What the other app says, where it is installed."""
    return news(user, now - DAY, now, MOST)
