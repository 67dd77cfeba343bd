"""The intent: whose turn it is at a service, and the job that is committed before anything goes out."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db.models import Count, F, QuerySet
from django.db.models.functions import Greatest

from tom_forced_phot import conf
from tom_forced_phot.exceptions import Throttled
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import accounts, rows
from tom_forced_phot.queries.accounts import Account, NoAccount
from tom_forced_phot.queries.asking import group_of, patience_of, position_of
from tom_forced_phot.queries.batches import Waiting, batch, fair_order
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.states import JobState, QueryState

#: Of each user.
CONSIDERED = 3000
MARK = 'tf-'


def open_job(service: ForcedPhotometryService, now: datetime) -> tuple[RemoteJob | None, Account | None]:
    """The intent: a job, and the queries that it will bring, bound to it; and the account that all of them go out with."""
    _check_room(service)
    chosen, account = _choose(service, now)
    if account is None:
        return None, None
    found = PhotometryQuery.objects.filter(pk__in=[each.pk for each in chosen]).select_related('target')
    by_pk = {query.pk: query for query in found}
    queries = [by_pk[each.pk] for each in chosen if each.pk in by_pk and _is_askable(by_pk[each.pk], service, now)]
    if not queries:
        return None, None
    job = RemoteJob.objects.create(
        service=service.name,
        mark=MARK + secrets.token_hex(8),
        credential=account.name,
        positions=[position_of(query.target).as_json() for query in queries],
        parameters=service.fixed(queries[0].parameters, now),
        state=JobState.SUBMITTING,
        sent=1,
        last_sent=now,
        claim=1,
        claim_until=now + conf.seconds('CLAIM_TIME'),
        next_step=now + conf.seconds('CLAIM_TIME'),
        created=now,
    )
    for index, query in enumerate(queries):
        query.job, query.index, query.next_step, query.message = job, index, job.next_step, 'Being sent.'
        if not query.attempts:  # the service's time begins now, however long nobody was there to send it
            query.deadline = now + patience_of(service)
    PhotometryQuery.objects.bulk_update(queries, ['job', 'index', 'next_step', 'message', 'deadline'], batch_size=100)
    return job, account


def _check_room(service: ForcedPhotometryService) -> None:
    open_jobs = PhotometryQuery.objects.filter(service=service.name, job__state__in=[JobState.SUBMITTING, JobState.OPEN])
    waiting = open_jobs.filter(state__in=[QueryState.SUBMITTED, QueryState.RUNNING, QueryState.QUEUED]).count()
    if waiting >= service.open_jobs:
        raise Throttled(f'{waiting} of our jobs are waiting at {service.name}; more are sent when some are done.', 30.0)


def _is_askable(query: PhotometryQuery, service: ForcedPhotometryService, now: datetime) -> bool:
    """Whether it still can be asked as it was: its target may have been edited since; one that cannot fails, and only it."""
    position = position_of(query.target)
    reason = service.objection(position, query.parameters, now)
    if reason:
        rows.end(rows.only(query), QueryState.FAILED, now, reason, 'Refused')
        return False
    if query.group_key and query.group_key != group_of(service, position, query.parameters):
        rows.only(query).update(group_key=group_of(service, position, query.parameters))
        return False
    return True


def _choose(service: ForcedPhotometryService, now: datetime) -> tuple[list[Waiting], Account | None]:
    queued = PhotometryQuery.objects.filter(service=service.name, state=QueryState.QUEUED, job=None, next_step__lte=now)
    # with a lock: somebody may cancel one of them at this moment (SQLite has no row locks, and one writer)
    waiting: list[Waiting] = []
    found: dict[int | None, Account] = {}
    for user in queued.order_by('asked_by').values_list('asked_by', flat=True).distinct():
        try:
            found[user] = accounts.choose(service, user)
        except NoAccount as error:
            _without_account(queued.filter(asked_by=user), now, str(error))
            continue
        oldest = queued.filter(asked_by=user).order_by('pk').select_for_update(skip_locked=True)[:CONSIDERED]
        of_user = oldest.values_list('pk', 'group_key')
        # one request, one account: the questions of two accounts are two groups
        waiting += [Waiting(pk, user, group and f'{found[user].name} {group}') for pk, group in of_user]
    waiting.sort(key=lambda each: each.pk)
    there = PhotometryQuery.objects.filter(service=service.name, state__in=[QueryState.SUBMITTED, QueryState.RUNNING])
    busy = dict(there.order_by().values_list('asked_by').annotate(Count('pk')))
    chosen = batch(fair_order(waiting, busy), service.batch_size)
    return chosen, found[chosen[0].user] if chosen else None


def _without_account(queued: QuerySet[PhotometryQuery], now: datetime, text: str) -> None:
    """Nobody is asked: it waits, and says for whom. Counted as a try, so that it fails at its deadline."""
    rows.wait(queued, now + accounts.WAIT, text, attempts=Greatest(F('attempts'), 1))
