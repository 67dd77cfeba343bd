"""The demo's balances: the logs of the observatory and of the photometry services held against the TOM's own tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count
from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import ObservationRecord

from custom_code.demo.stage import Control
from tom_cadence.models import Submission
from tom_forced_phot import registry
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery

JD_OF_MJD_0 = 2400000.5
POINTS, NOTHING = QueryState.DONE, QueryState.NO_DATA
FAILED = (QueryState.FAILED, QueryState.EXPIRED, QueryState.CANCELLED)
Entry = dict[str, Any]
Question = tuple[float | None, ...]


@dataclass(frozen=True)
class BookingBalance:
    """The last line of the ten nights."""

    bookings: int
    causes: int
    doubles: tuple[str, ...]
    orphans: tuple[str, ...]
    missing: tuple[str, ...]
    past: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.doubles or self.orphans or self.missing or self.past)

    def complaints(self) -> list[str]:
        """A line for each kind of thing that went wrong, with the observatory's numbers."""
        kinds = {'doubles': self.doubles, 'orphans': self.orphans, 'without a booking': self.missing, 'in the past': self.past}
        return [f'{kind}: {", ".join(numbers)}' for kind, numbers in kinds.items() if numbers]

    def __str__(self) -> str:
        """One line of figures."""
        counts = (f'bookings {self.bookings}', f'distinct causes {self.causes}', f'doubles {len(self.doubles)}')
        rest = (f'orphans {len(self.orphans)}', f'records without a booking {len(self.missing)}')
        return ', '.join((*counts, *rest, f'windows in the past {len(self.past)}'))


def balance_bookings(log: Sequence[dict[str, Any]], facility: str) -> BookingBalance:
    """Count from the observatory's log: was anything booked twice, or without a record?

    A cause is what an observation was asked for: a cadence's follow-up of certain records (from the journal), or a form sent
    by a person (its record). Booked while another one alike was still open counts as a double too, whatever the journal says.
    """
    records = set(ObservationRecord.objects.filter(facility=facility).values_list('observation_id', flat=True))
    causes = {
        observation_id: submission.cause.partition(':late:')[0]
        for submission in Submission.objects.all()
        for observation_id in submission.observation_ids
    }
    booked = [str(entry['id']) for entry in log]
    known = [number for number in booked if number in records]
    per_cause = Counter(causes.get(number, f'form:{number}') for number in known)
    twice = {cause for cause, count in per_cause.items() if count > 1}
    return BookingBalance(
        bookings=len(booked),
        causes=len(per_cause),
        doubles=tuple(str(entry['id']) for entry in log if entry['beside'] or causes.get(str(entry['id']), '') in twice),
        orphans=tuple(number for number in booked if number not in records),
        missing=tuple(sorted(records - set(booked))),
        past=tuple(str(entry['id']) for entry in log if entry['end'] <= entry['created']),
    )


@dataclass
class ServiceLog:
    """What one service was asked, by its own log: the entries of each query, those too many, those nobody asked for."""

    repeatable: bool
    entries: dict[int, list[Entry]] = field(default_factory=dict)
    doubles: list[Entry] = field(default_factory=list)
    orphans: list[Entry] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        """How many jobs were made there."""
        return sum(map(len, self.entries.values())) + len(self.doubles) + len(self.orphans)

    @property
    def requests(self) -> int:
        """How many requests came, of any kind."""
        return sum(self.counts['requests'].values())

    @property
    def strays(self) -> int:
        """How many requests belong to no query."""
        entries = [each for found in self.entries.values() for each in found]
        posts = {self._post(each) for each in entries}
        pages = {self._page(each) for each in entries}
        single = sum(self._about(each) for each in entries)
        return self.requests - len(posts) - sum(map(self._count, pages)) - single

    def of(self, query: PhotometryQuery) -> tuple[int, bool]:
        """Requests for this query, and whether some of them were for others as well."""
        entries = self.entries.get(query.pk, [])
        posts, pages = {self._post(each) for each in entries}, {self._page(each) for each in entries}
        others = [each for pk, found in self.entries.items() if pk != query.pk for each in found]
        single = sum(self._about(each) for each in entries)
        shared = any(self._post(each) in posts or (self._page(each) in pages and self._count(self._page(each))) for each in others)
        return len(posts) + sum(map(self._count, pages)) + single, shared

    @staticmethod
    def _post(entry: Entry) -> tuple[str, int]:
        return entry['mode'], entry['post']

    @staticmethod
    def _page(entry: Entry) -> str:
        """The status page that shows it, where there is one for all."""
        return f'{entry["mode"]} status'

    def _about(self, entry: Entry) -> int:
        """Requests that name the job; the user's list is read only where a reply was lost."""
        return self._count(str(entry['id'])) + (self.counts['requests'].get('list', 0) if entry['lost'] else 0)

    def _count(self, key: str) -> int:
        return len(self.counts['times'].get(key, ()))


def read_log(service: str, control: Control) -> ServiceLog:
    """Give each entry of the log to the query that asked for it; equal questions in the order in which they were asked."""
    log = ServiceLog(repeatable=registry.service(service).repeatable, counts=control.ask('requests'))
    waiting: dict[Question, list[PhotometryQuery]] = {}
    by_object: dict[str, PhotometryQuery] = {}
    for query in PhotometryQuery.objects.filter(service=service).select_related('target').order_by('pk'):
        waiting.setdefault(_asked(query), []).append(query)
        by_object[str(query.remote.get('objID'))] = query
    known = set(waiting)
    for entry in control.log():
        question = _logged(entry)
        if entry['ra'] is None and str(entry['id']) in by_object:  # the rows of an object that a search found
            query = by_object[str(entry['id'])]
        elif waiting.get(question):
            query = waiting[question].pop(0)
        else:
            (log.doubles if question in known else log.orphans).append(entry)
            continue
        log.entries.setdefault(query.pk, []).append(entry)
    return log


def _asked(query: PhotometryQuery) -> Question:
    dates = (query.parameters.get(name) for name in ('mjd_min', 'mjd_max'))
    return _rounded(query.target.ra, query.target.dec, *dates)


def _logged(entry: Entry) -> Question:
    dates = (date if date is None or date < JD_OF_MJD_0 else date - JD_OF_MJD_0 for date in (entry['begin'], entry['end']))
    return _rounded(entry['ra'], entry['dec'], *dates)


def _rounded(*numbers: float | None) -> Question:
    return tuple(None if number is None else round(number, 3) for number in numbers)


@dataclass(frozen=True)
class QueryBalance:
    """The last lines of the photometry."""

    states: Counter[str]
    points: int
    brought: int
    doubled: int
    unaccounted: tuple[str, ...]
    jobs: dict[str, int]
    requests: dict[str, int]
    doubles: tuple[str, ...]
    orphans: tuple[str, ...]
    without: tuple[str, ...]
    strays: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing went wrong."""
        return not self.complaints()

    def complaints(self) -> list[str]:
        """A line for each kind of thing that went wrong."""
        kinds = {
            'jobs asked for twice': self.doubles,
            'jobs nobody asked for': self.orphans,
            'queries that ended without a job': self.without,
            'queries whose rows are not all accounted for': self.unaccounted,
        }
        found = [f'{kind}: {", ".join(which)}' for kind, which in kinds.items() if which]
        if self.doubled:
            found.append(f'points stored twice: {self.doubled}')
        if self.points != self.brought:
            found.append(f'points stored: {self.points}, but the queries brought {self.brought}')
        if self.strays:
            found.append(f'requests that belong to no query: {self.strays}')
        if self.states['open']:
            found.append(f'queries still open: {self.states["open"]}')
        return found

    def __str__(self) -> str:
        """Two lines of figures."""
        ends = ', '.join(f'{name} {self.states[name]}' for name in ('ended in points', 'no data', 'failed'))
        jobs = ', '.join(f'{name} {number}' for name, number in self.jobs.items())
        requests = ', '.join(f'{name} {number}' for name, number in self.requests.items())
        return (
            f'queries asked {sum(self.states.values())}, {ends}, points stored {self.points}, points doubled {self.doubled}\n'
            f'jobs at the services, by their own logs: {jobs}, doubles {len(self.doubles)}, orphans {len(self.orphans)}; '
            f'requests: {requests}'
        )


def balance_queries(controls: Mapping[str, Control]) -> QueryBalance:
    """Count from the logs of the services and from the TOM's tables: was anything asked twice, or stored twice?"""
    logs = {name: read_log(name, control) for name, control in controls.items()}
    queries = list(PhotometryQuery.objects.order_by('pk'))
    places = ('target', 'source_name', 'reduction_version', 'bandpass', 'timestamp')
    twice = PhotometryReducedDatum.objects.values(*places).annotate(number=Count('pk')).filter(number__gt=1)
    sums = {query.pk: query.new + query.updated + query.unchanged + query.rejected for query in queries}
    answered = [query for query in queries if query.state in (POINTS, NOTHING)]
    return QueryBalance(
        states=Counter(_end(query) for query in queries),
        points=PhotometryReducedDatum.objects.filter(source_name__in=registry.services()).count(),
        brought=sum(query.new for query in queries),
        doubled=sum(each['number'] - 1 for each in twice),
        unaccounted=tuple(str(query.pk) for query in queries if query.rows != sums[query.pk]),
        jobs={name: log.jobs for name, log in logs.items() if not log.repeatable},
        requests={name: log.requests for name, log in logs.items()},
        doubles=tuple(f'{name} {entry["id"]}' for name, log in logs.items() for entry in log.doubles),
        orphans=tuple(f'{name} {entry["id"]}' for name, log in logs.items() for entry in log.orphans),
        without=tuple(str(query.pk) for query in answered if query.pk not in logs[query.service].entries),
        strays=sum(log.strays for log in logs.values()),
    )


def _end(query: PhotometryQuery) -> str:
    if query.state == POINTS:
        return 'ended in points'
    if query.state == NOTHING:
        return 'no data'
    return 'failed' if query.state in FAILED else 'open'
