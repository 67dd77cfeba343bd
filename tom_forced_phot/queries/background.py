"""What happens right after asking: a worker is told, or the web request drives the query itself for a bounded time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import transaction

from tom_forced_phot import conf
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries.announcing import announce
from tom_forced_phot.queries.drive import drive
from tom_forced_phot.states import QueryState

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
            transaction.on_commit(lambda: _quietly(pks))
            return ''
        return enqueue(pks)
    if transaction.get_connection().in_atomic_block or len(pks) != 1:
        return f'Asked. {CARRIES_ON}' if pks else ''
    done = drive(pks[0], conf.get('SYNCHRONOUS_TIME'), clock, **({'wait': wait} if wait else {}))
    announce(clock(), mail=False)
    query = PhotometryQuery.objects.get(pk=pks[0])
    if done.state.is_open:
        return f'{QueryState(query.state).words}: {query.message} {CARRIES_ON}'
    return f'{QueryState(query.state).words}: {query.message}'


def _quietly(pks: list[int]) -> None:
    enqueue(pks)
