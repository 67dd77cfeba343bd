"""What a cadence waits for besides its observations, and what a person wants asked in place of what was asked before.

A wait by the season stands with the cadence's own row, so that a run that only looks reads it without another statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max
from tom_observations.models import ObservationRecord

from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.seasons import BUDGET, asked_again, season_named, what_it_waits_for
from tom_cadence.exceptions import CadenceError, NotYet
from tom_cadence.journal import notices
from tom_cadence.journal.log import MOST, note
from tom_cadence.journal.states import CHANGE, NOT_POSTPONED, ask_again, locked, resume
from tom_cadence.models import CadenceRun, FacilityPause, ManagedCadence, ProposalBudget, Submission
from tom_followup.retry import until_written

State = ManagedCadence.State
FORGOTTEN = timedelta(days=2)
"""How long after the end of a wait another one of its kind goes on with it; later it is a new one, and told again."""


def postpone(managed: ManagedCadence, error: NotYet, now: datetime) -> datetime:
    """Keep that the facility cannot take it yet, and since when; until when it is not asked again. The owner is told once."""
    before = managed.postponed_until
    same = managed.postponed_kind == error.kind and before is not None and now < before + FORGOTTEN
    since = managed.postponed_since if same and managed.postponed_since else now
    until = asked_again(season_named(error.kind), since, now, error.until)
    managed.postponed_kind = error.kind
    managed.postponed_reason = bounded_text(what_it_waits_for(str(error), error.kind, error.until), MOST)
    managed.postponed_since, managed.postponed_until = since, until
    names = ('postponed_kind', 'postponed_reason', 'postponed_since', 'postponed_until')
    values = {name: getattr(managed, name) for name in names} | ({} if same else {'reminded': None})

    def write() -> None:
        with transaction.atomic():
            ManagedCadence.objects.filter(pk=managed.pk).update(**values)
            if not same:
                notices.tell_owner(managed, 'waits', f'{managed.postponed_reason} {error.for_owner}'.rstrip())

    until_written(write)
    return until


def hours_changed(facility: str, now: datetime) -> None:
    """A budget of this facility was changed: who waits for hours asks in the next run."""
    ask_again(now, postponed_kind=BUDGET, facility=facility)


def shown(managed: ManagedCadence) -> str:
    """What a form says about what was asked for when it was shown, so that it is changed once."""
    return f'{managed.asked_instead.get("number", 0)}-{_newest(managed)}'


def ask_instead(
    managed: ManagedCadence,
    fields: Mapping[str, Any],
    reason: str,
    now: datetime,
    given: str | None = None,
    for_owner: str = '',
) -> None:
    """From the next request on, ask for these fields' values; ``given`` is what the page ``shown``.

    ``reason`` is read by whoever may see the cadence; ``for_owner``, where given, is told to the owner alone.

    A cadence that waited for this goes on. CadenceError where a request is open: what became of it comes first.
    """
    with transaction.atomic():
        row = locked(managed)
        if given is not None and given != shown(row):
            raise CadenceError('Something was asked for, or changed, since the page was loaded: look at it again, then change it.')
        if Submission.objects.filter(managed=row, state__in=Submission.OPEN).exists():
            raise CadenceError(
                f'A request is on its way to {row.facility}, or it is not known what became of it: that comes first, '
                'then what is asked for can be changed.'
            )
        before = row.asked_instead
        asked = {
            'number': before.get('number', 0) + 1,
            'fields': {**before.get('fields', {}), **fields},
            'newest': _newest(row),
        }
        ManagedCadence.objects.filter(pk=row.pk).update(asked_instead=asked, version=F('version') + 1, **NOT_POSTPONED)
        note(row, CadenceRun.Decision.NOTE, reason, now)
        if for_owner:
            notices.tell_owner(row, 'asks', for_owner)
        if row.state == State.ATTENTION and row.reason_class == CHANGE:
            resume(row, now, 'It goes on with what is asked for now.')


def _newest(managed: ManagedCadence) -> int:
    rows = ObservationRecord.objects.filter(observationgroup__dynamiccadence=managed.cadence_id)
    return rows.aggregate(newest=Max('pk'))['newest'] or 0


def pause_facilities(seconds: Mapping[str, float], now: datetime) -> None:
    """Keep for how long these facilities want to be left alone, for the next runs; the longer of two waits counts."""
    for facility, wait in seconds.items():
        until = now + timedelta(seconds=wait)
        row, made = FacilityPause.objects.get_or_create(facility=facility, defaults={'until': until})
        if not made:
            FacilityPause.objects.filter(pk=row.pk, until__lt=until).update(until=until)
    FacilityPause.objects.filter(until__lte=now).exclude(facility__in=seconds).delete()


def paused_facilities(now: datetime) -> dict[str, float]:
    """The facilities that are still to be left alone, and for how many seconds."""
    rows = FacilityPause.objects.filter(until__gt=now).values_list('facility', 'until')
    return {facility: (until - now).total_seconds() for facility, until in rows}


def warn_of_budget(budget: ProposalBudget, user: Any, text: str, now: datetime) -> bool:
    """Say once that a budget is nearly used up; whether it was said now."""
    with transaction.atomic():
        news = bool(ProposalBudget.objects.filter(pk=budget.pk, warned=None).update(warned=now))
        if news:
            notices.tell_about_budget(user, text)
    return news
