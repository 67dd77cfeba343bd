"""Applying an observation template to many targets: check all, send a few at a time, never one twice.

Each target is a row. It is written as being sent, and committed, before the facility is called; only one process can do that.
A reply that was lost is looked up at the facility; where that cannot be, the row waits for a person's word.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tom_cadence import conf
from tom_cadence.core.template_fields import for_target, in_words
from tom_cadence.core.windows import Window, read_window
from tom_cadence.exceptions import BadWindow, CadenceError, Credentials, NeedsAttention, Refused, Temporary
from tom_cadence.facilities import Calls, Facilities, Gateway
from tom_cadence.facilities.calls import Call, NotAsked
from tom_cadence.facilities.forms_user import CheckedForm, check
from tom_cadence.journal import templates
from tom_cadence.models import TemplateApplication, TemplateTask, make_token
from tom_cadence.permissions import startable_targets, visible_cadences, visible_records, visible_targets
from tom_followup.failpoints import CadencePoint, reach

State = TemplateTask.State
FEW = 3
BEFORE_SENDING = (State.NEW, State.READY, State.INVALID, State.REFUSED)


def data_for(posted: Mapping[str, Sequence[str]], target: Any) -> dict[str, list[str]]:
    """What the facility's form gets for one target: what was filled in, with the target and its name in their places."""
    data = {key: [for_target(value, target.name) for value in values] for key, values in posted.items()}
    return {**data, 'target_id': [str(target.pk)]}


def gateway_of(application: TemplateApplication, facilities: Facilities | None = None) -> Gateway:
    """The facility, for the one who applied the template; NeedsAttention where it is configured no more."""
    if application.owner is None or not application.owner.is_active:
        raise NeedsAttention('Whoever applied this template has no account here any more.')
    return (facilities or Facilities()).gateway(application.facility, application.owner)


def check_some(application: TemplateApplication, now: datetime, most: int = FEW) -> None:
    """Ask form and facility whether the next few targets would be accepted; nothing is booked."""
    tasks = list(application.tasks.filter(state=State.NEW).order_by('pk')[:most])
    if not tasks:
        return
    try:
        gateway = gateway_of(application)
        allowed = _allowed(application, tasks)
        for task in tasks:
            _check(task, application, gateway, allowed, now)
    except (Temporary, Credentials, NeedsAttention) as error:
        templates.hold(application, in_words(str(error)))
        raise


def _allowed(application: TemplateApplication, tasks: Sequence[TemplateTask]) -> set[int]:
    """What each target needs: to be seen, and with a cadence what starting one needs."""
    rows = (startable_targets if application.strategy else visible_targets)(application.owner)
    return set(rows.filter(pk__in=[task.target_id for task in tasks]).values_list('pk', flat=True))


def _check(task: TemplateTask, application: TemplateApplication, gateway: Gateway, allowed: set[int], now: datetime) -> None:
    try:
        asked = _ask(task, application, gateway, allowed, now)
    except Refused as error:
        templates.note_check(task, State.INVALID, in_words(str(error)))
    else:
        templates.note_check(
            task, State.READY, 'The check found nothing wrong.', ' '.join(_warnings(task, application, gateway, asked.window))
        )


def _ask(task: TemplateTask, application: TemplateApplication, gateway: Gateway, allowed: set[int], now: datetime) -> CheckedForm:
    if task.target_id not in allowed:
        may = 'start a cadence of it' if application.strategy else 'see it'
        raise Refused(f'The target is gone, or whoever applied the template may not {may}.')
    asked = check(gateway, application.observation_type, task.data)
    if asked.window is not None and asked.window.end <= now:
        raise Refused('The observing window is over.')
    return asked


def _warnings(task: TemplateTask, application: TemplateApplication, gateway: Gateway, window: Window | None) -> list[str]:
    """What a person should know before it is booked: an observation in the same window, a cadence that is running."""
    found = []
    rows = visible_records(application.owner).filter(target=task.target_id, facility=application.facility)
    for record in rows.order_by('-pk')[:50]:
        if (
            window is not None
            and (record.status not in gateway.facility.get_terminal_observing_states())
            and _overlaps(record.parameters, gateway.keywords, window)
        ):
            found.append(f'It already has an observation in this window ({record.observation_id}).')
            break
    running = visible_cadences(application.owner).filter(
        cadence__active=True, cadence__observation_group__observation_records__target=task.target_id
    )
    if application.strategy and running.exists():
        found.append('It already has a cadence.')
    return found


def _overlaps(parameters: Any, keywords: tuple[str, str], window: Window) -> bool:
    start, end = keywords
    try:
        other = read_window(parameters.get(start), parameters.get(end))
    except (AttributeError, BadWindow):
        return False
    return other.start < window.end and window.start < other.end


def send_some(application: TemplateApplication, now: datetime, most: int = FEW) -> None:
    """Settle what is open, then send the next few that are ready, and record what became of them."""
    facilities = Facilities()
    settle_open(application, now, facilities)
    tasks = list(application.tasks.filter(state=State.READY).order_by('pk')[:most]) if application.confirmed else []
    if not tasks:
        return
    calls = Calls(most, min(most, conf.get('FACILITY_CALLS')))
    sending: dict[Any, TemplateTask] = {}
    try:
        gateway = gateway_of(application, facilities)
        allowed = _allowed(application, tasks)
        for task in tasks:
            if _start(task, application, gateway, allowed, calls, now):
                sending[task.pk] = task
    except (Temporary, Credentials, NeedsAttention) as error:
        templates.hold(application, in_words(str(error)))
    for call in calls.ended():
        _settle(sending[call.key], application, call, facilities)


def _start(
    task: TemplateTask, application: TemplateApplication, gateway: Gateway, allowed: set[int], calls: Calls, now: datetime
) -> bool:
    try:
        asked = _ask(task, application, gateway, allowed, now)
    except Refused as error:
        templates.note_check(task, State.INVALID, in_words(str(error)))
        return False
    token = make_token()
    payload = gateway.mark(asked.payload, token)
    last = time.time() + conf.get('FACILITY_TIMEOUT') / 2
    reach(CadencePoint.PREPARED)
    if not templates.begin(task, token, asked.parameters, now):
        return False
    reach(CadencePoint.INTENT_COMMITTED)
    calls.start(task.pk, gateway.name, _send(gateway, payload, last), conf.get('FACILITY_TIMEOUT'))
    return True


def _send(gateway: Gateway, payload: Any, last: float) -> Callable[[], list[str]]:
    """The call itself; a process that slept too long after its intent sends nothing, for it may have been judged since."""

    def send() -> list[str]:
        if time.time() > last:
            raise Temporary('This process was held up before sending, so it did not send.')
        reach(CadencePoint.SENDING)
        return gateway.submit(payload)

    return send


def _settle(task: TemplateTask, application: TemplateApplication, call: Call, facilities: Facilities) -> None:
    now = conf.utc_now()
    error = call.error
    if error is not None and not isinstance(error, Exception):
        raise error
    reach(CadencePoint.REPLIED)
    if error is None:
        _book(task, call.result, '', now)
    elif isinstance(error, Refused):
        templates.turn_back(task, State.REFUSED, in_words(str(error)), now)
    elif isinstance(error, (Temporary, Credentials, NotAsked)):
        templates.turn_back(task, State.READY, in_words(str(error)), now)
        templates.hold(application, in_words(str(error)))
    elif isinstance(error, NeedsAttention):
        templates.turn_back(task, State.INVALID, in_words(str(error)), now)
    else:
        known = isinstance(error, CadenceError)
        text = str(error) if known else f'It is not known whether {application.facility} booked it: {error}'
        text = in_words(text)
        templates.mark_unknown(task, text, now)
        task.state, task.message, task.closed = State.UNCERTAIN, text, now
        _look_up(task, application, facilities, now)


def _book(task: TemplateTask, ids: Sequence[str], message: str, now: datetime) -> None:
    try:
        templates.book(task, ids, now, message)
    except NeedsAttention as error:
        templates.mark_unknown(task, str(error), now)
    reach(CadencePoint.ACCEPTED)


def settle_open(application: TemplateApplication, now: datetime, facilities: Facilities | None = None) -> None:
    """Find out what became of those whose reply was lost. One that may still be on its way is left alone."""
    facilities = facilities or Facilities()
    over = timedelta(seconds=2 * conf.get('FACILITY_TIMEOUT'))
    for task in application.tasks.filter(state__in=TemplateTask.OPEN).order_by('pk'):
        if task.state == State.SENDING:
            if task.sent is None or now < task.sent + over:
                continue
            templates.mark_unknown(task, f'The reply of {application.facility} was lost.', now)
        _look_up(task, application, facilities, now)


def _look_up(task: TemplateTask, application: TemplateApplication, facilities: Facilities, now: datetime) -> None:
    """Ask the facility for the mark that was sent along; "not found" is believed only after the time to settle."""
    try:
        gateway = gateway_of(application, facilities)
        if not gateway.can_look_up:
            return
        found = gateway.find(task.token, task.sent or now)
    except CadenceError:
        return  # it stays unknown, and is looked up again
    reach(CadencePoint.LOOKED_UP)
    call = timedelta(seconds=conf.get('FACILITY_TIMEOUT'))
    sent = task.sent or now
    if found:
        _book(task, found, f'The reply was lost; found at {application.facility}.', now)
    elif now >= max(task.closed or sent, sent + call) + conf.seconds('SETTLE_TIME'):
        templates.turn_back(task, State.READY, f'It never arrived at {application.facility}, so it may be sent.', now)


def can_look_up(application: TemplateApplication) -> bool:
    """Whether the facility can be asked for an observation whose reply was lost."""
    try:
        return gateway_of(application).can_look_up
    except CadenceError:
        return False


def say_booked(task: TemplateTask, ids: Sequence[str], by: str, now: datetime) -> None:
    """A person found it at the facility: record it. CadenceError where nothing is unknown, or the id is another's."""
    if task.state != State.UNCERTAIN:
        raise CadenceError('This target has no observation whose fate is unknown.')
    if not ids:
        raise CadenceError('Give the ID that the facility shows for it.')
    templates.book(task, ids, now, f'{by} found it at {task.application.facility}.')


def say_not_there(task: TemplateTask, by: str, now: datetime) -> None:
    """A person looked, and the facility does not have it: it may be sent again."""
    if task.state != State.UNCERTAIN:
        raise CadenceError('This target has no observation whose fate is unknown.')
    templates.turn_back(task, State.READY, f'{by} said that {task.application.facility} does not have it.', now)


def settle_everything(now: datetime) -> None:
    """Look up every lost reply of every application, for cron."""
    rows = TemplateApplication.objects.filter(tasks__state__in=TemplateTask.OPEN).select_related('owner').distinct()
    facilities = Facilities()
    for application in rows:
        settle_open(application, now, facilities)
