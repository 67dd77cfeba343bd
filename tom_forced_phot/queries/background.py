"""What happens right after asking: a worker is told, or the web request drives the query itself for a bounded time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import Q

from tom_forced_phot import conf, http, registry
from tom_forced_phot.core.states import JobState, QueryState
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import accounts, client, followers, rows
from tom_forced_phot.queries.advance import Next, advance
from tom_forced_phot.queries.ask import Asked, ask_again
from tom_forced_phot.queries.drive import drive
from tom_forced_phot.queries.notices import announce

__all__ = ['Next', 'cancel', 'retry']


logger = logging.getLogger(__name__)
CARRIES_ON = 'It is carried on by manage.py runforcedphotometry.'


def has_workers() -> bool:
    """Whether dramatiq is set up."""
    return apps.is_installed('django_dramatiq')


def enqueue(pks: Iterable[int]) -> str:
    """Tell the workers; a sentence where the broker does not take messages (the rows stay queued, the command sees them)."""
    from tom_forced_phot.tasks import advance_query

    wanted = list(pks)
    PhotometryQuery.objects.filter(pk__in=wanted).update(wake=conf.utc_now())
    try:
        for pk in wanted:
            advance_query.send(pk)
    except Exception as error:  # the broker's client has its own errors
        logger.warning('The broker takes no messages', extra={'event': 'broker_down', 'error': type(error).__name__})
        return f'The queue of the workers does not answer ({type(error).__name__}). The query is kept. {CARRIES_ON}'
    return ''


def start(pks: list[int], clock: Callable[[], datetime] = conf.utc_now, wait: Any = None) -> str:
    """Set queries going after asking; what a person should know, or an empty text."""
    if has_workers():
        if transaction.get_connection().in_atomic_block:
            transaction.on_commit(lambda: enqueue(pks))
            return ''
        return enqueue(pks)
    if transaction.get_connection().in_atomic_block or len(pks) != 1:
        return f'Asked. {CARRIES_ON}' if pks else ''
    seconds = conf.get('SYNCHRONOUS_TIME')
    query = PhotometryQuery.objects.get(pk=pks[0])

    def work() -> None:
        drive(query.pk, seconds, clock, **({'wait': wait} if wait else {}))

    _bounded(query.service, seconds, work)
    announce(clock(), mail=False)
    query.refresh_from_db()
    carries_on = f' {CARRIES_ON}' if QueryState(query.state).is_open else ''
    return f'{QueryState(query.state).words}: {query.message}{carries_on}'


def _bounded(service: str, seconds: float, work: Callable[[], object]) -> None:
    """Do something for a service in a web request, for so long at the most.

    A service that does all itself takes as long as it likes: its work goes on where the request does not wait for it.
    """
    found = registry.services().get(service)
    if found is not None and found.does_all_itself():
        http.within(max(seconds, http.LEAST_TIME), work)
        return
    with http.time_limit(seconds):
        work()


def step_here(pk: int, seconds: float, clock: Callable[[], datetime] = conf.utc_now) -> None:
    """One step of a query in a web request, for so long at the most."""
    service = PhotometryQuery.objects.filter(pk=pk).values_list('service', flat=True).first()
    if service is not None:
        _bounded(service, seconds, lambda: advance(pk, clock=clock))


STEPS = 4
WANTS_REST = '{} wants to be left alone until {:%H:%M} UTC. It is looked at then.'


def look_now(pk: int, now: datetime) -> str:
    """Do what is next of an open query at once, within the service's budget; what a person should know of it."""
    query = PhotometryQuery.objects.filter(pk=pk, state__in=QueryState.open_values()).first()
    if query is None:
        return 'It has ended already.'
    account = accounts.of_next_step(query)
    rest = client.quiet_until(query.service, account, now)
    if query.job_id is None:
        rest = max((each for each in (rest, client.closed_accounts(query.service, now).get(account)) if each), default=None)
    if rest is not None:
        return WANTS_REST.format(query.service, rest)
    if not _bring_forward(query, now):
        return 'Somebody is at work on it at this moment.'
    if has_workers():
        return enqueue([pk]) or 'It is looked at now.'
    if connection.in_atomic_block:  # a request to a service must not wait for the end of a transaction
        return f'It is looked at next. {CARRIES_ON}'

    def steps() -> None:
        for _ in range(STEPS):  # what was found is fetched as well
            done = advance(pk)
            if not done.worked or done.again is None or not done.state.is_open or done.again > conf.utc_now():
                break

    _bounded(query.service, conf.get('SYNCHRONOUS_TIME'), steps)
    announce(now, mail=False)
    query.refresh_from_db()
    return f'{QueryState(query.state).words}: {query.message}'


def _bring_forward(query: PhotometryQuery, now: datetime) -> bool:
    """Make it due now, and its job as well; whether nobody holds them. What is being sent is left alone: it may have arrived."""
    free = Q(claim_until=None) | Q(claim_until__lte=now)
    if query.job_id is not None and query.state != QueryState.RESULT:
        jobs = RemoteJob.objects.filter(free, pk=query.job_id, state__in=[JobState.OPEN, JobState.UNCERTAIN])
        if not jobs.update(next_step=now):
            return False
    mine = PhotometryQuery.objects.filter(free, pk=query.pk, state__in=QueryState.open_values())
    return bool(mine.update(next_step=now))


def cancel(pk: int, user: Any, now: datetime) -> bool:
    """Stop a query here at once, and its job at the service where it can be stopped; whether there was anything to stop.

    Where others wait for the same answer, who asked only leaves it to them; anybody else who may cancel it ends it for all.
    """
    who = f'by {user}' if user is not None else 'here'
    mine = PhotometryQuery.objects.filter(pk=pk)
    query = mine.filter(state__in=QueryState.open_values()).first()
    if query is not None and user is not None and query.asked_by_id == user.pk and followers.hand_over(query, now):
        return True
    if not rows.end(mine, QueryState.CANCELLED, now, f'Cancelled {who}.'):
        return False
    rows.clean_up_later(pk, now)
    # what is done at the service cannot be rolled back
    transaction.on_commit(lambda: _stop(pk, now))
    return True


def _stop(pk: int, now: datetime) -> None:
    """At the service, for a bounded time: what it does not answer in time the command carries on."""
    with http.time_limit(conf.get('SYNCHRONOUS_TIME')):
        advance(pk, now)


def retry(pk: int, user: Any, now: datetime) -> Asked:
    """Ask the same again, as a new query; of an open one, or one that is asked again already, that one is given back."""
    return ask_again(PhotometryQuery.objects.select_related('target').get(pk=pk), user, now)
