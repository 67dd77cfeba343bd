"""Standing orders: ask from the last stored point minus an overlap, everything again now and then, and pause after failures."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Max, Q
from tom_dataproducts.models import PhotometryReducedDatum
from tom_targets.models import Target

from tom_followup.units import mjd_of
from tom_forced_phot import conf, queries, registry
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import Credentials, ForcedPhotometryError, Refused
from tom_forced_phot.models import LightCurve, PhotometryQuery, PhotometrySubscription
from tom_forced_phot.permissions import askable_targets, visible_targets
from tom_forced_phot.services.base import ForcedPhotometryService

logger = logging.getLogger(__name__)
#: A round that meets so many errors nobody foresaw ends.
MOST_ERRORS = 5
SHOWN = 3
ROUNDED = 10.0
#: Rows that no form has seen are kept within these as well: ten years at the most.
LEAST_HOURS, MOST_HOURS = 0.1, 87_600.0


Trouble = Callable[[PhotometrySubscription, str], None]


@dataclass(frozen=True)
class Round:
    """What one round of a subscription asked for."""

    subscription: PhotometrySubscription
    asked: int
    declined: int


def first_date(last_point: datetime | None, now: datetime, *, full: bool, least: float | None, overlap: timedelta) -> float | None:
    """From which MJD to ask: at least the overlap before the last point, but not before ``least``; all where it is full.

    Rounded down to ten days, so that targets whose last points differ a little go out in one request.
    """
    if full or last_point is None:
        return least
    found = math.floor(mjd_of(min(last_point, now) - overlap) / ROUNDED) * ROUNDED
    return found if least is None else max(least, found)


def ask_due(now: datetime, service: str | None = None, trouble: Trouble = lambda subscription, text: None) -> list[Round]:
    """One round of every subscription (to one service) whose time has come; what is wrong with one holds up no other.

    ``trouble`` is told what nobody foresaw, and of which.
    """
    rows = PhotometrySubscription.objects.filter(active=True).filter(Q(next_round=None) | Q(next_round__lte=now))
    if service:
        rows = rows.filter(service=service)
    done = []
    for subscription in rows.select_related('target', 'target_list', 'owner').order_by('pk'):
        try:
            done += _due(subscription, now, trouble)
        except (OperationalError, InterfaceError):
            raise  # the database is away: for everybody
        except Exception as error:
            logger.exception('A round of a photometry subscription failed', extra={'subscription': subscription.pk})
            _failed(subscription, redaction.error_text(error))
            trouble(subscription, redaction.error_text(error))
    return done


def _due(subscription: PhotometrySubscription, now: datetime, trouble: Trouble) -> list[Round]:
    if subscription.until is not None and now >= subscription.until:
        _pause(subscription, f'It ended on {subscription.until:%Y-%m-%d}, as planned.')
        return []
    hindrance = _hindrance(subscription)
    if hindrance:
        _pause(subscription, hindrance)
        return []
    return [_round(subscription, now, trouble)] if _take(subscription, now) else []


def _hindrance(subscription: PhotometrySubscription) -> str:
    """Why it may ask nothing more, in whose name it asks being gone; empty where it may. One of the command has no owner."""
    owner = subscription.owner
    if subscription.orphaned:
        return 'Paused: its owner was deleted. Who resumes it becomes its owner.'
    if owner is not None and not owner.is_active:
        return f'Paused: the account of its owner, {owner}, was deactivated.'
    if (
        owner is not None
        and subscription.target_id is not None
        and not askable_targets(owner).filter(pk=subscription.target_id).exists()
    ):
        return f'{owner} may not ask about its target.'
    return ''


def _take(subscription: PhotometrySubscription, now: datetime) -> bool:
    """Only one of two commands at once goes on with a subscription."""
    rows = PhotometrySubscription.objects.filter(pk=subscription.pk, active=True, next_round=subscription.next_round)
    later = now + timedelta(hours=max(LEAST_HOURS, min(subscription.interval_hours, MOST_HOURS)))
    return bool(rows.update(next_round=later))


def _round(subscription: PhotometrySubscription, now: datetime, trouble: Trouble) -> Round:
    """Ask about every target whose last question has ended; a round in which nothing new was asked is none."""
    full = subscription.last_full is None or now - subscription.last_full >= timedelta(days=conf.get('FULL_DAYS'))
    asked, reasons, waiting, unexpected = [], [], _waiting(subscription), False
    for target in _targets(subscription):
        if target.pk in waiting:
            continue
        try:
            cleaned = _cleaned(subscription, target, now, full)
            asked.append(queries.ask(subscription.service, target, cleaned, subscription.owner, now, subscription))
        except Refused as error:
            reasons.append(f'{target.name}: {error}')
        except Exception as error:  # credentials, or the code of the site: the same for every target
            logger.exception('A question of a photometry subscription failed', extra={'subscription': subscription.pk})
            said = str(error) if isinstance(error, ForcedPhotometryError) else redaction.error_text(error)
            reasons.append(f'{target.name}: {said}')
            unexpected = unexpected or not isinstance(error, ForcedPhotometryError)
            if not isinstance(error, Credentials) and len(reasons) < MOST_ERRORS:
                continue
            break
    _note(subscription, asked, reasons, bool(waiting), full, now)
    if queries.has_workers():
        queries.enqueue([each.query.pk for each in asked if each.created])
    if unexpected:
        trouble(subscription, redaction.clean(' '.join(reasons[:SHOWN])))
    return Round(subscription, len(asked), len(reasons))


def _waiting(subscription: PhotometrySubscription) -> set[int]:
    """The targets about which an earlier round still asks."""
    mine = PhotometryQuery.objects.filter(subscription=subscription, state__in=QueryState.open_values())
    return set(mine.values_list('target_id', flat=True))


def _note(
    subscription: PhotometrySubscription, asked: list[queries.Asked], reasons: list[str], waiting: bool, full: bool, now: datetime
) -> None:
    rows, text = PhotometrySubscription.objects.filter(pk=subscription.pk), redaction.clean(' '.join(reasons[:SHOWN]))
    if asked:
        rows.update(reason=text, last_round=now, **({'last_full': now} if full else {}))
    elif reasons:
        _failed(subscription, text)
    elif not waiting:
        rows.update(reason=_no_target(subscription))


def _targets(subscription: PhotometrySubscription) -> Iterable[Any]:
    """Those about which its owner may ask: a list may hold targets of other people. One of the command has no owner."""
    owner = subscription.owner
    allowed = Target.objects.all() if owner is None else askable_targets(owner)
    if subscription.target_list is not None:
        return allowed.filter(pk__in=subscription.target_list.targets.values('pk')).order_by('pk')
    return allowed.filter(pk=subscription.target_id)


def _no_target(subscription: PhotometrySubscription) -> str:
    if subscription.target_list is not None and not subscription.target_list.targets.exists():
        return 'There is no target in its list.'
    what = 'its target' if subscription.target_list is None else 'any target of its list'
    return f'{subscription.owner} may not ask about {what}.'


def _cleaned(subscription: PhotometrySubscription, target: Any, now: datetime, full: bool) -> dict[str, Any]:
    cleaned, service = dict(subscription.parameters), registry.service(subscription.service)
    cleaned['min_date'] = first_date(
        _last_point(service, target, cleaned, now),
        now,
        full=full,
        least=cleaned.get('min_date') or service.earliest or None,
        overlap=timedelta(days=conf.get('OVERLAP_DAYS')),
    )
    return cleaned


def _last_point(service: ForcedPhotometryService, target: Any, cleaned: dict[str, Any], now: datetime) -> datetime | None:
    """The newest point of the kind that is asked for: one kind says nothing about how far another is known."""
    reduction = service.parameters(cleaned, now).get('reduction')
    if reduction:
        points = PhotometryReducedDatum.objects.filter(target_id=target.pk, source_name=service.name, reduction_version=reduction)
        return points.aggregate(last=Max('timestamp'))['last']
    curve = LightCurve.objects.filter(target_id=target.pk, service=service.name).first()
    return curve.last_point if curve else None


def judge(now: datetime) -> list[PhotometrySubscription]:
    """Count rounds that brought nothing but failures; those that pause themselves for it."""
    paused = []
    for subscription in PhotometrySubscription.objects.filter(active=True).exclude(last_round=None):
        try:
            if _judge(subscription, now):
                paused.append(subscription)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception('A photometry subscription could not be judged', extra={'subscription': subscription.pk})
    return paused


def _judge(subscription: PhotometrySubscription, now: datetime) -> bool:
    """Whether it is paused for what its last round brought."""
    mine = PhotometryQuery.objects.filter(subscription=subscription, created__gte=subscription.last_round)
    states = set(mine.values_list('state', flat=True))
    if not states or states & set(QueryState.open_values()):
        return False
    bad, paused = {str(QueryState.FAILED), str(QueryState.EXPIRED)}, False
    if states <= bad:
        last = mine.filter(state__in=bad).order_by('-closed').values_list('message', flat=True).first()
        paused = _count_once(subscription, now) and _failed(subscription, str(last))
        # what was not brought is asked for again
        PhotometrySubscription.objects.filter(pk=subscription.pk, last_full=subscription.last_round).update(last_full=None)
    elif states - bad - {str(QueryState.CANCELLED)}:
        PhotometrySubscription.objects.filter(pk=subscription.pk).exclude(failures=0).update(failures=0)
    return paused


def _count_once(subscription: PhotometrySubscription, now: datetime) -> bool:
    """A round is judged once."""
    rows = PhotometrySubscription.objects.filter(pk=subscription.pk, last_round=subscription.last_round, last_judged=None)
    rows |= PhotometrySubscription.objects.filter(
        pk=subscription.pk, last_round=subscription.last_round, last_judged__lt=subscription.last_round
    )
    return bool(rows.update(last_judged=now))


def _failed(subscription: PhotometrySubscription, reason: str) -> bool:
    """One failed round more; whether it is paused for it."""
    reason = redaction.clean(reason)
    rows = PhotometrySubscription.objects.filter(pk=subscription.pk)
    with transaction.atomic():
        if not rows.update(failures=F('failures') + 1, reason=reason):
            return False  # it was deleted meanwhile
        subscription.refresh_from_db()
        if subscription.failures < conf.get('SUBSCRIPTION_FAILURES'):
            return False
    _pause(subscription, f'Paused after {subscription.failures} failed rounds in a row. Last: {reason}')
    return True


def _pause(subscription: PhotometrySubscription, reason: str) -> None:
    """Who switches it on again lets it count anew."""
    reason = redaction.clean(reason)
    if not PhotometrySubscription.objects.filter(pk=subscription.pk).update(active=False, reason=reason, failures=0):
        return
    owner = subscription.owner
    if owner is not None:
        queries.inform(
            owner, f'The subscription to {subscription.service}{_about(subscription)} asks nothing more. {reason}', conf.utc_now()
        )
    logger.warning(
        'A photometry subscription paused itself: %s',
        reason,
        extra={'event': 'subscription_paused', 'subscription': subscription.pk},
    )


def _about(subscription: PhotometrySubscription) -> str:
    """Its target's name, where its owner may still see it."""
    if subscription.target is None:
        return f' for the list {subscription.target_list}'
    seen = visible_targets(subscription.owner).filter(pk=subscription.target_id).exists()
    return f' for {subscription.target.name}' if seen else ''


def make(now: datetime, **fields: Any) -> PhotometrySubscription:
    """A new one, whose first round is due at once."""
    rows = PhotometrySubscription.objects
    return rows.create(next_round=now, **fields)


def change(pk: int, now: datetime, **fields: Any) -> bool:
    """What a person edited; the next round comes when it would with the new interval. Whether it is still there."""
    rows = PhotometrySubscription.objects.filter(pk=pk)
    with transaction.atomic():
        changed = rows.update(**fields)
        if changed and 'interval_hours' in fields:
            last = rows.get().last_round
            rows.update(next_round=now if last is None else max(now, last + timedelta(hours=fields['interval_hours'])))
    return bool(changed)


def pause(pk: int, user: Any) -> bool:
    """Ask nothing more until it is resumed; what is on its way still comes."""
    rows = PhotometrySubscription.objects.filter(pk=pk, active=True)
    return bool(rows.update(active=False, reason=f'Paused by {user}.'))


def resume(pk: int, now: datetime, user: Any = None) -> bool:
    """Go on; what failed before counts no more. One whose owner was deleted goes on in the name of the ``user`` who resumes it."""
    rows = PhotometrySubscription.objects.filter(pk=pk, active=False)
    rows = rows.filter(Q(until=None) | Q(until__gt=now))
    with transaction.atomic():
        if user is None:
            rows = rows.filter(orphaned=False)
        else:
            rows.filter(orphaned=True).update(owner=user, orphaned=False)
        return bool(rows.update(active=True, reason='', failures=0, next_round=now))


def owner_goes(user: Any) -> None:
    """Its owner is being deleted: it asks nothing more, and becomes nobody else's by itself."""
    rows = PhotometrySubscription.objects.filter(owner=user)
    rows.filter(active=True).update(
        reason=redaction.clean(f'Paused: its owner, {user}, was deleted. Who resumes it becomes its owner.')
    )
    rows.update(active=False, orphaned=True)


def after_merge(target: int) -> None:
    """Two targets became this one: of subscriptions that ask the same about it one goes on, the others are paused and say why.

    It is the one that asks most often, then the one that ends last. Those that ask for something else, such as other images, stay.
    """

    def last(each: PhotometrySubscription) -> tuple[float, float, int]:
        return each.interval_hours, -each.until.timestamp() if each.until else -math.inf, each.pk

    stays: dict[tuple[str, str], PhotometrySubscription] = {}
    for each in sorted(PhotometrySubscription.objects.filter(target_id=target, active=True), key=last):
        # a tick that is not set says the same as one that the form did not have yet
        wanted = {name: value for name, value in each.parameters.items() if value not in (None, '', False)}
        first = stays.setdefault((each.service, json.dumps(wanted, sort_keys=True, default=str)), each)
        if first is not each:
            _pause(each, f'Paused: its target was merged into another one, about which subscription {first.pk} asks the same.')


def remove(pk: int) -> bool:
    """Delete it; its queries and points stay."""
    rows = PhotometrySubscription.objects.filter(pk=pk)
    return bool(rows.delete()[0])
