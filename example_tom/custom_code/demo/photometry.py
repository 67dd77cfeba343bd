"""One day of forced photometry: three services asked about the demo's targets, cron every hour, and what goes wrong meanwhile."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from tom_targets.models import Target

from custom_code import clock
from custom_code.demo.balance import ServiceLog, read_log
from custom_code.demo.stage import Control, Row, manage
from tom_followup.units import mjd_of
from tom_forced_phot import registry
from tom_forced_phot.core.states import JobState, QueryState
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService
from tom_forced_phot.services.panstarrs import PanstarrsForcedPhotometryService
from tom_forced_phot.services.ztf import ZtfForcedPhotometryService

ATLAS, ZTF, PS1 = (
    service.name for service in (AtlasForcedPhotometryService, ZtfForcedPhotometryService, PanstarrsForcedPhotometryService)
)
DAYS = 365
MOST_TURNS = 12  # of cron, at five past each hour
LOST, BROKEN, UNKNOWN, AGAIN = 'SN 2011fe', 'AT 2018cow', 'T CrB', 'SN 2023ixf'
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def controls() -> dict[str, Control]:
    """The services as their operators see them, by name."""
    return {name: Control(registry.service(name).url) for name in (ATLAS, ZTF, PS1)}


class Photometry:
    """The day after the ten nights; ``play()`` yields what happens, and at the end a line for each query."""

    def __init__(self, controls: Mapping[str, Control], user: User, password: str, noon: datetime) -> None:
        """``controls``: by the name of the service. At ``noon`` all clocks are set, and each target gets a light curve."""
        self.controls, self.user, self.noon = controls, user, noon
        self.targets = list(Target.objects.order_by('pk'))
        self.client = Client(headers={'host': '127.0.0.1'})
        if not self.client.login(username=user.username, password=password):
            raise RuntimeError('The astronomer cannot log in.')
        self.set_now(noon)
        for number, target in enumerate(self.targets):
            peak = mjd_of(noon) - 60 - 40 * number
            for control in controls.values():
                control.tell('source', ra=target.ra, dec=target.dec, peak=peak, flux=400 + 300 * number)
        controls[ATLAS].tell('fault', verb='submit', kind='500-after', skip=self._place(LOST))
        controls[ZTF].tell('outcome', **self._at(BROKEN), exitcode=255)
        controls[PS1].tell('options', empty=[list(self._at(UNKNOWN).values())])
        self.told: set[int] = set()
        self.uncertain: set[int] = set()

    def _place(self, name: str) -> int:
        return [target.name for target in self.targets].index(name)

    def _at(self, name: str) -> dict[str, float]:
        target = self.targets[self._place(name)]
        return {'ra': target.ra, 'dec': target.dec}

    def set_now(self, instant: datetime) -> None:
        """Set the clocks of the TOM and of the services."""
        for control in self.controls.values():
            control.set_now(instant)
        clock.set_now(instant)

    def to_present(self) -> None:
        """Real time from now on, and services that answer while somebody is looking."""
        self.set_now(timezone.now())
        self.controls[ATLAS].tell('options', seconds_per_task=20)
        self.controls[ZTF].tell('options', wait=60, start_after=20, refresh=0)

    def play(self) -> Iterator[Row]:
        """Ask, let cron carry on, ask two of them again."""
        everything, who = f'all {len(self.targets)}', self.user.username
        yield self._said(ATLAS, everything, f'{who} asks in the web form, for the last {DAYS} days')
        for target in self.targets:
            self._send_form(ATLAS, target, **self._dates())
        yield self._lost()
        yield self._said(PS1, everything, f'{who} asks in the web form; it is answered at once')
        for target in self.targets:
            self._send_form(PS1, target)
        yield from self._ended()
        self.set_now(self.noon + 5 * MINUTE)
        yield self._said(ZTF, everything, f'asked by runforcedphotometry --ask {ZTF} --targets all')
        yield self._kill()
        yield from self._cron_until_done()
        self.set_now(clock.now() + 5 * MINUTE)
        self.controls[ZTF].tell('outcome', **self._at(BROKEN), exitcode=0)
        for service, name in ((ATLAS, AGAIN), (ZTF, AGAIN), (ZTF, BROKEN)):
            yield self._said(service, name, f'{who} asks the same again')
            self._send_form(service, self.targets[self._place(name)], **self._dates())
        yield from self._cron_until_done()

    def _dates(self) -> dict[str, str]:
        first = self.noon - timedelta(days=DAYS)
        return {'min_date': f'{first:%Y-%m-%d %H:%M}', 'max_date': f'{self.noon:%Y-%m-%d %H:%M}'}

    def _send_form(self, service: str, target: Target, **fields: str) -> None:
        """As a browser does."""
        url = reverse('tom_dataproducts:single-target-data-service-query', args=[service])
        reply = self.client.post(url, {'service': service, 'target_id': target.pk, **fields})
        if reply.status_code != 302:
            raise RuntimeError(f'The form of {service} for {target.name} was not accepted: HTTP {reply.status_code}.')

    def _command(self, *arguments: str, crash: str = '') -> int:
        """The command as cron calls it; exit status 1 (a query newly failed) is part of the story."""
        process = manage('runforcedphotometry', *arguments, env=os.environ | {'EXAMPLE_TOM_CRASH_AT': crash}, quiet=True)
        return process.wait()

    def _lost(self) -> Row:
        lost = [entry for entry in self.controls[ATLAS].log() if entry['lost']]
        if len(lost) != 1 or not self._note_uncertain(ATLAS, JobState.UNCERTAIN):
            raise RuntimeError('The reply that was to be lost was not.')
        return self._said(ATLAS, LOST, '! REPLY LOST: error 500 after the service had accepted')

    def _kill(self) -> Row:
        dates = [f'--{name}={value}' for name, value in zip(('from', 'until'), self._dates().values(), strict=True)]
        status = self._command('--ask', ZTF, '--targets', 'all', *dates, crash='phot:replied')
        there = self._note_uncertain(ZTF, JobState.SUBMITTING)
        if status != -signal.SIGKILL or not there or len(self.controls[ZTF].log()) != len(self.targets):
            raise RuntimeError(f'The process that was to be killed ended with {status}.')
        return self._said(
            ZTF, f'all {there}', '! KILLED: kill -9 after the service had accepted, before the TOM had written it down'
        )

    def _note_uncertain(self, service: str, state: JobState) -> int:
        """Remember the job of which it is not known whether it is at the service; how many queries it has."""
        found = PhotometryQuery.objects.filter(service=service, job__state=state)
        self.uncertain.update(found.values_list('job', flat=True))
        return found.count()

    def _found_again(self) -> Iterator[Row]:
        """A line for each of these jobs that is known to be there now."""
        for job in RemoteJob.objects.filter(pk__in=self.uncertain, state__in=[JobState.OPEN, JobState.CLOSED]).order_by('pk'):
            self.uncertain.discard(job.pk)
            targets = [position['name'] for position in job.positions]
            words = f'Found at {job.service}: not sent again.' if job.sent == 1 else 'It was not there, and was sent again.'
            yield self._said(job.service, targets[0] if len(targets) == 1 else f'all {len(targets)}', words)

    def _cron_until_done(self) -> Iterator[Row]:
        for _ in range(MOST_TURNS):
            hour = clock.now().replace(minute=0, second=0, microsecond=0)
            self.set_now(hour + HOUR + 5 * MINUTE)
            self._command()
            yield from self._found_again()
            yield from self._ended()
            if not PhotometryQuery.objects.filter(Q(state__in=QueryState.open_values()) | Q(to_clean=True)).exists():
                return
        raise RuntimeError(f'After {MOST_TURNS} hours a query is still open.')

    def _ended(self) -> Iterator[Row]:
        """A line for each query that has ended since the last time."""
        rows = PhotometryQuery.objects.exclude(state__in=QueryState.open_values()).exclude(pk__in=self.told)
        found = list(rows.select_related('target', 'job').order_by('pk'))
        books = {service: read_log(service, self.controls[service]) for service in {query.service for query in found}}
        for query in found:
            self.told.add(query.pk)
            yield self._line(query, books[query.service])

    @staticmethod
    def _line(query: PhotometryQuery, book: ServiceLog) -> Row:
        requests, shared = book.of(query)
        counts = (query.rows, query.new, query.unchanged, query.rejected) if query.rows else ()
        cells = [f'{number:,}' for number in counts] or [''] * 4
        return (_time(query.closed), query.service, query.target.name, words_of(query), *cells, f'{requests}{"*" * bool(shared)}')

    @staticmethod
    def _said(service: str, target: str, what: str) -> Row:
        return (_time(clock.now()), service, target, what, *('',) * 5)


def _time(instant: datetime | None) -> str:
    return '' if instant is None else f'{instant:%m-%d %H:%M}'


def words_of(query: PhotometryQuery) -> str:
    """What became of a query; of rows only why some were left out, for the figures stand beside it."""
    if query.state != QueryState.DONE:
        return f'{QueryState(query.state).words}: {query.message}'
    text = 'Points stored.' if query.new else 'The same points again: nothing changed.'
    if query.updated and not query.new:
        text = f'The same points again: {query.updated} updated in place.'
    elif 'stay as the batch' in query.message:  # single requests measure each epoch a little differently
        text = 'The same points again: as the batch measured them.'
    return f'{text} {left_out(query.message)}'.rstrip()


def left_out(message: str) -> str:
    """Why rows are no points, without explanations in brackets and numbers of lines: ``Left out: no flux (12).``"""
    reasons: Counter[str] = Counter()
    for part in re.sub(r' \([^)]*\)', '', message.partition('left out: ')[2]).split('; '):
        found = re.match(r'(\d+) rows?: (.*?)(?:, lines? [\d, .]*)?$', part)
        if found:
            reasons[found[2]] += int(found[1])
    return f'Left out: {", ".join(f"{reason} ({number})" for reason, number in reasons.items())}.' if reasons else ''
