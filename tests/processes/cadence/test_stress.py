"""Everything at once for a while: runs, kill -9, pages, admin edits, the toolkit's form posted twice, clocks apart.

Afterwards the observatory's log has one booking for each cause, each booking has its record, nobody is stuck, and nobody is silent.
``STRESS_SECONDS`` says how long (60 where nothing is said).
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone
from tom_observations.models import DynamicCadence, ObservationRecord

from tests.conftest import at
from tests.support.cadences import SIMULATED
from tests.support.processes import LONG_AGO, RETRY, Tom, expire_claims, open_requests, owner, seed
from tests.support.webform import without_sky_plots
from tom_cadence.models import ManagedCadence, Submission
from tom_followup.failpoints import CadencePoint

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.prove(why='a minute of many processes and people at once, or as long as STRESS_SECONDS says'),
]
SECONDS = float(os.environ.get('STRESS_SECONDS') or 60)
HOURS_A_SECOND = 3.0
APART = (0, 20 * 60, -20 * 60, 2 * 3600, -2 * 3600)
"""By how many seconds the clocks of hosts are wrong."""


class Stress:
    """A TOM, and those who work on it at the same time until ``over``."""

    def __init__(self, tom: Tom) -> None:
        """Six cadences of each built-in kind, whose first observations are done."""
        self.tom, self.began, self.over = tom, time.monotonic(), threading.Event()
        self.cadences = [*seed(tom.observatory, 6), *seed(tom.observatory, 6, 'WINDOW_EXPIRED', RETRY)]
        self.before = len(tom.observatory.log())
        self.root = User.objects.create_superuser('root')
        self.targets = [cadence.observation_group.observation_records.get().target for cadence in self.cadences]
        self.asked: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []

    def hour(self) -> float:
        """How many hours after NIGHT it is."""
        return 5 + HOURS_A_SECOND * (time.monotonic() - self.began)

    def repeat(self, what: Callable[[random.Random], object], number: int) -> threading.Thread:
        """A thread that does something again and again; what raises is kept."""

        def work() -> None:
            dice = random.Random(number)
            while not self.over.is_set():
                try:
                    what(dice)
                    self.done[what.__name__] += 1
                except Exception as error:
                    self.errors.append(f'{what.__name__}: {type(error).__name__}: {error}')
                finally:
                    connections.close_all()
                self.over.wait(0.05)

        thread = threading.Thread(target=work, name=f'{what.__name__} {number}')
        thread.start()
        return thread

    def turn(self, dice: random.Random) -> None:
        """A turn of cron on a host of its own clock; every third is killed somewhere in the middle."""
        clock = self.tom.folder / f'clock-{threading.get_ident()}.json'
        offset = (at(self.hour()) - timezone.now()).total_seconds() + dice.choice(APART)
        clock.write_text(json.dumps({'offset_seconds': offset}))
        crash = f'{dice.choice(list(CadencePoint)).value}:{dice.randrange(2)}' if dice.random() < 1 / 3 else ''
        ended = self.tom.run(crash_at=crash, EXAMPLE_TOM_CLOCK=str(clock))
        self.done['killed'] += ended.killed
        assert 'Traceback' not in ended.output, ended.output[-2000:]

    def night(self, dice: random.Random) -> None:
        """Time passes, and the observatory gets on with it."""
        self.tom.set_now(at(self.hour()))
        if dice.random() < 0.1:
            self.tom.observatory.fault('submit', dice.choice(('500', '500-after', 'reset-after')), count=1)
        self.over.wait(0.3)

    def reader(self, dice: random.Random) -> None:
        """The owner looks at pages, and presses buttons."""
        browser, number = Client(), dice.choice(self.cadences).pk
        browser.force_login(owner())
        for page in ('/cadences/', f'/cadences/{number}/', f'/cadences/{number}/now/', '/cadences/requests/'):
            assert browser.get(page).status_code < 500, page
        button = dice.choice(('pause', 'resume', 'run-now'))
        assert browser.post(f'/cadences/{number}/{button}/').status_code < 500, button

    def admin(self, dice: random.Random) -> None:
        """Somebody edits the toolkit's rows."""
        row = DynamicCadence.objects.get(pk=dice.choice(self.cadences).pk)
        row.active = dice.random() < 0.8
        row.cadence_parameters = {**row.cadence_parameters, 'cadence_frequency': dice.choice((12, 24))}
        row.save()
        self.over.wait(0.5)

    def form(self, dice: random.Random) -> None:
        """The toolkit's form, posted twice at the same moment."""
        target, start = dice.choice(self.targets), at(self.hour() + 24 + dice.random())
        name = f'twice {len(self.asked)}'
        sent = {
            'facility': SIMULATED,
            'observation_type': 'IMAGING',
            'target_id': target.pk,
            'name': name,
            'start': start.strftime('%Y-%m-%dT%H:%M'),
            'end': (start + timedelta(hours=3)).strftime('%Y-%m-%dT%H:%M'),
            'filter': 'r',
            'exposure_time': '60',
            'exposure_count': '1',
        }
        self.asked[name] += 1

        def post(_: int) -> int:
            browser = Client()
            browser.force_login(owner())
            try:
                return browser.post(f'/observations/{quote(SIMULATED)}/create/?target_id={target.pk}', sent).status_code
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            assert max(pool.map(post, range(2))) < 500
        self.over.wait(1)


@pytest.fixture
def stress(tom_on_both: Tom, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stress]:
    monkeypatch.setenv('EXAMPLE_TOM_CLOCK', str(tom_on_both.folder / 'clock.json'))
    tom_on_both.settings = {'SETTLE_TIME': 1}
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'SETTLE_TIME': 1, 'CLOCK': 'custom_code.clock.now'}
    tom_on_both.run()  # what starts the processes has started itself, before several threads want it
    with without_sky_plots():
        given = Stress(tom_on_both)
        yield given
        given.over.set()


def test_all_at_once_books_each_cause_once_and_leaves_nobody_stuck_or_silent(stress: Stress) -> None:
    tom = stress.tom
    work = [stress.turn, stress.turn, stress.night, stress.reader, stress.admin, stress.form]
    threads = [stress.repeat(what, number) for number, what in enumerate(work)]
    stress.over.wait(SECONDS)
    stress.over.set()
    for thread in threads:
        thread.join(180)
        assert not thread.is_alive(), thread.name
    tom.observatory.faults.clear()
    expire_claims()
    for each in DynamicCadence.objects.filter(active=False, managed__state='paused'):
        each.active = True
        each.save()
    tom.run_until_quiet(at(stress.hour() + 3), most=20)

    log = tom.observatory.log()[stress.before :]
    recorded = Counter(ObservationRecord.objects.values_list('observation_id', flat=True))
    doubled = {key: number for key, number in recorded.items() if number > 1}
    orphans = [entry for entry in log if not recorded[str(entry['id'])]]
    causes = Counter(Submission.objects.filter(state=Submission.State.ACCEPTED).values_list('cause', flat=True))
    forms = Counter(entry['name'].partition(' ~')[0] for entry in log if entry['name'].startswith('twice'))
    silent = [row for row in ManagedCadence.objects.all() if row.state != 'active' and not row.reason]
    figures = f'{len(log)} bookings, {len(causes)} causes, {len(stress.asked)} forms sent twice; {dict(stress.done)}'
    assert not stress.errors, (stress.errors[:3], figures)
    assert min(stress.done[what.__name__] for what in work) > 0, figures
    assert (orphans, doubled) == ([], {}), figures
    assert len(log) == sum(causes.values()) == len(causes), figures
    assert max(forms.values(), default=1) == 1, (forms, figures)
    assert open_requests() == 0, figures
    assert not ManagedCadence.objects.filter(claim_expires__gt=LONG_AGO).exists(), 'nobody is left holding a cadence'
    assert not silent, [(str(row), row.state) for row in silent]
    print(figures)  # noqa: T201 (what a long run is for)
