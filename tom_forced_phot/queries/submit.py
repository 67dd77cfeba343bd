"""Sending: the intent is committed before the request goes out; after a lost reply the job is looked up before another is sent."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from tom_followup.failpoints import PhotometryPoint, reach
from tom_forced_phot import conf, http
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import JobState, QueryState, pause, poll_pause
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Temporary, Throttled, Uncertain, UnexpectedReply
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import accounts, client, companions, followers, rows, turns
from tom_forced_phot.queries.accounts import Account
from tom_forced_phot.queries.ask import group_of, patience_of, position_of
from tom_forced_phot.queries.client import Spent, call
from tom_forced_phot.queries.rows import Claim
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Job, Position, Request, Split

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
            client.take_turns(service.name)
            job, account = open_job(service, now)
            spent = client.take(service, account.name, now, write=True) if account is not None else None
            reach(PhotometryPoint.JOB_OPEN)
    except Throttled as error:  # the budget is everybody's: all of them come back when there is something left
        until = now + timedelta(seconds=error.seconds)
        queued = PhotometryQuery.objects.filter(service=service.name, state=QueryState.QUEUED, job=None, next_step__lte=now)
        rows.wait(queued, until, str(error))
        return until
    if job is None or account is None:
        rows.only(query).filter(state=QueryState.QUEUED, next_step__lte=now).update(next_step=now + timedelta(seconds=1))
        return now + timedelta(seconds=1)
    reach(PhotometryPoint.JOB_COMMITTED)
    transmit(job, Claim(job.pk, job.claim), account.service, clock, spent)
    query.refresh_from_db(fields=['next_step', 'state'])
    return query.next_step or now


def transmit(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, clock: Clock, spent: Spent | None) -> None:
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
        try:
            reply = call(service, request, row)
        finally:
            if spent is not None:
                client.arrived(spent, clock())
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
    query = row.queries.first()
    hidden = http.hidden(accounts.secrets_of(query)) if query is not None else ()
    text = f'The request could not be made. {redaction.error_text(error, hidden)}'
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
        if row.queries.count() == 1:
            rows.end(row.queries.all(), QueryState.FAILED, now, text, type(error).__name__)
        else:
            rows.withdraw(row, now, text, alone=True)


def understood(name: str, read: Callable[[], Answer]) -> Answer:
    """What a service makes of a reply, as a row can hold it; a reply that trips it up is one that nobody expected."""
    try:
        return storable(read())
    except (ForcedPhotometryError, Split):
        raise
    except Exception as error:
        logger.exception('A reply of %s could not be read', name, extra={'event': 'reply_unread'})
        raise UnexpectedReply(f'The reply of {name} could not be read ({type(error).__name__}).') from error


def storable(answer: Answer) -> Answer:
    """The same without what a database cannot hold, or what no service needs to say: it comes from outside."""
    parts = {
        index: replace(progress, message=redaction.clean(progress.message), remote=redaction.plain(dict(progress.remote)))
        for index, progress in answer.parts.items()
    }
    return replace(answer, parts=parts, remote=redaction.plain(dict(answer.remote)))


def accept(row: RemoteJob, service: ForcedPhotometryService, answer: Answer, now: datetime) -> None:
    """Write a reply that says the job is there; also a late one, whoever holds the claim by now: it is never dropped."""
    least, most = service.look_again
    with transaction.atomic():
        fields = {'remote': {**row.remote, **answer.remote}, 'attempts': 0, 'message': '', 'heard': now}
        open_rows = RemoteJob.objects.filter(pk=row.pk, state__in=[JobState.SUBMITTING, JobState.UNCERTAIN])
        if not open_rows.update(state=JobState.OPEN, claim_until=None, interrupted=0, **fields):
            return
        answer = companions.of_queries(answer, row.queries.values_list('index', 'places', 'remote'))
        again = rows.apply(row, answer, now, poll_pause(timedelta(0), least, most), most)
        rows.requeue(row, [index for index in range(len(row.positions)) if index not in answer.parts], now)
        RemoteJob.objects.filter(pk=row.pk).update(next_step=again)
        rows.close_if_done(row, now)
    reach(PhotometryPoint.ACCEPTED)


def _not_accepted(
    row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: ForcedPhotometryError, now: datetime
) -> None:
    text = http.redacted_message(error, service.secrets())
    if isinstance(error, (Uncertain, UnexpectedReply)) and not service.repeatable:
        _mark_uncertain(row, claim, service, text, now)
    elif isinstance(error, Throttled):
        client.is_full(service.name, row.credential, now, error.seconds)
        _put_back(row, claim, now, timedelta(seconds=error.seconds), text, failed=False)
    elif isinstance(error, (Temporary, Uncertain)):
        _put_back(row, claim, now, pause(_tries(row) + 1), text, failed=True)
    elif isinstance(error, (Credentials, UnexpectedReply)) and _tries(row) + 1 < conf.get('REFUSED_TRIES'):
        _put_back(row, claim, now, pause(_tries(row) + 1, first=30.0), text, failed=True)
    else:
        with transaction.atomic():
            rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
            rows.end(row.queries.all(), QueryState.FAILED, now, text, type(error).__name__)


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
    """Into the queue; a try that the service put off counts as one, so that the deadline does, but never ends the query."""
    tried: dict[str, Any] = {} if failed else {'attempts': Greatest(F('attempts'), 1)}
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
        rows.withdraw(row, now + wait, text, failed=failed, **tried)


def _split(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: Split, now: datetime) -> None:
    """Those that were refused fail; the others go out anew together, in two halves where nobody said which ones are wrong."""
    secret, text = service.secrets(), http.redacted_message(error, service.secrets())
    with transaction.atomic():
        rows.move_job(claim, JobState.SUBMITTING, JobState.CLOSED, message=text, closed=now, next_step=None)
        owners = companions.owners(row.queries.values_list('index', 'places', 'remote'))
        for index, reason in error.refused.items():
            rows.end(
                row.queries.filter(index=owners.get(index, index)), QueryState.FAILED, now, http.redacted(reason, secret), 'Refused'
            )
        if error.refused:
            rows.withdraw(row, now, text)
        elif row.queries.count() > 1:
            rows.halve(row, now, text)
        else:
            rows.end(row.queries.all(), QueryState.FAILED, now, text, 'Refused')


def look_up(row: RemoteJob, claim: Claim, service: ForcedPhotometryService, clock: Clock) -> datetime:
    """Find out whether a job whose reply was lost is at the service; send it again only where it certainly is not."""
    now = clock()
    if row.state == JobState.SUBMITTING:
        # its sender is dead: the claim ran out. Until now the call may have been on its way.
        rows.move_job(claim, JobState.SUBMITTING, JobState.UNCERTAIN, next_step=now, lost=now)
        reach(PhotometryPoint.UNCERTAIN)
        return now
    if row.last_sent is None:  # its sender died before the request went out: nothing can be there
        return _send_again(row, claim, service, clock)
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
    since = max(each for each in (row.created, row.last_sent, row.lost) if each is not None)
    settled = since + timedelta(seconds=service.settle_time) + conf.seconds('CALL_TIMEOUT')
    if now < settled and not service.repeatable:
        return _wait(row, claim, settled, 'The reply was lost; it is not at the service so far.')
    if answer.parts:  # a part of it is there: only the others go out anew
        accept(row, service, answer, clock())
        return now
    return _send_again(row, claim, service, clock)


def _deadly(row: RemoteJob, now: datetime) -> None:
    """What ends every process that sends it, and is not at the service: of many each goes alone, so that the one is found."""
    if row.queries.count() > 1:
        rows.withdraw(row, now, 'Processes ended while they sent it together with others: it is sent alone.', alone=True)
    else:
        rows.end(row.queries.all(), QueryState.FAILED, now, rows.DEADLY.format('sending it'), 'Interrupted')


def _pages(row: RemoteJob, service: ForcedPhotometryService, now: datetime) -> Answer:
    job, answer = job_of(row), Answer()
    request: Request | None = service.look_up(job)
    for _ in range(PAGES):
        if request is None:
            return answer
        client.take(service, row.credential, now, write=False)
        answer = understood(service.name, partial(service.found, job, call(service, request, row), answer))
        request = answer.more
    raise UnexpectedReply(f'{service.name} lists more than {PAGES} pages of jobs.')


def _ask_later(
    row: RemoteJob, claim: Claim, service: ForcedPhotometryService, error: ForcedPhotometryError, now: datetime
) -> datetime:
    seconds = error.seconds if isinstance(error, Throttled) else pause(row.attempts + 1).total_seconds()
    text = f'The reply was lost, and it could not be looked up: {http.redacted_message(error, service.secrets())}'
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
    if claim.interrupted >= rows.DEATHS:
        with transaction.atomic():
            rows.move_job(claim, JobState.UNCERTAIN, JobState.CLOSED, closed=now, next_step=None)
            _deadly(row, now)
        return now
    if not row.queries.filter(state__in=QueryState.open_values()).exists():  # cancelled meanwhile
        rows.move_job(claim, JobState.UNCERTAIN, JobState.CLOSED, closed=now, next_step=None)
        return now
    try:
        spent = client.take(service, row.credential, now, write=True)
    except Throttled as error:
        return _wait(row, claim, now + timedelta(seconds=error.seconds), str(error))
    changed = RemoteJob.objects.filter(pk=claim.pk, claim=claim.number, state=JobState.UNCERTAIN).update(
        state=JobState.SUBMITTING, sent=row.sent + 1, next_step=now + conf.seconds('CLAIM_TIME')
    )
    if changed:
        row.refresh_from_db()
        reach(PhotometryPoint.JOB_COMMITTED)
        transmit(row, claim, service, clock, spent)
    return now


MARK = 'tf-'


def open_job(service: ForcedPhotometryService, now: datetime) -> tuple[RemoteJob | None, Account | None]:
    """The intent: a job, and the queries that it will bring, bound to it; and the account that all of them go out with."""
    chosen, account = turns.choose(service, now)
    if account is None:
        return None, None
    found = PhotometryQuery.objects.filter(pk__in=[each.pk for each in chosen]).select_related('target', 'asked_by')
    by_pk = {query.pk: query for query in found}
    asked = [by_pk[each.pk] for each in chosen if each.pk in by_pk]
    queries = [query for query in asked if _is_askable(query, service, now)]
    if not queries:
        return None, None
    try:
        parameters = service.fixed(queries[0].parameters, now)
    except Exception as error:  # the site's own class, or odd parameters: they are those of all of them
        logger.exception('Parameters could not be sent', extra={'event': 'request_not_made', 'query': queries[0].pk})
        for query in queries:
            _cannot_be_asked(query, now, error)
        return None, None
    places = [companions.with_companions(service, position_of(query.target), query.parameters) for query in queries]
    job = RemoteJob.objects.create(
        service=service.name,
        mark=MARK + secrets.token_hex(8),
        credential=account.name,
        positions=[position.as_json() for of_query in places for position in of_query],
        parameters=parameters,
        state=JobState.SUBMITTING,
        sent=1,
        claim=1,
        claim_until=now + conf.seconds('CLAIM_TIME'),
        next_step=now + conf.seconds('CLAIM_TIME'),
        created=now,
    )
    index = 0
    for query, of_query in zip(queries, places, strict=True):
        query.job, query.index, query.next_step, query.message = job, index, job.next_step, 'Being sent.'
        query.places = len(of_query)  # the site's class may have changed since it was asked
        index += query.places
        if not query.attempts:  # the service's time begins now, however long nobody was there to send it
            query.deadline = now + patience_of(service)
    PhotometryQuery.objects.bulk_update(queries, ['job', 'index', 'places', 'next_step', 'message', 'deadline'], batch_size=100)
    return job, account


def _is_askable(query: PhotometryQuery, service: ForcedPhotometryService, now: datetime) -> bool:
    """Whether it still can be asked as it was: its target may have been edited since; one that cannot fails, and only it."""
    if query.asked_by is not None and not followers.may_see(query, query.asked_by) and followers.hand_over(query, now):
        return False  # with the account of who has it now
    hindrance = followers.hindrance(query)
    if hindrance:
        rows.end(rows.only(query), QueryState.FAILED, now, hindrance, 'Owner')
        return False
    try:
        position = position_of(query.target)
        reason = service.objection(position, query.parameters, now)
        group = group_of(service, position, query.parameters)
    except Exception as error:  # odd values in the rows, or the site's own class
        logger.exception('A query cannot be asked', extra={'event': 'request_not_made', 'query': query.pk})
        _cannot_be_asked(query, now, error)
        return False
    if reason:
        rows.end(rows.only(query), QueryState.FAILED, now, reason, 'Refused')
        return False
    if query.group_key and query.group_key != group:
        rows.only(query).update(group_key=group, part='')
        return False
    return True


def _cannot_be_asked(query: PhotometryQuery, now: datetime, error: Exception) -> None:
    text = f'It cannot be asked. {redaction.error_text(error)}'
    rows.end(rows.only(query), QueryState.FAILED, now, text, type(error).__name__)
