"""Fetching a result: the file, its points and the end of the query are written in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from tom_dataproducts.models import DataProduct

from tom_followup.failpoints import PhotometryPoint, reach
from tom_forced_phot import conf, http, ingest
from tom_forced_phot.core.photometry import Measurements
from tom_forced_phot.core.states import QueryState, pause
from tom_forced_phot.exceptions import (
    BadFile,
    Credentials,
    Expired,
    ForcedPhotometryError,
    LostClaim,
    Temporary,
    Throttled,
    UnexpectedReply,
)
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import client, companions, followers, rows
from tom_forced_phot.queries.client import call
from tom_forced_phot.queries.rows import LAST_TRIES, Claim
from tom_forced_phot.queries.submit import job_of
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Part, check

logger = logging.getLogger(__name__)
CLEAN_TRIES = 5
#: What was closed here while it may still run at the service.
STOPPED = (QueryState.CANCELLED, QueryState.FAILED, QueryState.EXPIRED)


def fetch(query: PhotometryQuery, claim: Claim, service: ForcedPhotometryService, clock: Callable[[], datetime]) -> datetime | None:
    """Fetch and ingest a result; when to come back, or None when the query has ended."""
    job = query.job
    if job is None:
        raise UnexpectedReply(f'Query {query.pk} waits for a result, but has no job.')
    own, *others = companions.parts_of(query, job)
    note = ''
    try:
        content = _content(job, own, service, clock())
        if others:
            content, note = companions.packed(service, content, _companions(query, claim, job, others, service, clock), len(others))
        reach(PhotometryPoint.FETCHED)
        foreign = service.belongs(content, own)
        if foreign:
            raise BadFile(foreign)
        table = service.read(content)
    except LostClaim:
        raise
    except ForcedPhotometryError as error:
        return _failed(query, claim, service, error, clock())
    try:
        _keep(query, claim, service, content, table, clock(), note)
    except LostClaim:
        unsaved = DataProduct(target_id=query.target_id, data_product_type=service.get_data_product_type())
        ingest.remove_leftover(unsaved, _file_name(query))
        return None
    reach(PhotometryPoint.INGESTED)
    return clock()


def _companions(
    query: PhotometryQuery,
    claim: Claim,
    row: RemoteJob,
    parts: Sequence[Part],
    service: ForcedPhotometryService,
    clock: Callable[[], datetime],
) -> list[tuple[Part, bytes]]:
    """The results of the positions that were measured with its own.

    One that is gone, or had no image, is left out; and so is one that cannot be fetched, where trying again cannot help: it must
    not cost the result of the target.
    """
    found = []
    for part, state in zip(parts, companions.states_of(query)[1:], strict=True):
        if state is not QueryState.RESULT:
            continue
        rows.renew_query(claim, clock())  # each call may last as long as CALL_TIMEOUT
        try:
            found.append((part, _content(row, part, service, clock())))
        except Expired:
            continue
        except ForcedPhotometryError as error:
            if isinstance(error, Credentials) or _again(query, error, clock()):
                raise
            logger.warning(
                'A result beside that of query %s is left out: %s', query.pk, http.redacted_message(error, service.secrets())
            )
    return found


def _content(row: RemoteJob, part: Part, service: ForcedPhotometryService, now: datetime) -> bytes:
    job, replies = job_of(row), []
    for request in service.results(job, part):
        client.take(service, row.credential, now, write=False)
        reach(PhotometryPoint.FETCHING)
        reply = call(service, replace(request, brings_result=True), row, index=part.index)
        if reply.status in (404, 410):
            raise Expired(f'{service.name} no longer has the result: it was removed there before it was fetched. Ask again.')
        replies.append(check(reply, request, service.name))
    if not any(reply.content.strip() for reply in replies) and not service.empty_is_no_data:
        raise UnexpectedReply(f'{service.name} sent an empty result.')
    return service.pack(job, part, replies)


def _keep(
    query: PhotometryQuery,
    claim: Claim,
    service: ForcedPhotometryService,
    content: bytes,
    table: Measurements,
    now: datetime,
    note: str,
) -> None:
    """All or nothing. Nothing measured is a result too."""
    mine = PhotometryQuery.objects.filter(pk=query.pk, claim=claim.number)
    if not table.rows and not len(table):
        with transaction.atomic():
            text = query.message if query.state == QueryState.NO_DATA else f'{service.name} measured nothing at these dates.'
            _must(rows.end(mine, QueryState.NO_DATA, now, text, to_clean=True))
        return
    with transaction.atomic():
        # first of all: who asks the same in this instant waits for it, and then finds the answer (``_follow``)
        _must(len(mine.select_for_update().values_list('pk')))
        product = ingest.make_product(
            query.target,
            service.get_data_product_type(),
            content,
            _file_name(query),
            f'{service.name} query {query.pk}',
            f'{service.name} {service.data_service_type.lower()}, asked {query.created:%Y-%m-%d %H:%M} UTC (query {query.pk}).',
        )
        reduction = str(query.parameters.get('reduction') or service.reduction)
        more: dict[str, Any] = {'service': service.name, 'reduction': reduction, 'now': now, 'note': note}
        counts = ingest.ingest(product, table, watchers=_watchers(query), **more)
        more = {key: getattr(counts, key) for key in ('rows', 'new', 'updated', 'unchanged', 'rejected')}
        _must(rows.end(mine, QueryState.DONE, now, counts.message, data_product=product, to_clean=True, **more))


def _file_name(query: PhotometryQuery) -> str:
    return f'{query.service.lower()}_query_{query.pk}.txt'


def _must(changed: int) -> None:
    if not changed:
        raise LostClaim('The query was cancelled, or taken by another process.')


def _watchers(query: PhotometryQuery) -> ingest.Watchers:
    """Who asked and who follows, as far as they may still have the answer."""
    users: list[User] = followers.entitled(query)
    if query.asked_by is not None and followers.may_see(query, query.asked_by):
        users.append(query.asked_by)
    return ingest.Watchers(users=tuple(users))


def _failed(
    query: PhotometryQuery, claim: Claim, service: ForcedPhotometryService, error: ForcedPhotometryError, now: datetime
) -> datetime | None:
    mine = PhotometryQuery.objects.filter(pk=query.pk, claim=claim.number)
    text = http.redacted_message(error, service.secrets())
    if isinstance(error, Expired) and query.attempts:  # not at the first word: a proxy that restarts says the same
        # what was measured with it may still be there
        rows.end(mine, QueryState.EXPIRED, now, text, 'Expired', to_clean=companions.EACH in query.remote)
        return None
    until = now + (timedelta(seconds=error.seconds) if isinstance(error, Throttled) else pause(query.attempts + 1))
    if _again(query, error, now):
        rows.wait(mine, until, text, failed=not isinstance(error, Throttled))
        return until
    rows.end(mine, QueryState.FAILED, now, text, type(error).__name__)
    return None


def _again(query: PhotometryQuery, error: ForcedPhotometryError, now: datetime) -> bool:
    """Whether trying again can help: a service that is away comes back, one that sends nonsense only perhaps."""
    if isinstance(error, Temporary):
        return query.deadline is None or now < query.deadline + LAST_TRIES
    return query.attempts + 1 < conf.get('REFUSED_TRIES')


def clean(query: PhotometryQuery, service: ForcedPhotometryService, clock: Callable[[], datetime]) -> datetime | None:
    """Remove a closed query's job at the service, or stop it there; never more than a courtesy, tried a few times."""
    now = clock()
    rows_ = PhotometryQuery.objects.filter(pk=query.pk)
    if query.job is None or not query.remote:
        rows_.update(to_clean=False, next_step=None)
        return None
    part = companions.next_to_clean(query, query.job)
    if part is None:
        rows_.update(to_clean=False, next_step=None)
        return None
    build = service.cancel if query.state in STOPPED else service.clean_up
    request = build(job_of(query.job), part)
    try:
        if request is not None:
            tidying = query.state not in STOPPED
            try:
                spent = client.take(service, query.job.credential, now, write=True, tidying=tidying)
            except Throttled as error:
                return _all_later(query, tidying, now + timedelta(seconds=error.seconds), now)
            try:
                reply = call(service, request, query.job, index=part.index)
            finally:
                client.arrived(spent, clock())
            if reply.status not in (404, 410):
                check(reply, request, service.name)
            reach(PhotometryPoint.CLEANED)
    except ForcedPhotometryError as error:
        if query.attempts + 1 < CLEAN_TRIES or isinstance(error, Throttled):
            seconds = error.seconds if isinstance(error, Throttled) else pause(query.attempts + 1).total_seconds()
            until = now + timedelta(seconds=seconds)
            tries = query.attempts + (not isinstance(error, Throttled))
            rows_.update(next_step=until, attempts=tries)
            return until
    query.remote = companions.cleaned(query, part)
    if request is not None and companions.EACH in query.remote and companions.next_to_clean(query, query.job) is not None:
        rows_.update(remote=query.remote, attempts=0, next_step=now)
        return now
    rows_.update(to_clean=False, next_step=None)
    return None


def _all_later(query: PhotometryQuery, tidying: bool, until: datetime, now: datetime) -> datetime:
    """What the budget has no room for it has for none of its kind: none of them tries before there is some."""
    waiting = PhotometryQuery.objects.filter(service=query.service, to_clean=True, next_step__lte=now, claim_until=None)
    waiting = waiting.filter(job__credential=query.job.credential if query.job else '')
    pks = waiting.exclude(state__in=STOPPED) if tidying else waiting
    PhotometryQuery.objects.filter(pk__in=list(pks.values_list('pk', flat=True)[:5000])).update(next_step=until)
    PhotometryQuery.objects.filter(pk=query.pk).update(next_step=until)
    return until
