"""Asking what was previewed, and the first steps of it where there are no workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from tom_forced_phot import conf, queries
from tom_forced_phot.asking_plan.service_words import Outcome, outcome_words
from tom_forced_phot.exceptions import ForcedPhotometryError
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.plan import Question, ServicePlan
from tom_forced_phot.queries.background import CARRIES_ON
from tom_forced_phot.states import QueryState

#: Steps of one query in a web request: sending, a look, fetching, and some to spare.
STEPS = 5


def ask_all(plans: Sequence[ServicePlan], user: Any, now: datetime) -> tuple[str, list[int]]:
    """Ask, and set it going; what is to be said about it, and the new queries."""
    outcomes, made = [], []
    for each in plans:
        outcome, pks = _ask(each, user, now)
        outcomes.append(outcome)
        made += pks
    said = outcome_words(outcomes)
    return f'{said} {begin(made)}'.strip() if made else said, made


def _ask(plan: ServicePlan, user: Any, now: datetime) -> tuple[Outcome, list[int]]:
    """One service, in as few calls of the engine as there are different dates."""
    asked: list[queries.Asked] = []
    declined = [(each.target.name, each.foreseen.reason) for each in plan.refused]
    joined = [each for each in plan.followed if not each.mine]
    for together in _alike([*plan.new, *joined]):
        cleaned = {name: value for name, value in together[0].cleaned.items() if name != 'target_id'}
        try:
            found, refused = queries.ask_many(plan.service.name, [each.target for each in together], cleaned, user, now)
        except ForcedPhotometryError as error:  # credentials that were removed a moment ago: nobody of these was asked
            declined += [(each.target.name, str(error)) for each in together]
            continue
        asked += found
        declined += [(each.target.name, each.reason) for each in refused]
    made = [each.query.pk for each in asked if each.created]
    outcome = Outcome(
        service=plan.service.name,
        asked=len(made),
        followed=len(asked) - len(made) + len(plan.followed) - len(joined),
        already=len(plan.already),
        declined=declined,
    )
    return outcome, made


def _alike(questions: Sequence[Question]) -> list[list[Question]]:
    groups: dict[str, list[Question]] = {}
    for each in questions:
        same = {name: value for name, value in each.cleaned.items() if name != 'target_id'}
        groups.setdefault(json.dumps(same, default=str, sort_keys=True), []).append(each)
    return list(groups.values())


def begin(pks: list[int], clock: Callable[[], datetime] = conf.utc_now) -> str:
    """Set queries going: by the workers, or by this web request for a bounded time."""
    if len(pks) == 1 or queries.has_workers():
        return queries.start(pks, clock)
    first_steps(pks, conf.get('SYNCHRONOUS_TIME'), clock)
    left = PhotometryQuery.objects.filter(pk__in=pks, state__in=QueryState.open_values()).count()
    return f'{left} of them are still open. {CARRIES_ON}' if left else 'All of them have ended.'


def first_steps(pks: Sequence[int], seconds: float, clock: Callable[[], datetime] = conf.utc_now) -> int:
    """Take steps that are due, for so long at the most; how many. A request that is on its way is waited for."""
    end, steps = clock() + timedelta(seconds=seconds), 0
    while steps < STEPS * len(pks) and clock() < end:
        next_one = queries.due(clock(), pks=pks).values_list('pk', flat=True).first()
        if next_one is None:
            break
        queries.advance(next_one, clock=clock)
        steps += 1
    return steps
