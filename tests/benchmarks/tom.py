"""The TOM of the benchmarks: many cadences of many records, made in bulk, and set back between two measurements."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord
from tom_targets.models import Target

from tests.benchmarks.facility import PLAIN
from tom_cadence.models import Booking, CadenceRun, FollowedRecord, ManagedCadence, Submission

RECORDS = 20
HOURS = 4
THROUGH = ObservationGroup.observation_records.through
CHUNK = 2000


class Tom:
    """A TOM with so many active cadences, and records of other groups beside them."""

    def __init__(self, cadences: int) -> None:
        """Make owner, target and cadences; each has 19 finished observations and one that is being waited for."""
        self.now = datetime.now(timezone.utc)
        self.owner = User.objects.create_user('bench')
        self.target = Target.objects.create(name='Benchmark', type='SIDEREAL', ra=1, dec=1, permissions='OPEN')
        groups = self._groups(cadences, 'now')
        DynamicCadence.objects.bulk_create(
            DynamicCadence(
                observation_group_id=group,
                cadence_strategy='ResumeCadenceAfterFailureStrategy',
                cadence_parameters={'cadence_frequency': 24},
                active=True,
            )
            for group in groups
        )
        self.last = ObservationRecord.objects.order_by('-pk').values_list('pk', flat=True)[0]
        self.analyse()

    def _parameters(self, start: datetime) -> dict[str, Any]:
        return {
            'facility': PLAIN,
            'target_id': self.target.pk,
            'observation_type': 'IMAGING',
            'name': 'Benchmark r',
            'start': start.strftime('%Y-%m-%dT%H:%M'),
            'end': (start + timedelta(hours=HOURS)).strftime('%Y-%m-%dT%H:%M'),
            'filter': 'r',
            'exposure_time': 60.0,
            'exposure_count': 1,
        }

    def _groups(self, number: int, newest: str) -> list[int]:
        """So many groups of a daily cadence's records; the newest record of each is called ``newest-...``."""
        first = ObservationGroup.objects.count()
        groups = ObservationGroup.objects.bulk_create(
            [ObservationGroup(name=f'Benchmark {first + n}') for n in range(number)], batch_size=CHUNK
        )
        start = self.now - timedelta(hours=HOURS / 2)
        for begin in range(0, number, CHUNK // RECORDS):
            some = groups[begin : begin + CHUNK // RECORDS]
            records = ObservationRecord.objects.bulk_create(
                ObservationRecord(
                    target=self.target,
                    user=self.owner,
                    facility=PLAIN,
                    parameters=self._parameters(start - timedelta(days=RECORDS - 1 - day)),
                    observation_id=f'{newest if day == RECORDS - 1 else "old"}-{group.pk}-{day}',
                    status='PENDING' if day == RECORDS - 1 and newest == 'now' else 'COMPLETED',
                )
                for group in some
                for day in range(RECORDS)
            )
            owners = [group.pk for group in some for _ in range(RECORDS)]
            THROUGH.objects.bulk_create(
                THROUGH(observationgroup_id=group, observationrecord_id=record.pk)
                for group, record in zip(owners, records, strict=True)
            )
        return [group.pk for group in groups]

    def grow(self, records: int) -> None:
        """Let the TOM have so many records in all: the others belong to groups that are done."""
        self._groups((records - ObservationRecord.objects.count()) // RECORDS, 'old')
        self.last = ObservationRecord.objects.order_by('-pk').values_list('pk', flat=True)[0]
        self.analyse()

    def analyse(self) -> None:
        """What autovacuum would do in its time."""
        with connection.cursor() as cursor:
            cursor.execute('ANALYZE' if connection.vendor == 'sqlite' else 'VACUUM ANALYZE')

    def set_back(self) -> None:
        """Forget what the last measurement booked."""
        new = ObservationRecord.objects.filter(pk__gt=self.last)
        Booking.objects.filter(record__gt=self.last)._raw_delete('default')
        CadenceRun.objects.all()._raw_delete('default')
        FollowedRecord.objects.all()._raw_delete('default')
        Submission.objects.all()._raw_delete('default')
        ManagedCadence.objects.update(last_run=None, last_reason='', state='active', claim_holder='', claim_expires=None)
        THROUGH.objects.filter(observationrecord__in=new)._raw_delete('default')
        new._raw_delete('default')
        ObservationRecord.objects.filter(observation_id__startswith='now-').update(status='PENDING')

    def use(self, facility: str) -> None:
        """Let all records be of another facility."""
        ObservationRecord.objects.update(facility=facility)
        ManagedCadence.objects.update(facility=facility)
        self.analyse()

    def activate(self, number: int) -> list[int]:
        """Let the first so many cadences be the active ones; their ids."""
        pks = list(DynamicCadence.objects.order_by('pk').values_list('pk', flat=True))
        DynamicCadence.objects.filter(pk__in=pks[:number]).update(active=True)
        DynamicCadence.objects.filter(pk__gt=pks[number - 1]).update(active=False)
        return pks[:number]
