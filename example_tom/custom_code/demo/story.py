"""The ten nights: observations started in the TOM's own web form, cron four times a day, and what goes wrong meanwhile."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from tom_dataproducts.models import PhotometryReducedDatum
from tom_targets.models import Target

from custom_code import clock
from custom_code.demo.stage import Control, Row, manage
from custom_code.observatory import SimulatedObservatoryFacility
from tom_cadence.models import CadenceRun, ManagedCadence
from tom_cadence.registry import strategy_class

FACILITY = SimulatedObservatoryFacility.name
NIGHTS = 10
CRON = (6, 12, 18, 24)  # hours after noon
LOST_REPLY, CRASH = 3, 6  # the nights from which they happen
RESUME, RETRY = 'ResumeCadenceAfterFailureStrategy', 'RetryFailedObservationsStrategy'


@dataclass(frozen=True)
class Plan:
    """What the astronomer fills into the form for one target; the window begins so many hours after noon."""

    target: str
    strategy: str
    every: float | None
    window: tuple[float, float]
    filter: str
    exposures: tuple[float, int]
    limits: dict[str, Any] = field(default_factory=dict)


PLANS = (
    Plan('SN 2023ixf', RESUME, 24, (8, 16), 'r', (60, 3)),
    Plan('SN 2011fe', RESUME, 48, (8, 18), 'i', (300, 2)),
    Plan('T CrB', RESUME, 24, (9, 13), 'V', (5, 10), {'max_observations': 6}),
    Plan('AT 2018cow', RETRY, 12, (8, 14), 'g', (120, 2)),
    Plan('M31N 2008-12a', RETRY, 24, (8, 16), 'r', (90, 1), {'max_consecutive_failures': 3}),
)
STAGES = 'every 12 h for 2 days, then daily for 5 days, then every 2 days for 30 days'
TABLE = 'up to 16.5: every 24 h, 30 s; up to 17.5: every 48 h, 120 s'
LOOKING = (
    Plan('T CrB', 'UntilSuccessStrategy', None, (9, 13), 'B', (10, 3), {'until_mode': 'success'}),
    Plan('SN 2023ixf', 'StagedStrategy', None, (8, 14), 'g', (60, 2),
         {'staged_stages': STAGES, 'relaxations': 'after 1: exposure 50 %'}),
    Plan('SN 2011fe', 'BrightnessStrategy', None, (8, 14), 'r', (60, 1), {'bright_follow': 'brighter', 'bright_magnitude': 17.5,
         'bright_table': TABLE}),
    Plan('SN 2023ixf', 'DeclineFollowingStrategy', 48, (8, 14), 'z', (90, 1),
         {'decline_step': 0.2, 'decline_least': 12}),
    Plan('T CrB', 'PhaseCoverageStrategy', None, (9, 11), 'i', (20, 1),
         {'phase_epoch': 59000.5, 'phase_period': 1.3, 'phase_bins': 6}),
    Plan('SN 2011fe', 'FillGapsStrategy', 36, (8, 14), 'V', (120, 1), {'gap_bands': 'V', 'sky_min_altitude': 5}),
)  # fmt: skip
"""Cadences that look at more than the last observation; what they look at is made by ``_light_curves``."""
FADING = {'SN 2011fe': (('r', 16.0, 0.2), ('V', 16.4, 0.25)), 'SN 2023ixf': (('z', 15.0, 0.08),)}
"""Target -> band, magnitude on the first night, and magnitudes a day."""
UNLUCKY = {'AT 2018cow': ['WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED'], 'M31N 2008-12a': ['FAILURE_LIMIT_REACHED'] * 9}


class Story:
    """Ten nights, the last of which ended at noon, a day ago or two; ``rows()`` plays them and yields the table."""

    def __init__(self, control: Control, user: User, password: str, seed: int) -> None:
        """Set both clocks to noon eleven days ago and let the seed choose the cloudy nights."""
        self.control, self.user, self.password = control, user, password
        self.noon = (timezone.now() - timedelta(days=NIGHTS + 1)).replace(hour=12, minute=0, second=0, microsecond=0)
        if self.noon > timezone.now() - timedelta(days=NIGHTS + 1):
            self.noon -= timedelta(days=1)
        self.end = self.noon + timedelta(days=NIGHTS)
        weather = random.Random(seed)
        self.cloudy = {weather.choice(pair) for pair in ((2, 3), (5, 6), (8, 9))}
        self.seen_run = 0
        self.seen_booking = 0
        self.crashed = self.lost = False
        self.unlucky = {target: list(fates) for target, fates in UNLUCKY.items()}
        self._set_now(self.noon)
        nights = {self._noon(night).date().isoformat(): 'cloudy' if night in self.cloudy else 'clear' for night in NIGHTLY}
        control.tell('sky', nights=nights, failures=0.1)

    def _noon(self, night: int) -> datetime:
        return self.noon + timedelta(days=night - 1)

    def _set_now(self, instant: datetime) -> None:
        self.control.set_now(instant)
        clock.set_now(instant)

    def rows(self) -> Iterator[Row]:
        """Play; a row for everything that was decided or booked."""
        self._light_curves()
        yield from self._start()
        for night in NIGHTLY:
            yield f'{night}', f'{self._noon(night):%m-%d}', '', self._weather(night), ''
            for hours in CRON:
                self._set_now(self._noon(night) + timedelta(hours=hours))
                yield from self._cron(night)
        if not (self.crashed and self.lost):
            raise RuntimeError('This seed leaves no occasion for the crash or the lost reply: choose another.')

    def _weather(self, night: int) -> str:
        return '~ a cloudy night' if night in self.cloudy else '~ a clear night'

    def _start(self) -> Iterator[Row]:
        client = Client(headers={'host': '127.0.0.1'})
        if not client.login(username=self.user.username, password=self.password):
            raise RuntimeError('The astronomer cannot log in.')
        for plan in (*PLANS, *LOOKING):
            self._send_form(client, plan)
            name = {RESUME: 'Resume', RETRY: 'Retry'}.get(plan.strategy) or strategy_class(plan.strategy).name
            every = '' if plan.every is None else f' every {plan.every:g} h'
            decided = f'{self.user.username} starts "{name}"{every} in the web form'
            yield 'start', f'{self.noon:%m-%d %H:%M}', plan.target, decided, self._booked(plan.target)

    def _light_curves(self) -> None:
        """What an imagined survey measures of the fading targets: every night but the fifth to the seventh."""
        nights = [night for night in range(-3, NIGHTS + 1) if not 5 <= night <= 7]
        PhotometryReducedDatum.objects.bulk_create(
            PhotometryReducedDatum(
                target=Target.objects.get(name=target),
                timestamp=self._noon(night) + timedelta(hours=15),
                brightness=round(first + rate * night, 2),
                brightness_error=0.03,
                bandpass=band,
                unit='AB mag',
                source_name='Imagined survey',
            )
            for target, bands in FADING.items()
            for band, first, rate in bands
            for night in nights
        )

    def _send_form(self, client: Client, plan: Plan) -> None:
        target = Target.objects.get(name=plan.target)
        start, end = (self.noon + timedelta(hours=hours) for hours in plan.window)
        url = reverse('tom_observations:create', args=[FACILITY])
        query = {'target_id': target.pk, 'cadence_strategy': plan.strategy}
        form = {
            'facility': FACILITY,
            'target_id': target.pk,
            'observation_type': 'IMAGING',
            'name': f'{plan.target} follow-up',
            'start': start.strftime('%Y-%m-%dT%H:%M'),
            'end': end.strftime('%Y-%m-%dT%H:%M'),
            'filter': plan.filter,
            'exposure_time': plan.exposures[0],
            'exposure_count': plan.exposures[1],
            'cadence_strategy': plan.strategy,
            'cadence_frequency': '' if plan.every is None else plan.every,
            **plan.limits,
        }
        reply = client.post(url, form, query_params=query)
        if reply.status_code != 302:
            raise RuntimeError(f'The form for {plan.target} was not accepted: HTTP {reply.status_code}: {_errors(reply)}')

    def _cron(self, night: int) -> Iterator[Row]:
        """One turn of cron: usually ``runcadencestrategies`` here, once as a process that is killed."""
        if night >= LOST_REPLY and not self.lost:
            self.control.tell('fault', verb='submit', kind='500-after')
            self.lost = True
        if night >= CRASH and not self.crashed and self._is_due():
            yield from self._crash()
            return
        self._run()
        yield from self._news()

    def _run(self, *arguments: str) -> dict[str, Any]:
        """The command itself; exit status 1 (a cadence needs attention) is part of the story."""
        out = io.StringIO()
        with suppress(SystemExit):
            call_command('runcadencestrategies', '--json', *arguments, stdout=out)
        report: dict[str, Any] = json.loads(out.getvalue())
        return report

    def _is_due(self) -> bool:
        return any(line['decision'] == 'submit' for line in self._run('--dry-run')['cadences'])

    def _crash(self) -> Iterator[Row]:
        process = manage('runcadencestrategies', env=os.environ | {'EXAMPLE_TOM_CRASH_AT': 'replied'})
        self.crashed = process.wait() == -signal.SIGKILL
        if not self.crashed:
            raise RuntimeError(f'The process that was to be killed ended with {process.returncode}.')
        for entry in self._new_bookings():
            killed = '! KILLED: kill -9 after the observatory had booked, before the TOM had written it down'
            yield self._row(clock.now(), entry['target'], killed, self._describe(entry))
        self._wait_for_claims()

    def _wait_for_claims(self) -> None:
        """The dead process's claim runs out by the real clock, in seconds (see the settings)."""
        newest = ManagedCadence.objects.exclude(claim_expires=None).order_by('-claim_expires').first()
        if newest is not None and newest.claim_expires is not None:
            time.sleep(max(0.0, (newest.claim_expires - timezone.now()).total_seconds()) + 0.1)

    def _news(self) -> Iterator[Row]:
        """What the journal says was decided since the last time, and what the observatory has booked for it."""
        runs = CadenceRun.objects.filter(pk__gt=self.seen_run).order_by('pk').select_related('managed', 'submission')
        news = list(runs)
        self.seen_run = max((run.pk for run in news), default=self.seen_run)
        entries = {str(entry['id']): entry for entry in self._new_bookings()}
        for run in news:
            if run.decision == CadenceRun.Decision.WAIT:
                continue
            booked = [entries.pop(key) for key in self._ids(run) if key in entries]
            lost = [key for key, entry in entries.items() if entry['lost'] and entry['target'] == run.managed.target_name]
            booked += [entries.pop(key) for key in lost]
            text = f'{run.get_decision_display()}: {run.reason}'
            yield self._row(run.last, run.managed.target_name, text, '; '.join(map(self._describe, booked)))
        for entry in entries.values():
            yield self._row(clock.now(), entry['target'], '! NOT in the journal', self._describe(entry))

    @staticmethod
    def _ids(run: CadenceRun) -> list[str]:
        return [str(key) for key in run.submission.observation_ids] if run.submission else []

    def _new_bookings(self) -> list[dict[str, Any]]:
        entries = self.control.log(self.seen_booking)
        for entry in entries:
            self.seen_booking = entry['id']
            fates = self.unlucky.get(entry['target'])
            if fates:
                self.control.tell('plan', id=entry['id'], state=fates.pop(0))
        return entries

    def _booked(self, target: str) -> str:
        return '; '.join(self._describe(entry) for entry in self._new_bookings() if entry['target'] == target)

    @staticmethod
    def _describe(entry: dict[str, Any]) -> str:
        start, end = (datetime.fromisoformat(entry[name].replace('Z', '+00:00')) for name in ('start', 'end'))
        lost = ', reply lost' if entry['lost'] else ''
        return f'#{entry["id"]} {start:%m-%d %H:%M} to {end:%H:%M}{lost}'

    @staticmethod
    def _row(instant: datetime, target: str, decided: str, booked: str) -> Row:
        return '', f'{instant:%m-%d %H:%M}', target, decided, booked


def _errors(reply: Any) -> str:
    form = (reply.context or {}).get('form')
    return str(form.errors.as_text()) if form is not None else ''


NIGHTLY = range(1, NIGHTS + 1)
