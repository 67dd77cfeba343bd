"""Services that do all themselves in ``query_service``, as the toolkit's tutorial shows.

Their state is kept like any other query's; nobody can promise that such a service asks only once where it dies in between.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_save
from django.dispatch import receiver
from tom_dataproducts.data_processor import run_data_processor
from tom_dataproducts.models import REDUCED_DATUM_MODELS, DataProduct, PhotometryReducedDatum

from tom_forced_phot import conf
from tom_forced_phot.core import redaction
from tom_forced_phot.core.redaction import secrets_in, without
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.ingest import Watchers, permissions
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries import rows
from tom_forced_phot.queries.rows import Claim
from tom_forced_phot.services.base import ForcedPhotometryService

logger = logging.getLogger(__name__)
TRIES = 2
#: Settings of a service whose values are not for everybody's eyes.
#: What the service that works in this thread has saved so far.
_saved: ContextVar[set[int] | None] = ContextVar('saved', default=None)


def run(query: PhotometryQuery, claim: Claim, service: ForcedPhotometryService, clock: Callable[[], datetime]) -> datetime | None:
    """Let the service work, and take over the file it made."""
    mine = PhotometryQuery.objects.filter(pk=query.pk, claim=claim.number)
    now = clock()
    if query.state == QueryState.RUNNING and query.attempts >= TRIES:
        text = f'{service.name} was interrupted {TRIES} times in the middle of its work. Ask again.'
        rows.end(mine, QueryState.FAILED, now, text, 'Interrupted')
        return None
    rows.move_query(mine, QueryState.RUNNING, attempts=query.attempts + 1, message=f'{service.name} is at work.')
    with _noting() as saved:
        try:
            with _holding(claim, clock):
                service.query_service(_cleaned(query, service))
        except Exception as error:  # the site's own code
            left = _products(query, service, saved).first()
            kept = {'data_product': left} if left is not None else {}
            rows.end(mine, QueryState.FAILED, clock(), _says(service, error), type(error).__name__, **kept)
            return None
    _take_over(query, mine, service, saved, clock)
    return None


def _take_over(
    query: PhotometryQuery,
    mine: QuerySet[PhotometryQuery],
    service: ForcedPhotometryService,
    saved: set[int],
    clock: Callable[[], datetime],
) -> None:
    made = list(_products(query, service, saved))
    with transaction.atomic():
        if not made:
            rows.end(mine, QueryState.NO_DATA, clock(), f'{service.name} brought no file.')
            return
        message, points = _ingested(made, service)
        _share(query, made)
        rows.end(mine, QueryState.DONE, clock(), message, data_product=made[0], rows=points, new=points)


@contextmanager
def _noting() -> Iterator[set[int]]:
    """Note the data products that are made in this thread meanwhile: other people's are made in others."""
    saved: set[int] = set()
    token = _saved.set(saved)
    try:
        yield saved
    finally:
        _saved.reset(token)


@receiver(post_save, sender=DataProduct, dispatch_uid='tom_forced_phot.product_saved')
def _note(*, instance: DataProduct, created: bool, **_: Any) -> None:
    saved = _saved.get()
    if created and saved is not None:
        saved.add(instance.pk)


@contextmanager
def _holding(claim: Claim, clock: Callable[[], datetime]) -> Iterator[None]:
    """Keep the claim while the service works: it may wait for hours, and nobody is to take it for dead."""
    if transaction.get_connection().in_atomic_block:  # nobody else sees the claim before it is over
        yield
        return
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(claim, clock, over), name=f'claim of query {claim.pk}', daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()


def _beat(claim: Claim, clock: Callable[[], datetime], over: threading.Event) -> None:
    """Extend the claim until ``over``, or until it is not ours any more."""
    mine = PhotometryQuery.objects.filter(pk=claim.pk, claim=claim.number, state=QueryState.RUNNING)
    try:
        while not over.wait(conf.get('CLAIM_TIME') / 3):
            try:
                if not mine.update(claim_until=clock() + conf.seconds('CLAIM_TIME')):
                    return
            except Error as error:
                logger.warning('The claim of query %s could not be extended: %s', claim.pk, error)
                connection.close()
    finally:
        connection.close()


def _says(service: ForcedPhotometryService, error: Exception) -> str:
    """The error for people: an address in it may have held a key."""
    said = without(redaction.words(error), secrets_in(service.config)) or f'{type(error).__name__}()'
    return f'{service.name}: {redaction.clean(said)}'


def _share(query: PhotometryQuery, made: list[DataProduct]) -> None:
    """Who asked gets to see it, as with any other service."""
    users = [*query.followers.all(), *([query.asked_by] if query.asked_by else [])]
    for product in made:
        points = PhotometryReducedDatum.objects.filter(data_product=product)
        permissions.grant(product, points, (), Watchers(users=tuple(users)))


def _products(query: PhotometryQuery, service: ForcedPhotometryService, saved: set[int]) -> QuerySet[Any]:
    kind = service.get_data_product_type()
    return DataProduct.objects.filter(pk__in=saved, target_id=query.target_id, data_product_type=kind).order_by('pk')


def _ingested(made: list[DataProduct], service: ForcedPhotometryService) -> tuple[str, int]:
    """Points of the files, which are read now unless the service did so itself."""
    kind, points, notes = service.get_data_product_type(), 0, []
    for product in made:
        if _points(product):
            pass
        elif kind in getattr(settings, 'DATA_PROCESSORS', {}):
            notes += _process(product)
        else:
            notes.append(f'The file is kept; DATA_PROCESSORS names nothing that reads {kind!r}, so it brought no points.')
        points += _points(product)
    return ' '.join([f'{points} points.', *dict.fromkeys(notes)]), points


def _points(product: DataProduct) -> int:
    return sum(model.objects.filter(data_product=product).count() for model in REDUCED_DATUM_MODELS)


def _process(product: DataProduct) -> list[str]:
    try:
        with transaction.atomic():
            read = run_data_processor(product)
    except Exception as error:  # the site's own processor
        return [f'The file is kept; its processor could not read it: {redaction.clean(redaction.words(error))}']
    return ['What the file holds was there already.'] if read and not _points(product) else []


def _cleaned(query: PhotometryQuery, service: ForcedPhotometryService) -> dict[str, Any]:
    """What the form gave: rows hold texts and numbers, and such a service may want dates."""
    asked = {**query.parameters, 'service': service.name, 'target_id': query.target_id}
    form = service.get_form()(data=asked)
    return {**asked, **form.cleaned_data} if form.is_valid() else asked
