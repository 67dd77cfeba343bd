"""The history of decisions: one line each, identical waits folded into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from tom_cadence.core.bounds import bounded_text
from tom_cadence.models import CadenceRun, ManagedCadence, Submission

MOST = 2000
"""Letters of a reason. Much of it is in the words of facilities, forms and strategies, so it is redacted before it is kept."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One cadence that was looked at and had to wait."""

    managed: ManagedCadence
    reason: str
    unreachable_since: datetime | None = None
    late_check: datetime | None = None
    consecutive_failures: int = 0

    def __post_init__(self) -> None:
        """The reason as every database takes it."""
        object.__setattr__(self, 'reason', bounded_text(self.reason, MOST))


def note(managed: ManagedCadence, decision: str, reason: str, now: datetime, submission: Submission | None = None) -> CadenceRun:
    """Write one line of a cadence's history."""
    return CadenceRun.objects.create(
        managed=managed, decision=decision, reason=bounded_text(reason, MOST), first=now, last=now, submission=submission
    )


def note_checked(checked: Sequence[Checked], now: datetime) -> None:
    """Write that these cadences were looked at and wait: a constant number of statements for any number of them."""
    if not checked:
        return
    same = [item for item in checked if item.managed.last_run and item.managed.last_reason == item.reason]
    news = [item for item in checked if not (item.managed.last_run and item.managed.last_reason == item.reason)]
    pks = [item.managed.pk for item in checked]
    with transaction.atomic():
        # All processes lock the rows in one order, so that two that note the same cadences do not wait for each other.
        list(ManagedCadence.objects.select_for_update().filter(pk__in=pks).order_by('pk').values_list('pk', flat=True))
        if same:
            CadenceRun.objects.filter(pk__in=[item.managed.last_run for item in same]).update(count=F('count') + 1, last=now)
        _write_news(news, now)
        _write_changes(checked)
        ManagedCadence.objects.filter(pk__in=pks).update(last_check=now)


def note_late_checks(checks: Sequence[tuple[ManagedCadence, datetime | None]]) -> None:
    """Write when finished observations of these cadences were last asked for."""
    for managed, instant in checks:
        managed.late_check = instant
    if checks:
        ManagedCadence.objects.bulk_update([managed for managed, _ in checks], ['late_check'])


def _write_news(news: Sequence[Checked], now: datetime) -> None:
    runs = CadenceRun.objects.bulk_create(
        CadenceRun(managed=item.managed, decision=CadenceRun.Decision.WAIT, reason=item.reason, first=now, last=now)
        for item in news
    )
    for item, run in zip(news, runs, strict=True):
        item.managed.last_run, item.managed.last_reason = run.pk, item.reason
    if news:
        ManagedCadence.objects.bulk_update([item.managed for item in news], ['last_run', 'last_reason'])


def _write_changes(checked: Sequence[Checked]) -> None:
    changed = []
    for item in checked:
        after = (item.unreachable_since, item.late_check, item.consecutive_failures)
        managed = item.managed
        if after != (managed.unreachable_since, managed.late_check, managed.consecutive_failures):
            managed.unreachable_since, managed.late_check, managed.consecutive_failures = after
            changed.append(managed)
    if changed:
        ManagedCadence.objects.bulk_update(changed, ['unreachable_since', 'late_check', 'consecutive_failures'])
