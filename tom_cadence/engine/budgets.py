"""Hours of exposure that a proposal may have, counted across all cadences of this TOM before anything is sent.

What counts is what ``core.exposure`` counts: observations that succeeded or may still be carried out, as they were really sent,
and requests whose fate is not known. Observations made by other means than this TOM are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import chain

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


class Budgets:
    """The budgets of one run: each is counted once, and what this run asks for is added."""

    def __init__(self, facilities: Facilities) -> None:
        """Nothing is read before it is asked for."""
        self._facilities = facilities
        self._all: dict[tuple[str, str], ProposalBudget] | None = None
        self._spent: dict[tuple[str, str], float] = {}

    def check(self, intent: Intent, now: datetime) -> None:
        """Count this request; NotYet where its proposal has no hours left for it. The owner is warned once before that."""
        key = (intent.facility, str(intent.parameters.get('proposal') or ''))
        if self._all is None:
            self._all = {(each.facility, each.proposal): each for each in ProposalBudget.objects.all()}
        budget = self._all.get(key)
        if budget is None:
            return
        seconds = exposure_seconds(intent.parameters)
        if seconds is None:
            raise NeedsAttention('Its proposal has a budget of hours, but the exposure time of this observation cannot be read.')
        if key not in self._spent:
            self._spent[key] = spent(budget, self._facilities).seconds
        after = self._spent[key] + seconds
        if after > budget.hours * HOUR:
            used = f'{self._spent[key] / HOUR:.4g} of the {budget.hours:.4g} h of exposure of the proposal {budget.proposal}'
            raise NotYet(
                'Nothing was sent: the hours of its proposal are used up.',
                kind=BUDGET,
                for_owner=f'{used} are used up, and this observation takes {seconds:.4g} s.',
            )
        self._spent[key] = after
        if after >= WARNED_AT * budget.hours * HOUR and budget.warned is None:
            text = f'{after / HOUR:.4g} of the {budget.hours:.4g} h of exposure of {budget.proposal} at {budget.facility} are used.'
            journal.warn_of_budget(budget, intent.owner, text, now)
            budget.warned = now
