"""Hours of exposure that a proposal may have, counted across all cadences of this TOM before anything is sent.

What counts is what ``core.exposure`` counts: observations that succeeded or may still be carried out, as they were really sent,
and requests whose fate is not known. Observations made by other means than this TOM are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from django.db.models import Max, QuerySet
from tom_observations.models import ObservationRecord

from tom_cadence import journal
from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.history import Outcome
from tom_cadence.core.seasons import BUDGET
from tom_cadence.exceptions import NeedsAttention, NotYet
from tom_cadence.facilities import Facilities
from tom_cadence.journal import Intent
from tom_cadence.models import ProposalBudget, Submission

WARNED_AT = 0.8
HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a budget has been used for, seconds; ``unknown`` observations say nothing of their exposure."""

    budget: ProposalBudget
    seconds: float
    unknown: int = 0

    @property
    def part(self) -> float:
        """How much of it is used up: 1 is all."""
        return self.seconds / (self.budget.hours * HOUR) if self.budget.hours > 0 else 1.0

    @property
    def percent(self) -> int:
        """The same for people; 100 only where nothing is left."""
        return min(round(100 * self.part), 99) if self.part < 1 else round(100 * self.part)

    @property
    def hours(self) -> float:
        """Exposure, without overheads."""
        return self.seconds / HOUR


def spent(budget: ProposalBudget, facilities: Facilities) -> Spent:
    """What was asked for with this proposal, and not in vain."""
    records = ObservationRecord.objects.filter(facility=budget.facility, parameters__proposal=budget.proposal)
    opened = Submission.objects.filter(
        facility=budget.facility, parameters__proposal=budget.proposal, state__in=Submission.OPEN, bookings__isnull=True
    )
    if budget.since is not None:
        records, opened = records.filter(created__gte=budget.since), opened.filter(created__gte=budget.since)
    gateway = facilities.gateway(budget.facility, None)
    asked = (
        parameters
        for status, parameters in records.order_by().values_list('status', 'parameters').iterator()
        if gateway.outcome(status) in (Outcome.SUCCEEDED, Outcome.WAITING)
    )
    parameters = chain(asked, opened.values_list('parameters', flat=True))
    seconds = [exposure_seconds(each) if isinstance(each, dict) else None for each in parameters]  # numbers alone are kept
    return Spent(budget=budget, seconds=sum(filter(None, seconds)), unknown=seconds.count(None))


Key = tuple[str, str]
"""Facility and proposal."""


def _key(intent: Intent) -> Key:
    return intent.facility, str(intent.parameters.get('proposal') or '')


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a budget had been used for when ``newest`` was the newest request of its proposal, seconds."""

    seconds: float
    newest: int

    def now(self, budget: ProposalBudget) -> float:
        """With what was asked for since, by any process, and may be booked."""
        since = _requests(budget).filter(pk__gt=self.newest).exclude(state=Submission.State.REFUSED)
        rows = since.values_list('parameters', 'observation_ids')
        return self.seconds + sum((exposure_seconds(parameters) or 0.0) * max(1, len(ids)) for parameters, ids in rows)


def _requests(budget: ProposalBudget) -> QuerySet[Submission]:
    return Submission.objects.filter(facility=budget.facility, parameters__proposal=budget.proposal)


@dataclass(kw_only=True)
class Used:
    """One budget inside a transaction: what was used ``before`` it, and what is ``asked`` for in it, seconds.

    ``anew``: everything was counted again in this transaction.
    """

    budget: ProposalBudget
    before: float
    asked: float = 0.0
    anew: bool = False

    @property
    def seconds(self) -> float:
        """Both."""
        return self.before + self.asked


def counted(budget: ProposalBudget, facilities: Facilities) -> Counted:
    """Count it now. The newest request is read first: what comes meanwhile may be counted twice, and is never left out."""
    newest = _requests(budget).aggregate(newest=Max('pk'))['newest'] or 0
    return Counted(seconds=spent(budget, facilities).seconds, newest=newest)


class Budgets:
    """The budgets of one run. What counts is read where it counts: in the transaction that commits a request, before it is sent.

    Of two processes one waits there for the other; what was decided and then not sent is not counted.
    """

    def __init__(self, facilities: Facilities) -> None:
        """Nothing is read before it is asked for."""
        self._facilities = facilities
        self._all: dict[Key, ProposalBudget] | None = None
        self._counted: dict[Key, Counted] = {}
        self._used: dict[Key, Used] = {}

    def checked(self, intent: Intent, now: datetime) -> Intent:
        """The intent, whose budget, where it has one, has the last word before it is committed.

        NeedsAttention where the exposure time cannot be read.
        """
        if self._all is None:
            self._all = {(each.facility, each.proposal): each for each in ProposalBudget.objects.all()}
        key = _key(intent)
        budget = self._all.get(key)
        if budget is None:
            return intent
        seconds = exposure_seconds(intent.parameters)
        if seconds is None:
            raise NeedsAttention('Its proposal has a budget of hours, but the exposure time of this observation cannot be read.')
        if key not in self._counted:
            self._counted[key] = counted(budget, self._facilities)
        refused = partial(self._refused, key, seconds, intent.owner, now)
        return replace(intent, locks=partial(self._lock, key), last_word=refused)

    def _lock(self, key: Key) -> None:
        """Hold the budget until the transaction ends, and read what is used of it by now, whoever asked for it."""
        budget = ProposalBudget.objects.select_for_update().filter(facility=key[0], proposal=key[1]).first()
        self._used.pop(key, None)
        if budget is not None:  # else it was deleted meanwhile
            self._used[key] = Used(budget=budget, before=self._counted[key].now(budget))

    def _refused(self, key: Key, seconds: float, owner: Any, now: datetime) -> NotYet | None:
        """Why this request waits: its proposal has no hours left for it; else it is counted. The owner is warned before, once."""
        used = self._used.get(key)
        if used is None:
            return None
        budget = used.budget
        most = budget.hours * HOUR
        if used.seconds + seconds > most and not used.anew:  # what was on its way when it was counted may have been refused since
            self._counted[key] = counted(budget, self._facilities)
            used.before, used.anew = self._counted[key].seconds, True
        if used.seconds + seconds > most:
            said = f'{used.seconds / HOUR:.4g} of the {budget.hours:.4g} h of exposure of the proposal {budget.proposal}'
            return NotYet(
                'Nothing was sent: the hours of its proposal are used up.',
                kind=BUDGET,
                for_owner=f'{said} are used up, and this observation takes {seconds:.4g} s.',
            )
        used.asked += seconds
        if used.seconds >= WARNED_AT * most and budget.warned is None:
            hours = f'{used.seconds / HOUR:.4g} of the {budget.hours:.4g} h'
            journal.warn_of_budget(budget, owner, f'{hours} of exposure of {budget.proposal} at {budget.facility} are used.', now)
            budget.warned = now
        return None
