"""Everything at once for a while: hosts whose clocks are apart, kill -9, the same asked twice, cancelled, subscribed to.

Afterwards the service's own log has one task for each question, nothing is open or held by the dead, no point is there twice.
``STRESS_SECONDS`` says how long (60 where nothing is said).
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.utils import timezone
from tom_dataproducts.models import PhotometryReducedDatum

from tests.support.phot_processes import DATES, SETTINGS, PhotTom, make_targets, messages, unfinished
from tests.support.processes import start
from tom_followup.failpoints import PhotometryPoint
from tom_forced_phot import conf, queries
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery, PhotometrySubscription, RemoteJob

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.prove(why='a minute of many processes and people at once, or as long as STRESS_SECONDS says'),
]
SECONDS = float(os.environ.get('STRESS_SECONDS') or 60)
APART = (0, 20 * 60, -20 * 60, 2 * 3600, -2 * 3600)
"""By how many seconds the clocks of hosts are wrong."""
LONG_ENOUGH = 20
"""In so many seconds at least one process comes to where it is killed."""
TARGETS = 30
CLAIM_TIME = 12
#: Runs what stands behind it as on a host whose clock is wrong.
HOST = """
import os, runpy, sys, time
from datetime import timedelta
from django.utils import timezone
right, passed, wrong = timezone.now, time.time, float(os.environ['HOST_IS_WRONG_BY'])
timezone.now = lambda: right() + timedelta(seconds=wrong)
time.time = lambda: passed() + wrong
del sys.argv[0]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name='__main__')
"""


class PhotStress:
    """A TOM that asks ATLAS, and those who work on it at the same time until ``over``."""

    def __init__(self, tom: PhotTom) -> None:
        """Targets that nobody has asked about, and some with a standing order."""
        self.tom, self.over = tom, threading.Event()
        self.host = tom.folder / 'host.py'
        self.host.write_text(HOST)
        self.user = User.objects.create_superuser('vera', 'vera@example.org')
        self.targets = make_targets(TARGETS)
        now = conf.utc_now()
        for target in self.targets[:5]:
            PhotometrySubscription.objects.create(
                service='ATLAS', target=target, owner=self.user, parameters={'reduction': 'difference'}, next_round=now
            )
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []

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
                self.over.wait(0.2)

        thread = threading.Thread(target=work, name=f'{what.__name__} {number}')
        thread.start()
        return thread

    def turn(self, dice: random.Random) -> None:
        """A turn of cron on a host of its own clock; the first, which has standing orders to send, is killed, then every third."""
        more = {'HOST_IS_WRONG_BY': str(dice.choice(APART))}
        if not self.done['killed']:
            more['EXAMPLE_TOM_CRASH_AT'] = f'phot:{PhotometryPoint.JOB_OPEN.value}:0'
        elif dice.random() < 1 / 3:
            more['EXAMPLE_TOM_CRASH_AT'] = f'phot:{dice.choice(list(PhotometryPoint)).value}:{dice.randrange(2)}'
        process = start(['runforcedphotometry'], self.tom.environment(**more), prefix=(str(self.host),))
        self.tom.processes.append(process)
        ended = process.wait()
        self.done['killed'] += ended.killed
        assert ended.killed or ended.status in (0, 1), ended.output[-2000:]
        assert 'Traceback' not in ended.output, ended.output[-4000:]

    def ask(self, dice: random.Random) -> None:
        """The same question twice at the same moment."""
        target = dice.choice(self.targets)

        def press(_: int) -> int:
            try:
                return queries.ask('ATLAS', target, DATES, self.user, conf.utc_now()).query.pk
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(press, range(2))
        assert first == second or PhotometryQuery.objects.get(pk=min(first, second)).state not in QueryState.open_values()

    def cancel(self, dice: random.Random) -> None:
        """Somebody cancels what is open, on the page."""
        waiting = list(PhotometryQuery.objects.filter(state__in=QueryState.open_values()).values_list('pk', flat=True))
        browser = Client()
        browser.force_login(self.user)
        if waiting and dice.random() < 0.3:
            assert browser.post(f'/forced-photometry/queries/{dice.choice(waiting)}/cancel/').status_code == 302
        assert browser.get('/forced-photometry/').status_code == 200

    def weather(self, dice: random.Random) -> None:
        """Replies are lost, and standing orders come due."""
        if dice.random() < 0.2:
            self.tom.atlas.fault(
                dice.choice(('submit', 'status', 'result')), dice.choice(('500', '500-after', 'reset-after')), count=1
            )
        PhotometrySubscription.objects.filter(pk__in=[dice.randrange(1, 6)]).update(next_round=conf.utc_now())
        self.over.wait(1)


@pytest.fixture
def stress(open_tom: Callable[..., PhotTom], database_url: str, settings: Any, tmp_path: Path) -> Iterator[PhotStress]:
    tom = open_tom(database_url, service='tests.processes.photometry.quick.QuickAtlas')
    settings.TOM_FORCED_PHOT = {**SETTINGS, 'CLAIM_TIME': CLAIM_TIME}  # the database's clock, as a TOM has it
    tom.more |= {'EXAMPLE_TOM_CLOCK': '', 'EXAMPLE_TOM_PHOT_SETTINGS': json.dumps(settings.TOM_FORCED_PHOT)}
    tom.atlas.set_clock(timezone.now())
    given = PhotStress(tom)
    yield given
    given.over.set()


def test_all_at_once_asks_each_question_once_and_leaves_none_open_and_no_point_twice(stress: PhotStress) -> None:
    tom = stress.tom
    work = [stress.turn, stress.turn, stress.ask, stress.cancel, stress.weather]
    threads = [stress.repeat(what, number) for number, what in enumerate(work)]
    stress.over.wait(SECONDS)
    stress.over.set()
    for thread in threads:
        thread.join(180)
        assert not thread.is_alive(), thread.name
    tom.atlas.faults.clear()
    PhotometrySubscription.objects.update(active=False)
    for _ in range(60):
        tom.run_here()
        if not unfinished():
            break
        threading.Event().wait(1)

    tasks = Counter(entry['id'] for entry in tom.atlas.log())
    asked = sum(len(job.positions) for job in RemoteJob.objects.exclude(last_sent=None))
    figures = f'{len(tasks)} tasks, {asked} positions sent, {PhotometryQuery.objects.count()} queries; {dict(stress.done)}'
    assert not stress.errors, (stress.errors[:3], figures)
    assert min(stress.done[what.__name__] for what in work) > 0, figures
    assert stress.done['killed'] > 0 or SECONDS < LONG_ENOUGH, figures
    assert unfinished() == 0, (messages(), figures)
    assert len(tasks) <= asked, figures
    held = PhotometryQuery.objects.exclude(claim_until=None).count(), RemoteJob.objects.exclude(claim_until=None).count()
    assert held == (0, 0), (held, figures)
    points = Counter(PhotometryReducedDatum.objects.values_list('target', 'timestamp', 'bandpass', 'value__Obs'))
    assert max(points.values(), default=1) == 1, (points.most_common(3), figures)
    lost = [query.pk for query in PhotometryQuery.objects.filter(state='done', rows__gt=0) if query.data_product_id is None]
    assert not lost, (lost, figures)
    print(figures)  # noqa: T201 (what a long run is for)
