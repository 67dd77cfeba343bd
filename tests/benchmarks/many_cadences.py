"""A TOM of very many cadences, made in bulk: what the pages are measured with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection
from guardian.shortcuts import assign_perm
from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord
from tom_targets.models import Target

from tests.benchmarks.facility import PLAIN
from tom_cadence.models import CadenceRun, ManagedCadence

THROUGH = ObservationGroup.observation_records.through
STRATEGY = 'ResumeCadenceAfterFailureStrategy'
RECORDS, HOURS, CHUNK = 20, 4, 1000
TARGETS, ASTRONOMERS, POINTS = 2000, 10, 500
STATES = ('active', 'active', 'active', 'active', 'active', 'active', 'paused', 'finished', 'finished', 'finished')
KINDS = ('OPEN', 'PUBLIC', 'PRIVATE')


class ManyCadences:
    """Targets of every kind, ten astronomers, and cadences of twenty observations; three more decisions a cadence."""

    def __init__(self) -> None:
        """No cadence yet."""
        self.now = datetime.now(timezone.utc)
        self.owners = [User.objects.create_user(f'astronomer {number}') for number in range(ASTRONOMERS)]
        self.people = {'superuser': User.objects.create_superuser('boss'), 'astronomer': self.owners[0]}
        self.targets = self._targets()
        self.one = 0

    def _targets(self) -> list[Any]:
        """A third of each kind; the astronomer's group may see two of three private ones."""
        Target.objects.bulk_create(
            Target(name=f'Target {n:05}', type='SIDEREAL', ra=1, dec=1, permissions=KINDS[n % 3]) for n in range(TARGETS)
        )
        found = list(Target.objects.order_by('pk'))
        group = Group.objects.create(name='astronomers')
        self.owners[0].groups.add(group)
        private = [target for target in found if target.permissions == 'PRIVATE']
        assign_perm('tom_targets.view_target', group, Target.objects.filter(pk__in=[t.pk for n, t in enumerate(private) if n % 3]))
        points = (
            PhotometryReducedDatum(
                target=found[0],
                timestamp=self.now - timedelta(hours=n),
                brightness=18.0,
                brightness_error=0.1,
                bandpass='r',
                unit='mag',
            )
            for n in range(POINTS)
        )
        PhotometryReducedDatum.objects.bulk_create(points)
        return found

    def grow(self, cadences: int) -> None:
        """Let there be so many."""
        have = ManagedCadence.objects.count()
        for first in range(have, cadences, CHUNK):
            self._add(range(first, min(cadences, first + CHUNK)), RECORDS)
        if not self.one:
            self.one = ManagedCadence.objects.filter(owner=self.owners[0], state='active').order_by('pk')[0].pk
        self._looked_at()

    def _add(self, numbers: range, records: int) -> list[int]:
        groups = ObservationGroup.objects.bulk_create(ObservationGroup(name=f'Cadence {number}') for number in numbers)
        hosts = DynamicCadence.objects.bulk_create(
            DynamicCadence(
                observation_group=group,
                cadence_strategy=STRATEGY,
                cadence_parameters={'cadence_frequency': 24},
                active=STATES[number % 10] == 'active',
            )
            for number, group in zip(numbers, groups, strict=True)
        )
        managed = ManagedCadence.objects.bulk_create(
            self._managed(number, host) for number, host in zip(numbers, hosts, strict=True)
        )
        made = ObservationRecord.objects.bulk_create(
            (self._record(number, day, records) for number in numbers for day in range(records)), batch_size=5000
        )
        pairs = zip((group.pk for group in groups for _ in range(records)), made, strict=True)
        THROUGH.objects.bulk_create(
            (THROUGH(observationgroup_id=group, observationrecord_id=record.pk) for group, record in pairs), batch_size=5000
        )
        decisions = [
            ('wait', 'It is not finished (PENDING).'),
            ('submit', 'The last one succeeded.'),
            ('note', 'It was taken over.'),
        ]
        CadenceRun.objects.bulk_create(
            CadenceRun(managed=row, decision=decision, reason=reason, first=self.now, last=self.now)
            for row in managed
            for decision, reason in decisions
        )
        return [row.pk for row in managed]

    def _managed(self, number: int, host: Any) -> ManagedCadence:
        owner = self.owners[number % ASTRONOMERS]
        return ManagedCadence(
            cadence=host,
            host_cadence_id=host.pk,
            owner=owner,
            owner_name=owner.username,
            state=STATES[number % 10],
            facility=PLAIN,
            strategy=STRATEGY,
            target_name=self.targets[number % TARGETS].name,
            created=self.now,
            last_reason='It is not finished (PENDING).',
        )

    def _record(self, number: int, day: int, records: int) -> ObservationRecord:
        start = self.now - timedelta(hours=HOURS / 2) - timedelta(days=records - 1 - day)
        last = day == records - 1
        return ObservationRecord(
            target=self.targets[number % TARGETS],
            user=self.owners[number % ASTRONOMERS],
            facility=PLAIN,
            parameters={
                'facility': PLAIN,
                'observation_type': 'IMAGING',
                'start': start.strftime('%Y-%m-%dT%H:%M'),
                'end': (start + timedelta(hours=HOURS)).strftime('%Y-%m-%dT%H:%M'),
                'filter': 'r',
                'exposure_time': 60.0,
                'exposure_count': 1,
            },
            observation_id=f'{"now" if last else "old"}-{number}-{day}',
            status='PENDING' if last else ('WINDOW_EXPIRED' if day % 5 == 0 else 'COMPLETED'),
        )

    @contextmanager
    def long_ones(self, number: int, records: int) -> Iterator[int]:
        """So many more cadences of so many records, the youngest and so the first of the list; the primary key of one of them."""
        first = 10 * TARGETS  # the astronomer's own, of a target that she may see, and active
        pks = [self._add(range(first + 2000 * n, first + 2000 * n + 1), records)[0] for n in range(number)]
        self._looked_at()
        try:
            yield pks[0]
        finally:
            groups = ObservationGroup.objects.filter(dynamiccadence__managed__in=pks)
            ObservationRecord.objects.filter(observationgroup__in=groups).delete()
            groups.delete()
            ManagedCadence.objects.filter(pk__in=pks).delete()

    def _looked_at(self) -> None:
        """The engine has been here just now; and what autovacuum would do in its time."""
        ManagedCadence.objects.update(last_check=datetime.now(timezone.utc))
        with connection.cursor() as cursor:
            cursor.execute('ANALYZE' if connection.vendor == 'sqlite' else 'VACUUM ANALYZE')
