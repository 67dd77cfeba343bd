"""One observation that a person asks for, in the TOM's observation form or over REST: sent once, whatever happens.

It goes the way of every other request (``engine.send``). What is asked for says which request it is: the same person, target,
facility and parameters are the same observation, so that a double click, a reload and a second try after a lost reply book one.
Its view is ``non_atomic_requests``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.engine import send
from tom_cadence.exceptions import CadenceError, Credentials, NeedsAttention, Temporary, Uncertain
from tom_cadence.facilities import Calls, Facilities, Gateway
from tom_cadence.journal import Intent
from tom_cadence.models import Submission
from tom_followup.failpoints import CadencePoint, reach

State = Submission.State


class AlreadyOrdered(CadenceError):
    """The same observation was asked for before; nothing was sent. ``request`` is that one."""

    def __init__(self, request: Submission, text: str) -> None:
        """Keep the request there is."""
        super().__init__(text)
        self.request = request


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a person asks for; ``afterwards`` as in ``journal.Intent``."""

    user: Any
    target: int
    gateway: Gateway
    payload: Any
    parameters: dict[str, Any]
    origin: str
    groups: Sequence[Any] = ()
    afterwards: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The same for the same observation."""
        said = [self.target, self.gateway.name, self.parameters, self.afterwards]
        text = json.dumps(said, cls=DjangoJSONEncoder, sort_keys=True, default=str)
        return f'order:{self.user.pk}:{hashlib.sha256(text.encode()).hexdigest()[:40]}'


def place(order: Order, now: datetime, again: int = 0) -> list[ObservationRecord]:
    """Send it, once, and record what was booked.

    Raises AlreadyOrdered where the same is booked or under way (``again``: how many of the same are booked already, of a person
    who wants one more), Uncertain where nobody knows what became of it, and the Refused, Temporary, Credentials or
    NeedsAttention after which nothing is booked.
    """
    before = Submission.objects.filter(cause__startswith=f'{order.name}:').order_by('pk')
    number = before.filter(state=State.ACCEPTED).count()
    _refuse_the_same(before, order, 0 if again != number else again)
    intent = Intent(
        cause=f'{order.name}:{number}',
        facility=order.gateway.name,
        target=order.target,
        owner=order.user,
        parameters=order.parameters,
        window=order.gateway.window_or_none(order.parameters),
        origin=order.origin,
        attempt=1 + before.filter(cause=f'{order.name}:{number}').count(),
        token=journal.request_mark(order.name, str(number)),
        groups=order.groups,
        afterwards=dict(order.afterwards),
    )
    payload = order.gateway.mark(order.payload, intent.token)
    last = send.patience()
    reach(CadencePoint.PREPARED)
    request = journal.open_order(intent, now)
    if request is None:
        _refuse_the_same(before, order, 0)
        raise Temporary('The same observation is being asked for in another window; nothing was sent.')
    return _send(request, order.gateway, send.call_for(order.gateway, payload, last, request.token, now))


def number_of(request: Submission) -> int:
    """How many of the same observation are booked."""
    name = ':'.join(request.cause.split(':')[:3])
    return Submission.objects.filter(cause__startswith=f'{name}:', state=State.ACCEPTED).count()


def _send(request: Submission, gateway: Gateway, function: Any) -> list[ObservationRecord]:
    calls = Calls(at_once=1, per_facility=1)
    calls.start(request, gateway.name, function, conf.get('FACILITY_TIMEOUT'))
    call = calls.next()
    known = journal.recorded(request.facility, call.result or ())
    try:
        records = send.conclude(request, call.result, call.error, known, '', conf.utc_now())
    except NeedsAttention as error:  # a facility that takes none, or one that has booked what could not be recorded whole
        request.refresh_from_db(fields=['state'])
        if request.state == State.REFUSED:
            raise
        raise Uncertain(str(error)) from error
    if records is None:
        try:
            records = send.look_up(request, Facilities(), conf.utc_now())
        except (Temporary, Credentials, NeedsAttention) as error:
            raise Uncertain(str(error)) from error
    if records is None:
        raise Temporary(f'It never arrived at {request.facility}; nothing is booked.')
    return records


def _refuse_the_same(before: QuerySet[Submission], order: Order, again: int) -> None:
    opened = before.filter(state__in=Submission.OPEN).first()
    if opened is not None:
        became = 'is being sent' if opened.state == State.SENDING else 'was sent, and it is not known yet whether it is booked'
        raise AlreadyOrdered(opened, f'Nothing was sent: the same observation {became} ({_when(opened)}).')
    booked = before.filter(state=State.ACCEPTED).last()
    if booked is None or again:
        return
    states = list(ObservationRecord.objects.filter(booking__submission=booked).values_list('status', flat=True))
    if states and all(state in order.gateway.terminal for state in states):
        return
    ids = ', '.join(map(str, booked.observation_ids))
    text = f'Nothing was sent: the same observation was asked for already ({_when(booked)}) and is booked as {ids}.'
    raise AlreadyOrdered(booked, text)


def _when(request: Submission) -> str:
    return f'{request.created:%Y-%m-%d %H:%M} UTC'
