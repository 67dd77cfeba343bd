"""Asking: a question becomes a row. The same question asked twice while one is open is answered by the open one."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.conf import settings
from django.db import Error, IntegrityError, transaction
from tom_dataproducts.models import DataProduct, PhotometryReducedDatum
from tom_targets.models import Target

from tom_followup.failpoints import PhotometryPoint, reach
from tom_forced_phot import conf, registry
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Refused
from tom_forced_phot.ingest import Watchers, permissions
from tom_forced_phot.ingest.files import points_of
from tom_forced_phot.models import IngestedFile, PhotometryQuery, PhotometrySubscription
from tom_forced_phot.queries import accounts, companions
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.designations import designation
from tom_forced_phot.services.protocol import Position

logger = logging.getLogger(__name__)
#: The number of a query that is as long as one can get.
LATE = 999_999_999
#: Of so many targets at once a person waits for the answers; of more they come when they come.
FEW = 10


@contextmanager
def refused_in_words(service: ForcedPhotometryService) -> Iterator[None]:
    """Whatever the service's own class raises in here refuses the question in a sentence; the log has the rest."""
    try:
        yield
    except (ForcedPhotometryError, Error):
        raise
    except Exception as error:
        logger.exception('A service cannot be asked', extra={'event': 'service_raised', 'service': service.name})
        raise Refused(f'{service.name} cannot be asked. {redaction.error_text(error)}') from error


@dataclass(frozen=True)
class Asked:
    """A query, and whether it is a new one."""

    query: PhotometryQuery
    created: bool


@dataclass(frozen=True)
class Declined:
    """A target that cannot be asked about, and why."""

    target: Any
    reason: str


def position_of(target: Target) -> Position:
    """What a service can be told about a target."""
    if target.type == Target.NON_SIDEREAL:
        return Position(name=target.name, moving=True, mpc_name=designation([target.name]) or designation(target.names))
    return Position(
        name=target.name,
        ra=None if target.ra is None else float(target.ra) % 360,
        dec=None if target.dec is None else float(target.dec),
        pm_ra=target.pm_ra or None,
        pm_dec=target.pm_dec or None,
        epoch=target.epoch or None,
    )


def ask(
    service_name: str,
    target: Target,
    cleaned: Mapping[str, Any],
    user: Any,
    now: datetime,
    subscription: PhotometrySubscription | None = None,
) -> Asked:
    """Ask a service about a target; ``cleaned`` is the form's cleaned data. Refused or Credentials say why it cannot be asked.

    A person waits for it where no subscription asks, and it goes out before what nobody waits for.
    """
    service = registry.service(service_name)
    return _ask(service, target, _parameters(service, cleaned, now), user, now, subscription, urgent=subscription is None)


def _ask(
    service: ForcedPhotometryService,
    target: Target,
    parameters: dict[str, Any],
    user: Any,
    now: datetime,
    subscription: PhotometrySubscription | None,
    *,
    urgent: bool,
) -> Asked:
    asked_by = user if user is not None and user.is_authenticated else None
    with refused_in_words(service):
        position = position_of(target)
        _check(service, position, parameters, asked_by, now)
        _check_path(service, target)
        query = PhotometryQuery(
            service=service.name,
            target_id=target.pk,
            asked_by=asked_by,
            subscription=subscription,
            parameters=parameters,
            question=_digest([service.name, target.pk, position.as_json(), parameters]),
            group_key=group_of(service, position, parameters),
            places=len(companions.with_companions(service, position, parameters)),
            urgent=urgent,
            state=QueryState.QUEUED,
            next_step=now,
            deadline=now + patience_of(service),
            message='Queued.' if service.does_all_itself() else f'Queued. {service.shown(position)}'.strip(),
            created=now,
        )
    asked = _insert(query, user)
    reach(PhotometryPoint.ASKED)
    return asked


def group_of(service: ForcedPhotometryService, position: Position, parameters: Mapping[str, Any]) -> str:
    """Equal for questions that can go out in one request; empty for one that goes alone."""
    group = None if service.does_all_itself() else service.together(position, parameters)
    return '' if group is None else _digest(group)


def patience_of(service: ForcedPhotometryService) -> timedelta:
    """How long a question may stay open once it is sent."""
    hours = conf.get('DEADLINE_HOURS')
    return timedelta(hours=hours) if hours else timedelta(seconds=service.patience)


def ask_many(
    service_name: str,
    targets: Iterable[Target],
    cleaned: Mapping[str, Any],
    user: Any,
    now: datetime,
    subscription: PhotometrySubscription | None = None,
) -> tuple[list[Asked], list[Declined]]:
    """Ask about many targets; those that cannot be asked about are told apart, and hold up nobody."""
    asked: list[Asked] = []
    declined: list[Declined] = []
    wanted = list(targets)
    service, urgent = registry.service(service_name), subscription is None and len(wanted) <= FEW
    for target in wanted:
        try:
            asked.append(_ask(service, target, _parameters(service, cleaned, now), user, now, subscription, urgent=urgent))
        except Refused as error:
            declined.append(Declined(target, str(error)))
    return asked, declined


def ask_again(before: PhotometryQuery, user: Any, now: datetime) -> Asked:
    """Ask what an earlier query asked."""
    service = registry.service(before.service)
    target = Target.objects.get(pk=before.target_id)
    return _ask(service, target, dict(before.parameters), user, now, before.subscription, urgent=True)


def _parameters(service: ForcedPhotometryService, cleaned: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    if service.does_all_itself():
        kept = {name: value for name, value in cleaned.items() if name not in ('service', 'target_id')}
        return dict(json.loads(json.dumps(kept, default=str)))
    with refused_in_words(service):
        return service.parameters(cleaned, now)


def _check(
    service: ForcedPhotometryService, position: Position, parameters: Mapping[str, Any], asked_by: Any, now: datetime
) -> None:
    """Everything that is wrong before the service is asked."""
    known = getattr(settings, 'DATA_PRODUCT_TYPES', {})
    kind = service.get_data_product_type()
    if kind not in known and not service.does_all_itself():
        raise Refused(f'DATA_PRODUCT_TYPES in the settings lacks {kind!r}: the result could not be kept.')
    accounts.choose(service, None if asked_by is None else asked_by.pk)
    if not service.does_all_itself():
        reason = service.objection(position, parameters, now)
        if reason:
            raise Refused(reason)
        places = len(companions.with_companions(service, position, parameters))
        if places > max(1, service.open_jobs):  # it would wait for ever
            raise Refused(f'{places} positions would be measured, and no more than {service.open_jobs} may wait at {service.name}.')


def _check_path(service: ForcedPhotometryService, target: Target) -> None:
    """The host's path of the result holds the target's name, which may be too long for it."""
    if service.does_all_itself():
        return
    kind, number = service.get_data_product_type(), f'{service.name} query {LATE}'
    product = DataProduct(target=target, data_product_type=kind, product_id=number)
    field = DataProduct._meta.get_field('data')
    path = field.generate_filename(product, f'{service.name.lower()}_query_{LATE}.txt')
    if len(path) > field.max_length:
        raise Refused(
            f'The name of {target.name} is too long: its result would be kept as a file whose path has {len(path)} characters, '
            f'and a data product has room for {field.max_length}.'
        )


def _insert(query: PhotometryQuery, user: Any) -> Asked:
    """The row, or the open one that asks the same."""
    for _ in range(3):
        try:
            with transaction.atomic():
                query.save(force_insert=True)
            return Asked(query, True)
        except IntegrityError:
            rows = PhotometryQuery.objects.filter(question=query.question, state__in=QueryState.open_values())
            found = rows.first()
            if found is not None:
                if query.asked_by is not None and query.asked_by != found.asked_by:
                    _follow(found, query.asked_by)
                if query.urgent and not found.urgent:
                    PhotometryQuery.objects.filter(pk=found.pk).update(urgent=True)
                return Asked(found, False)
    raise Refused('The question could not be stored: somebody else is asking the same, again and again.')


def _follow(query: PhotometryQuery, user: Any) -> None:
    """Let somebody else see what comes, or what has come just now."""
    with transaction.atomic():
        query.followers.add(user)
        # who is closing it is waited for
        now = PhotometryQuery.objects.select_for_update().filter(pk=query.pk).first()
    product = None if now is None or QueryState(now.state).is_open else now.data_product
    if product is None or not permissions.needed():
        return
    file = IngestedFile.objects.filter(data_product=product).select_related('light_curve', 'data_product').first()
    named = np.array([] if file is None else points_of(file), dtype=np.int64)
    points = PhotometryReducedDatum.objects.filter(data_product=product)
    permissions.grant(product, points, [named], Watchers(users=(user,)))


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class QuestionPreview:
    """What would be asked about a target; or, in ``reason``, why it would be declined."""

    parameters: Mapping[str, Any]
    question: str = ''
    group: str = ''
    reason: str = ''
    #: What the service is told that the target's page does not say: another name, an epoch, another position.
    shown: str = ''
    #: How many positions are measured.
    places: int = 1


def hindrance(service: ForcedPhotometryService, user: Any) -> str:
    """Why a user cannot ask a service about any target; empty where nothing is in the way."""
    try:
        with refused_in_words(service):
            kind = service.get_data_product_type()
            if kind not in getattr(settings, 'DATA_PRODUCT_TYPES', {}) and not service.does_all_itself():
                return f'DATA_PRODUCT_TYPES in the settings lacks {kind!r}: the result could not be kept.'
            accounts.choose(service, user.pk)
    except (Credentials, Refused) as error:
        return str(error)
    return ''


def preview_question(service: ForcedPhotometryService, target: Any, cleaned: Mapping[str, Any], now: datetime) -> QuestionPreview:
    """What ``ask`` would do with this target, where nothing hinders the user."""
    parameters: Mapping[str, Any] = {}
    try:
        parameters = _parameters(service, cleaned, now)
        with refused_in_words(service):
            return _previewed(service, target, parameters, now)
    except ForcedPhotometryError as error:
        return QuestionPreview(parameters=parameters, reason=str(error))


def _previewed(service: ForcedPhotometryService, target: Any, parameters: Mapping[str, Any], now: datetime) -> QuestionPreview:
    position = position_of(target)
    reason = '' if service.does_all_itself() else service.objection(position, parameters, now)
    if reason:
        raise Refused(reason)
    _check_path(service, target)
    question = _digest([service.name, target.pk, position.as_json(), parameters])
    shown = '' if service.does_all_itself() else service.shown(position)
    places = len(companions.with_companions(service, position, parameters))
    group = group_of(service, position, parameters)
    return QuestionPreview(parameters=parameters, question=question, group=group, shown=shown, places=places)
