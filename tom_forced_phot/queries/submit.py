"""Sending: the intent is committed before the request goes out; after a lost reply the job is looked up before another is sent."""

from __future__ import annotations

import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.db.models.functions import Greatest

from tom_followup.failpoints import PhotometryPoint, reach
from tom_forced_phot import conf, http
from tom_forced_phot.core.states import JobState, QueryState, pause, poll_pause
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Temporary, Throttled, Uncertain, UnexpectedReply
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import accounts, client, rows
from tom_forced_phot.queries.accounts import Account, NoAccount
from tom_forced_phot.queries.ask import group_of, patience_of, position_of
from tom_forced_phot.queries.client import call
from tom_forced_phot.queries.rows import Claim
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Position, Reply, Request, Split

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]
PAGES = 50
MOST_SENT = 5


def job_of(row: RemoteJob) -> Job:
    """A job's row as the service sees it."""
    positions = tuple(Position(**each) for each in row.positions)
    return Job(row.mark, positions, row.parameters, row.remote, row.last_sent, _taken(row))


def _taken(row: RemoteJob) -> frozenset[str]:
    targets = row.queries.values('target')
    others = PhotometryQuery.objects.filter(service=row.service, target__in=targets).exclude(job=row).exclude(remote={})
    return frozenset(str(remote['reqid']) for remote in others.values_list('remote', flat=True) if remote.get('reqid'))


def submit(query: PhotometryQuery, service: ForcedPhotometryService, clock: Clock) -> datetime:
    """Send whoever's turn it is, perhaps with others in the same request; when to come back for ``query``."""
    now = clock()
    try:
        with transaction.atomic(durable=True):
            client.take(service, now, write=True)
            job, account = open_job(service, now)
            reach(PhotometryPoint.JOB_OPEN)
    except Throttled as error:
        until = now + timedelta(seconds=error.seconds)
        rows.wait(rows.only(query), until, str(error))
        return until
    if job is None or account is None:
        rows.only(query).filter(state=QueryState.QUEUED, next_step__lte=now).update(next_step=now + timedelta(seconds=1))
        return now + timedelta(seconds=1)
    reach(PhotometryPoint.JOB_COMMITTED)
    transmit(job, Claim(job.pk, job.claim), account.service, clock)
    query.refresh_from_db(fields=['next_step', 'state'])
    return query.next_step or now


def transmit(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, clock: Clock) -> None:
    """Send a job whose intent is committed, and write what became of it."""
    job = job_of(row)
    try:
        request = service.submit(job)
    except Exception as error:  # nothing was sent: each goes alone, so that the one that cannot be asked is found
        logger.exception('A request could not be made', extra={'event': 'request_not_made', 'job': row.pk})
        _not_made(row, claim, error, clock())
        return
    rows.renew_job(claim, JobState.SUBMITTING, clock())
    reach(PhotometryPoint.SENDING)
    try:
        reply = call(service, request, row)
        reach(PhotometryPoint.REPLIED)
        answer = understood(service.name, lambda: service.submitted(job, reply))
        if len(answer.parts) < len(row.positions):
            raise UnexpectedReply(f'{service.name} said nothing about {len(row.positions) - len(answer.parts)} positions.')
    except ForcedPhotometryError as error:
        _not_accepted(row, claim, service, error, clock())
    except Split as error:
        _split(row, claim, service, error, clock())
    else:
        accept(row, service, answer, clock())


def _not_made(row: RemoteJob, claim: Claim, error: Exception, now: datetime) -> None:
    text = f'The request could not be made ({type(error).__name__}).'
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
        if len(row.positions) == 1:
            rows.end(row.queries.all(), QueryState.FAILED, now, text, type(error).__name__)
        else:
            rows.unbind(row, now, text, failed=False, alone=True)


def understood(name: str, read: Callable[[], Answer]) -> Answer:
    """What a service makes of a reply; a reply that trips it up is one that nobody expected."""
    try:
        return read()
    except (ForcedPhotometryError, Split):
        raise
    except Exception as error:
        logger.exception('A reply of %s could not be read', name, extra={'event': 'reply_unread'})
        raise UnexpectedReply(f'The reply of {name} could not be read ({type(error).__name__}).') from error


def accept(row: RemoteJob, service: ForcedPhotometryService, answer: Answer, now: datetime) -> None:
    """Write a reply that says the job is there; also a late one, whoever holds the claim by now: it is never dropped."""
    least, most = service.look_again
    with transaction.atomic():
        fields = {'remote': {**row.remote, **answer.remote}, 'attempts': 0, 'message': '', 'heard': now}
        open_rows = RemoteJob.objects.filter(pk=row.pk, state__in=[JobState.SUBMITTING, JobState.UNCERTAIN])
        if not open_rows.update(state=JobState.OPEN, claim_until=None, **fields):
            return
        again = rows.apply(row, answer, now, poll_pause(timedelta(0), least, most), most)
        rows.let_go(row, [index for index in range(len(row.positions)) if index not in answer.parts], now)
        RemoteJob.objects.filter(pk=row.pk).update(next_step=again)
        rows.close_if_done(row, now)
    reach(PhotometryPoint.ACCEPTED)


def _not_accepted(
    row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: ForcedPhotometryError, now: datetime
) -> None:
    text = http.told(error, service.secrets())
    if isinstance(error, (Uncertain, UnexpectedReply)) and not service.repeatable:
        _mark_uncertain(row, claim, service, text, now)
    elif isinstance(error, Throttled):
        client.keep_quiet(service, now, error.seconds, write=True)
        _put_back(row, claim, now, timedelta(seconds=error.seconds), text, failed=False)
    elif isinstance(error, (Temporary, Uncertain)):
        _put_back(row, claim, now, pause(_tries(row) + 1), text, failed=True)
    elif isinstance(error, (Credentials, UnexpectedReply)) and _tries(row) + 1 < conf.get('REFUSED_TRIES'):
        _put_back(row, claim, now, pause(_tries(row) + 1, first=30.0), text, failed=True)
    else:
        _fail(row, claim, now, text, type(error).__name__)


def _tries(row: RemoteJob) -> int:
    return max(row.queries.values_list('attempts', flat=True), default=0)


def _mark_uncertain(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, text: str, now: datetime) -> None:
    soon = now + timedelta(seconds=min(15.0, service.settle_time))
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.UNCERTAIN, message=text, next_step=soon)
        message = f'{text} It is looked up before it is sent again.'
        rows.wait(row.queries.all(), soon, message)
    reach(PhotometryPoint.UNCERTAIN)


def _put_back(row: RemoteJob, claim: Claim, now: datetime, wait: timedelta, text: str, *, failed: bool) -> None:
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
        rows.unbind(row, now + wait, text, failed=failed)


def _split(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: Split, now: datetime) -> None:
    """Those that were refused fail; the others go out anew, alone where nobody said which ones are wrong."""
    secret, text = service.secrets(), http.told(error, service.secrets())
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
        for index, reason in error.refused.items():
            rows.end(row.queries.filter(index=index), QueryState.FAILED, now, http.redacted(reason, secret), 'Refused')
        rows.unbind(row, now, text, failed=False, alone=not error.refused)


def _fail(row: RemoteJob, claim: Claim, now: datetime, text: str, problem: str) -> None:
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
        rows.end(row.queries.all(), QueryState.FAILED, now, text, problem)


def look_up(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, clock: Clock) -> datetime:
    """Find out whether a job whose reply was lost is at the service; send it again only where it certainly is not."""
    now = clock()
    if row.state == JobState.SUBMITTING:
        # its sender is dead: the claim ran out. Until now the call may have been on its way.
        rows.move_job(claim, JobState.SUBMITTING, JobState.UNCERTAIN, next_step=now)
        reach(PhotometryPoint.UNCERTAIN)
        return now
    answer = Answer()
    if not service.repeatable:
        try:
            answer = _pages(row, service, now)
        except ForcedPhotometryError as error:
            return _ask_later(row, claim, service, error, now)
    reach(PhotometryPoint.LOOKED_UP)
    if len(answer.parts) == len(row.positions):
        accept(row, service, answer, clock())
        return now
    # the call itself may last so long, and what it made appears at the service only then
    settled = (row.last_sent or row.created) + timedelta(seconds=service.settle_time) + conf.seconds('CALL_TIMEOUT')
    if now < settled and not service.repeatable:
        return _wait(row, claim, settled, 'The reply was lost; it is not at the service so far.')
    if answer.parts:  # a part of it is there: only the others go out anew
        accept(row, service, answer, clock())
        return now
    return _send_again(row, claim, service, clock)


def _pages(row: RemoteJob, service: ForcedPhotometryService, now: datetime) -> Answer:
    job, answer = job_of(row), Answer()
    request: Request | None = service.look_up(job)
    for _ in range(PAGES):
        if request is None:
            return answer
        client.take(service, now, write=False)
        answer = _found(service, job, call(service, request, row), answer)
        request = answer.more
    raise UnexpectedReply(f'{service.name} lists more than {PAGES} pages of jobs.')


def _found(service: ForcedPhotometryService, job: Job, reply: Reply, answer: Answer) -> Answer:
    return understood(service.name, lambda: service.found(job, reply, answer))


def _ask_later(
    row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: ForcedPhotometryError, now: datetime
) -> datetime:
    seconds = error.seconds if isinstance(error, Throttled) else pause(row.attempts + 1).total_seconds()
    text = f'The reply was lost, and it could not be looked up: {http.told(error, service.secrets())}'
    return _wait(row, claim, now + timedelta(seconds=seconds), text, failed=True)


def _wait(row: RemoteJob, claim: Claim, until: datetime, text: str, *, failed: bool = False) -> datetime:
    with transaction.atomic():
        attempts = row.attempts + failed
        rows.move_job(claim, JobState.UNCERTAIN, JobState.UNCERTAIN, message=text, next_step=until, attempts=attempts)
        rows.wait(row.queries.all(), until, text)
    return until


def _send_again(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, clock: Clock) -> datetime:
    now = clock()
    if row.sent >= MOST_SENT:
        text = f'{service.name} lost the request {row.sent} times: {row.message}'
        with transaction.atomic():
            rows.move_job(claim, JobState.UNCERTAIN, JobState.CLOSED, message=text, closed=now, next_step=None)
            rows.end(row.queries.all(), QueryState.FAILED, now, text, 'Uncertain')
        return now
    if not row.queries.filter(state__in=QueryState.open_values()).exists():  # cancelled meanwhile
        rows.move_job(claim, JobState.UNCERTAIN, JobState.CLOSED, closed=now, next_step=None)
        return now
    try:
        client.take(service, now, write=True)
    except Throttled as error:
        return _wait(row, claim, now + timedelta(seconds=error.seconds), str(error))
    changed = RemoteJob.objects.filter(pk=claim.pk, claim=claim.number, state=JobState.UNCERTAIN).update(
        state=JobState.SUBMITTING, sent=row.sent + 1, last_sent=now, next_step=now + conf.seconds('CLAIM_TIME')
    )
    if changed:
        row.refresh_from_db()
        reach(PhotometryPoint.JOB_COMMITTED)
        transmit(row, claim, service, clock)
    return now


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


@dataclass(frozen=True)
class Waiting:
    """A query that waits to be sent."""

    pk: int
    user: int | None
    group: str


def fair_order(waiting: Sequence[Waiting], busy: Mapping[int | None, int] | None = None) -> list[Waiting]:
    """First everybody's oldest question, then everybody's second: a thousand of one user do not hold up one of another.

    ``waiting`` comes oldest first; ``busy`` counts what each user already has at the service, which comes off their turn.
    """
    turns: dict[int | None, int] = defaultdict(int, busy or {})
    placed = []
    for number, each in enumerate(waiting):
        placed.append((turns[each.user], number, each))
        turns[each.user] += 1
    return [each for _, _, each in sorted(placed, key=lambda item: item[:2])]


def batch(ordered: Sequence[Waiting], size: int) -> list[Waiting]:
    """Whose turn it is, and up to ``size`` in all that can go out in the same request."""
    if not ordered:
        return []
    first = ordered[0]
    if not first.group or size < 2:
        return [first]
    return [each for each in ordered if each.group == first.group][:size]
