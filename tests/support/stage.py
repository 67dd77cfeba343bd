"""Five cadences of a site (``site.py``) that are due; the one in the middle passes the hook that is armed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import User
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support import site
from tom_cadence.engine.report import Report
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence


@contextmanager
def furnished(settings: Any) -> Iterator[None]:
    """A TOM with the site's facilities, strategies, mail, storage and hooks; its log is silent."""
    settings.TOM_FACILITY_CLASSES = site.FACILITIES
    settings.TOM_CADENCE_STRATEGIES = site.STRATEGIES
    settings.EMAIL_BACKEND = f'{site.HERE}.OddMail'
    settings.STORAGES = {**settings.STORAGES, 'default': {'BACKEND': f'{site.HERE}.OddStorage'}}
    settings.HOOKS = {'observation_change_state': f'{site.HERE}.on_change'}
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        site.armed.clear()
        logging.disable(logging.NOTSET)


class Stage:
    """Five cadences that are due; the one in the middle passes the hook."""

    def __init__(self, facility: type, strategy: str, **parameters: Any) -> None:
        site.armed.clear()
        site.Good.booked.clear()
        ManagedCadence.objects.all().delete()
        DynamicCadence.objects.all().delete()
        ObservationGroup.objects.all().delete()
        ObservationRecord.objects.all().delete()
        Target.objects.all().delete()
        User.objects.filter(username__in=['vera', 'odd']).delete()
        self.vera = User.objects.create_user('vera', 'vera@example.org')
        self.odd = User.objects.create_user('odd', 'odd@example.org')
        resume = 'ResumeCadenceAfterFailureStrategy'
        self.good = [self.make(f'good {number}', site.Good, resume, self.vera) for number in range(2)]
        self.victim = self.make('victim', facility, strategy, self.odd, **parameters)
        self.good += [self.make(f'good {number}', site.Good, resume, self.vera) for number in range(2, 4)]

    def make(self, name: str, facility: type, strategy: str, user: Any, **parameters: Any) -> DynamicCadence:
        target = Target.objects.create(name=name, type='SIDEREAL', ra=83.6, dec=22.0, permissions='OPEN')
        group = ObservationGroup.objects.create(name=name)
        [number] = site.Good().submit_observation({'name': 'first'})
        asked = {
            'facility': facility.name,
            'target_id': target.pk,
            'observation_type': 'IMAGING',
            'name': name,
            'start': NIGHT.isoformat(),
            'end': at(4).isoformat(),
        }
        record = ObservationRecord.objects.create(
            target=target, user=user, facility=facility.name, parameters=asked, observation_id=number, status='PENDING'
        )
        group.observation_records.add(record)
        site.Good.states[number] = 'WINDOW_EXPIRED'
        given = {'cadence_frequency': 24, **parameters}
        return DynamicCadence.objects.create(
            observation_group=group, cadence_strategy=strategy, cadence_parameters=given, active=True
        )

    def run(self, hours: float = 5) -> Report:
        return run_cadences(now=at(hours))

    def booked(self, name: str) -> int:
        return sum(each.startswith(name) for each, _ in site.Good.booked)

    def assert_all_others_are_served_once(self) -> None:
        assert [self.booked(f'good {number}') for number in range(4)] == [1, 1, 1, 1]
        assert [cadence.observation_group.observation_records.count() for cadence in self.good] == [2, 2, 2, 2]
        states = ManagedCadence.objects.filter(cadence__in=self.good).values_list('state', flat=True)
        assert set(states) == {'active'}

    def assert_the_victim_is_served_or_told_of(self, report: Report) -> None:
        lines = [line for line in report.lines if line.cadence == self.victim.pk]
        assert lines, 'nothing is said of it'
        managed = ManagedCadence.objects.get(cadence=self.victim)
        told = report.failed and any(line.failed for line in lines)
        assert told or any(line.decision in ('submit', 'wait', 'stop') for line in lines)
        for text in (managed.reason, managed.last_reason, *(line.reason for line in lines)):
            assert 'hush4711' not in text
            assert len(text) < 4000
        assert self.booked('victim') <= 1


# 50 in `make test`; 300 in `make prove`, where 500 would take four minutes longer.
