"""Starting a cadence: what is checked, and what is sent, once. What it would do then is in ``preview``.

The first observation goes the way of every other: the intent is committed before the call, what is proven not to be booked is
taken back, and a lost reply is looked up, or a person is asked. ``start`` sends: its view is ``non_atomic_requests``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord

from tom_cadence import conf, journal, registry
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.history import History
from tom_cadence.core.parameters import clean
from tom_cadence.core.policy import enforce
from tom_cadence.core.visibility import move_to_visible
from tom_cadence.core.windows import Window, show
from tom_cadence.engine import send, snapshot
from tom_cadence.engine.context import read_places, sky_for
from tom_cadence.engine.send import RunCache, Sending
from tom_cadence.engine.stages import Decided, Known
from tom_cadence.exceptions import CadenceError, Credentials, NeedsAttention, Refused, Temporary
from tom_cadence.facilities import Calls, Facilities, Gateway, Prepared
from tom_cadence.facilities.gateway import sites_of
from tom_cadence.journal import Intent
from tom_cadence.journal import first_request as beginnings
from tom_cadence.journal.first_request import CAUSE, NewCadence, cadence_of_cause
from tom_cadence.models import ManagedCadence, Submission

State = ManagedCadence.State
PROVEN = (Temporary, Refused, Credentials)
"""Errors of a call after which nothing is booked."""


@dataclass(frozen=True, kw_only=True)
class ReadyToStart:
    """A cadence that was checked and may begin; ``doubt`` says what could not be checked."""

    user: Any
    target: Any
    gateway: Gateway
    prepared: Prepared
    strategy: str
    parameters: dict[str, Any]
    name: str
    groups: Sequence[Any] = field(default_factory=tuple)
    doubt: str = ''


@dataclass(frozen=True, kw_only=True)
class StartResult:
    """What came of it: the cadence, a sentence, and whether a person should look."""

    managed: ManagedCadence
    text: str
    attention: bool = False


def kept(cleaned: Mapping[str, Any], names: Sequence[str] | set[str]) -> dict[str, Any]:
    """A strategy's parameters as its cadence keeps them: every value as JSON has it."""
    return dict(json.loads(json.dumps({name: cleaned.get(name) for name in sorted(names)}, cls=DjangoJSONEncoder)))


def make_strategy(name: str, parameters: Mapping[str, Any], group: Any = None) -> Any:
    """The strategy of a cadence that does not exist yet; NeedsAttention where it cannot be made."""
    problem = problem_with(name, parameters)
    if problem:
        raise NeedsAttention(problem)
    cadence = DynamicCadence(cadence_strategy=name, cadence_parameters=dict(parameters), active=True)
    if group is not None:
        cadence.observation_group = group
    try:
        return registry.strategy_class(name)(cadence)
    except Exception as error:  # the site's own code
        raise NeedsAttention(f'This strategy cannot be made: {bounded_text(error)}') from error


def check_first(strategy: str, parameters: Mapping[str, Any], window: Window, asked: Mapping[str, Any], now: datetime) -> str:
    """Why the limits would not even let the first observation through, or an empty text."""
    if window.end <= now:
        return f'The observing window has ended already ({show(window.end)}).'
    first = Submit(reason='', window=window, like=0)
    seconds = exposure_seconds(asked)
    decision = enforce(first, clean(dict(parameters)), History(), now, exposure=0, next_exposure=seconds)
    if not isinstance(decision, Stop):
        return ''
    return decision.reason.replace('The next window', 'The first window').replace('The next observation', 'The first observation')


def check_sky(
    gateway: Gateway, target: Any, parameters: Mapping[str, Any], window: Window, asked: Mapping[str, Any], now: datetime
) -> str:
    """Why the first observation could not be taken in its window for what is asked of the sky, or an empty text."""
    constraints = clean(dict(parameters)).constraints
    if constraints is None:
        return ''
    try:
        sky = sky_for(constraints, gateway.name, read_places([target.pk]).get(target.pk), sites_of(gateway.facility))
    except NeedsAttention as error:
        return str(error)
    found = move_to_visible(Submit(reason='', window=window, like=0), sky, now, exposure_seconds(asked))
    if not isinstance(found, Submit):
        return getattr(found, 'reason', '')
    words, moved, _ = found.reason.strip().rpartition(': moved to ')
    return f'{words}. The first window can begin at {show(found.window.start)}.' if moved else ''


def check_group_sky(group: Any, owner: Any, parameters: Mapping[str, Any], now: datetime) -> str:
    """Why nothing of a group's newest target could be observed in months for what is asked of the sky, or an empty text.

    A window in which it is not up is moved by each run, so that one that is up some day is no reason.
    """
    constraints = clean(dict(parameters)).constraints
    record = group.observation_records.order_by('-created', '-pk').first()
    if constraints is None or record is None:
        return ''
    try:
        gateway = Facilities().gateway(record.facility, owner)
        sky = sky_for(constraints, gateway.name, read_places([record.target_id]).get(record.target_id), sites_of(gateway.facility))
    except CadenceError as error:
        return str(error)
    stored = record.parameters if isinstance(record.parameters, Mapping) else {}
    last = gateway.window_or_none(stored) or Window(start=now, end=now + timedelta(days=1))
    found = move_to_visible(Submit(reason='', window=last.starting(now), like=0), sky, now, exposure_seconds(stored))
    return found.reason if isinstance(found, Wait) else ''


def _cause(user: Any, token: str) -> str:
    return f'{CAUSE}{user.pk}:{token}'[:200]


def started_with(user: Any, token: str) -> ManagedCadence | None:
    """The cadence that was begun with this form before."""
    return cadence_of_cause(_cause(user, token))


def start(ready: ReadyToStart, token: str, now: datetime) -> StartResult:
    """Begin, and send the first observation once, however often the form arrives.

    Raises AlreadyStarted, or the Refused, Temporary or Credentials after which nothing is booked and no cadence is left.
    """
    RunCache().check(ready.user, ready.target.pk)
    intent = _intent(ready, token)
    payload = ready.gateway.mark(ready.prepared.payload, intent.token)
    beginning = NewCadence(
        owner=ready.user,
        strategy=ready.strategy,
        parameters=ready.parameters,
        name=ready.name,
        target_name=ready.target.name,
        groups=ready.groups,
    )
    last = send.patience()
    managed, submission, claimed = beginnings.create_with_request(beginning, intent, now)
    started = Decided(known=Known(snapshot=snapshot.prepare(managed)), decision=Wait(reason=f'{ready.user} started it.'))
    function = send.call_for(ready.gateway, payload, last)
    sending = Sending(decided=started, claimed=claimed, submission=submission, function=function)
    return _deliver(sending, ready.gateway, take_back=True)


def _intent(ready: ReadyToStart, token: str) -> Intent:
    return Intent(
        cause=_cause(ready.user, token),
        facility=ready.gateway.name,
        target=ready.target.pk,
        owner=ready.user,
        origin=Submission.Origin.START,
        token=journal.request_mark('start', _cause(ready.user, token)),
        parameters=ready.prepared.parameters,
        window=ready.prepared.window,
        groups=ready.groups,
    )


def _deliver(sending: Sending, gateway: Gateway, *, take_back: bool) -> StartResult:
    """Call the facility, and record what came of it."""
    calls = Calls(at_once=1, per_facility=1)
    calls.start(sending, gateway.name, sending.function, conf.get('FACILITY_TIMEOUT'))
    call = calls.next()
    if take_back and isinstance(call.error, PROVEN):
        beginnings.take_back(sending.decided.managed, sending.submission.owner)
        raise call.error
    managed, facilities = sending.decided.managed, Facilities()
    try:
        decision, records = send.settle(sending, call.result, call.error, facilities, conf.utc_now())
    except Temporary as error:
        journal.release(sending.claimed)
        lost = sending.submission.state == Submission.State.UNCERTAIN
        return StartResult(
            managed=managed, text=f'{error}{" The next run looks whether it is booked." if lost else ""}', attention=True
        )
    except CadenceError as error:
        journal.stop(managed, State.ATTENTION, str(error), conf.utc_now())
        return StartResult(managed=managed, text=str(error), attention=True)
    journal.release(sending.claimed)
    if not records:
        return StartResult(managed=managed, text=decision.reason, attention=True)
    _ask_first_status(gateway, records)
    ids = ', '.join(record.observation_id for record in records)
    return StartResult(managed=managed, text=f'The cadence has started: observation {ids} is booked at {gateway.name}.')


def _ask_first_status(gateway: Gateway, records: Sequence[ObservationRecord]) -> None:
    """One question after the new observations' states; its failure is harmless."""
    if gateway.updates_itself or not gateway.can_poll:
        return
    calls = Calls(at_once=1, per_facility=1)
    calls.start(None, gateway.name, lambda: [gateway.status(r.observation_id) for r in records], conf.get('FACILITY_TIMEOUT'))
    call = calls.next()
    for record, status in zip(records, call.result or (), strict=False):
        journal.save_status(record, status.state, (status.scheduled_start, status.scheduled_end))


def send_first_again(managed: ManagedCadence, now: datetime) -> StartResult:
    """Send a cadence's first observation again, which the facility does not have.

    Raises NeedsAttention where there is none to send. The cadence is kept, whatever the facility says.
    """
    first = missing_first(managed)
    if first is None:
        raise NeedsAttention('There is no first observation of this cadence to send again.')
    found = send.take([Known(snapshot=snapshot.prepare(managed))])
    if not found:
        raise Temporary('Another process is working on this cadence; try again in a minute.')
    [taken] = found
    try:
        ready = send.prepare_first(first, taken, Facilities(), RunCache(), now)
        [(_, sending)] = send.commit([ready], now)
        if isinstance(sending, CadenceError):
            raise sending
        return _deliver(sending, ready.gateway, take_back=False)
    finally:
        journal.release(taken.claimed)


def missing_first(managed: ManagedCadence) -> Submission | None:
    """The request for the first observation of a cadence that has none, where the facility does not have it."""
    if managed.cadence is None or managed.cadence.observation_group.observation_records.exists():
        return None
    first = Submission.objects.filter(managed=managed, origin__in=Submission.FIRST).order_by('-pk').first()
    return first if first is not None and first.state == Submission.State.REFUSED else None


def start_on_group(group: ObservationGroup, user: Any, strategy: str, parameters: dict[str, Any], now: datetime) -> ManagedCadence:
    """Begin a cadence for a group that exists: its observations are adopted, and nothing is sent now."""
    beginning = NewCadence(owner=user, strategy=strategy, parameters=parameters, name=group.name, target_name='')
    managed = beginnings.create_on_group(group, beginning, now)
    journal.complete([managed])
    return managed


def problem_with(strategy: str, parameters: Mapping[str, Any]) -> str:
    """Why no cadence can be made of this strategy and its parameters, or an empty text."""
    try:
        form_class = registry.strategy_class(strategy).form
        if not hasattr(form_class(), 'cadence_fields'):
            return f'The form of {strategy} does not say which of its fields belong to the cadence (cadence_fields).'
        clean(dict(parameters))
    except NeedsAttention as error:
        return str(error)
    return ''
