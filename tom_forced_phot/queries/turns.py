"""Whose turn it is: people before routine, first questions before second ones, and room for large ones that have waited long."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from django.db.models import F, Min, Q, QuerySet, Sum
from django.db.models.functions import Greatest

from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import JobState, QueryState
from tom_forced_phot.ingest import sql
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries import accounts, client, rows
from tom_forced_phot.queries.accounts import Account, NoAccount
from tom_forced_phot.services.base import ForcedPhotometryService

logger = logging.getLogger(__name__)
#: Of each user.
CONSIDERED = 3000
FULL_HERE = timedelta(seconds=30)
#: A question of several positions waits so long for places that smaller ones take; then places are kept free for it.
KEPT_AFTER = timedelta(minutes=10)
KEPT = 'Places at {} are kept free for a question of several positions, which has waited for longer.'


@dataclass(frozen=True)
class FreeSlots:
    """How many more questions of an account may wait at a service: those that nobody waits for, and those that a person does."""

    others: int
    urgent: int


def choose(service: ForcedPhotometryService, now: datetime) -> tuple[list[Waiting], Account | None]:
    """Whose turn it is among those whose account may ask now: an account that is full, or quiet, holds up nobody else's."""
    queued = PhotometryQuery.objects.filter(service=service.name, state=QueryState.QUEUED, job=None, next_step__lte=now)
    # with a lock: somebody may cancel one of them at this moment (SQLite has no row locks, and one writer)
    waiting: list[Waiting] = []
    found: dict[int | None, Account] = {}
    open_to: set[int | None] = set()
    closed, slots_of = client.closed_accounts(service.name, now), _free_slots(service)
    large = _large(service, now)
    users = {*queued.order_by('asked_by').values_list('asked_by', flat=True).distinct(), *(each.user for each in large)}
    for user in sorted(users, key=lambda each: each or 0):
        mine = queued.filter(asked_by=user)
        try:
            found[user] = accounts.choose(service, user)
        except NoAccount as error:
            _without_account(mine, now, str(error))
            continue
        except Exception as error:  # the site's own class with this user's credentials
            logger.exception('An account cannot be used', extra={'event': 'account_unusable', 'user': user})
            _without_account(mine, now, f'The account cannot be used. {redaction.error_text(error)}')
            continue
        name = found[user].name
        until = max((closed[each] for each in (name, '') if each in closed), default=None)
        if until is not None:
            rows.wait(mine, until, f'{service.name} takes nothing from this account before {until:%H:%M:%S} UTC.')
            continue
        slots = slots_of.get(name, FreeSlots(service.open_jobs, service.open_jobs_urgent))
        if slots.others < service.open_jobs:
            text = f'As many of our queries as may wait at {service.name} are there; more are sent when some are done.'
            too_many = Q(urgent=True, places__gt=max(0, slots.urgent)) | Q(urgent=False, places__gt=max(0, slots.others))
            rows.wait(mine.filter(too_many), now + FULL_HERE, text)
        open_to.add(user)
        waiting += _oldest(mine, user, name, slots)
    there = PhotometryQuery.objects.filter(service=service.name, state__in=[QueryState.SUBMITTED, QueryState.RUNNING])
    busy = dict(there.order_by().values_list('asked_by').annotate(Sum('places')))
    # one that fits, and is due, is among the others
    due_now = {each.pk for each in waiting}
    kept = [each for each in large if each.user in open_to and each.pk not in due_now]
    ordered = fair_order(sorted([*waiting, *kept], key=lambda each: each.pk), busy)
    able, held = with_room_kept(ordered, {each.pk for each in kept}, {user: account.name for user, account in found.items()})
    if not able:
        for some in sql.slices([each.pk for each in held]):
            rows.wait(queued.filter(pk__in=some), now + FULL_HERE, KEPT.format(service.name))
    chosen = batch(able, service.batch_size)
    if not chosen:
        return [], None
    account = found[chosen[0].user]
    slots = slots_of.get(account.name, FreeSlots(service.open_jobs, service.open_jobs_urgent))
    return within(chosen, slots.urgent if chosen[0].urgent else slots.others), account


def _oldest(mine: QuerySet[PhotometryQuery], user: int | None, account: str, slots: FreeSlots) -> list[Waiting]:
    """A user's oldest questions for which there is room, those that somebody waits for first."""
    fitting = Q(urgent=True, places__lte=max(0, slots.urgent)) | Q(urgent=False, places__lte=max(0, slots.others))
    oldest = mine.filter(fitting).order_by('-urgent', 'pk').select_for_update(skip_locked=True)[:CONSIDERED]
    of_user = oldest.values_list('pk', 'group_key', 'part', 'urgent', 'places')
    # one request, one account: the questions of two accounts are two groups
    return [Waiting(pk, user, group and f'{account} {group} {part}', urgent, places) for pk, group, part, urgent, places in of_user]


def _large(service: ForcedPhotometryService, now: datetime) -> list[Waiting]:
    """Each user's oldest question of several positions that has waited for long, and is due, or soon again."""
    queued = PhotometryQuery.objects.filter(service=service.name, state=QueryState.QUEUED, job=None, next_step__lte=now + FULL_HERE)
    possible = Q(urgent=True, places__lte=service.open_jobs_urgent) | Q(urgent=False, places__lte=service.open_jobs)
    aged = queued.filter(possible, places__gt=1, created__lte=now - KEPT_AFTER)
    oldest = aged.order_by().values('asked_by', 'urgent').annotate(oldest=Min('pk')).values('oldest')
    found = PhotometryQuery.objects.filter(pk__in=oldest).values_list('pk', 'asked_by', 'urgent', 'places')
    return [Waiting(pk, user, '', urgent, places) for pk, user, urgent, places in found]


def _free_slots(service: ForcedPhotometryService) -> dict[str, FreeSlots]:
    """How many more may wait at the service, by account: what one account has there is nobody else's business."""
    there = PhotometryQuery.objects.filter(service=service.name, job__state__in=[JobState.SUBMITTING, JobState.OPEN])
    there = there.filter(state__in=[QueryState.SUBMITTED, QueryState.RUNNING, QueryState.QUEUED]).order_by()
    counted = dict(there.values_list('job__credential').annotate(Sum('places')))
    return {name: FreeSlots(service.open_jobs - number, service.open_jobs_urgent - number) for name, number in counted.items()}


def _without_account(queued: QuerySet[PhotometryQuery], now: datetime, text: str) -> None:
    """Nobody is asked: it waits, and says for whom. Counted as a try, so that it fails at its deadline."""
    rows.wait(queued, now + accounts.WAIT, text, attempts=Greatest(F('attempts'), 1))


@dataclass(frozen=True)
class Waiting:
    """A query that waits to be sent."""

    pk: int
    user: int | None
    group: str
    #: Whether a person waits for it.
    urgent: bool = False
    #: How many positions it has.
    places: int = 1


def fair_order(waiting: Sequence[Waiting], busy: Mapping[int | None, int] | None = None) -> list[Waiting]:
    """First everybody's oldest question, then everybody's second: a thousand of one user do not hold up one of another.

    What a person waits for comes before what nobody waits for. ``waiting`` comes oldest first; ``busy`` counts what each user
    already has at the service, which comes off their turn.
    """
    placed = []
    for urgent in (True, False):
        turns: dict[int | None, int] = defaultdict(int, busy or {})
        for number, each in enumerate(waiting):
            if each.urgent is urgent:
                placed.append((not urgent, turns[each.user], number, each))
                turns[each.user] += each.places
    return [each for *_, each in sorted(placed, key=lambda item: item[:3])]


def with_room_kept(
    ordered: Sequence[Waiting], large: AbstractSet[int], accounts_of: Mapping[int | None, str]
) -> tuple[list[Waiting], list[Waiting]]:
    """Those that may go out now, and those that wait so that places become free for one of the ``large``, whose turn is before."""
    able: list[Waiting] = []
    held: list[Waiting] = []
    kept: set[str] = set()
    for each in ordered:
        if each.pk in large:
            kept.add(accounts_of[each.user])
        else:
            (held if accounts_of[each.user] in kept else able).append(each)
    return able, held


def batch(ordered: Sequence[Waiting], size: int) -> list[Waiting]:
    """Whose turn it is, and others that can go out in the same request, with up to ``size`` positions in all."""
    if not ordered:
        return []
    first = ordered[0]
    if not first.group or size < 2:
        return [first]
    return [first, *within([each for each in ordered[1:] if each.group == first.group], size - first.places)]


def within(ordered: Sequence[Waiting], size: int) -> list[Waiting]:
    """The first of them that have no more than ``size`` positions together."""
    totals = accumulate(each.places for each in ordered)
    return [each for each, total in zip(ordered, totals, strict=True) if total <= size]
