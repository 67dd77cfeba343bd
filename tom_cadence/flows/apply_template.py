"""Applying an observation template to many targets: check all, send a few at a time, never one twice.

Each target is a row; what precedes sending is written there. Then it has an observation request, which goes the way of all
others (``engine.send``): committed before the facility is called, by one process only, looked up where its reply was lost.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from tom_cadence import conf
from tom_cadence.core.template_fields import for_target, in_words
from tom_cadence.core.windows import Window
from tom_cadence.engine import send
from tom_cadence.exceptions import CadenceError, Credentials, NeedsAttention, Refused, Temporary
from tom_cadence.facilities import Calls, Facilities, Gateway
from tom_cadence.facilities.calls import Call
from tom_cadence.facilities.movement import Verdict, movement
from tom_cadence.facilities.user_forms import CheckedForm, check
from tom_cadence.flows.start import check_sky
from tom_cadence.journal import Intent, recorded, request_mark
from tom_cadence.journal import templates as journal
from tom_cadence.models import Submission, TemplateApplication, TemplateTask
from tom_cadence.permissions import startable_targets, visible_cadences, visible_records, visible_targets
from tom_followup.failpoints import CadencePoint, reach

State = TemplateTask.State
FEW = 3
logger = logging.getLogger(__name__)


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
        journal.hold(application, in_words(str(error)))
        raise


def _allowed(application: TemplateApplication, tasks: Sequence[TemplateTask]) -> set[int]:
    """What each target needs: to be seen, and with a cadence what starting one needs."""
    rows = (startable_targets if application.strategy else visible_targets)(application.owner)
    return set(rows.filter(pk__in=[task.target_id for task in tasks]).values_list('pk', flat=True))


def _check(task: TemplateTask, application: TemplateApplication, gateway: Gateway, allowed: set[int], now: datetime) -> None:
    try:
        asked = _ask(task, application, gateway, allowed, now)
    except Refused as error:
        journal.note_check(task, State.INVALID, in_words(str(error)))
    else:
        journal.note_check(
            task, State.READY, 'The check found nothing wrong.', ' '.join(_warnings(task, application, gateway, asked.window))
        )


def _ask(task: TemplateTask, application: TemplateApplication, gateway: Gateway, allowed: set[int], now: datetime) -> CheckedForm:
    if task.target_id not in allowed:
        may = 'start a cadence of it' if application.strategy else 'see it'
        raise Refused(f'The target is gone, or whoever applied the template may not {may}.')
    # by the row, which knows what the target was merged into
    asked = check(gateway, application.observation_type, {**task.data, 'target_id': [str(task.target_id)]})
    if asked.window is not None and asked.window.end <= now:
        raise Refused('The observing window is over.')
    if application.strategy and asked.window is None:
        raise Refused(f'The form of {gateway.name} asks for no observing window: start this cadence on the page that starts one.')
    if application.strategy and asked.window is not None and task.state == State.NEW:
        moves = movement(gateway, asked.parameters, asked.window)
        if moves.verdict is Verdict.STAYS:
            raise Refused(moves.reason)
        if down := check_sky(gateway, task.target, application.cadence_parameters, asked.window, asked.parameters, now):
            raise Refused(down)
    return asked


def _warnings(task: TemplateTask, application: TemplateApplication, gateway: Gateway, window: Window | None) -> list[str]:
    """What a person should know before it is booked: an observation in the same window, a cadence that is running."""
    found = []
    rows = visible_records(application.owner).filter(target=task.target_id, facility=application.facility)
    for record in rows.order_by('-pk')[:50]:
        if window is None or record.status in gateway.terminal:
            continue
        other = gateway.window_or_none(record.parameters)
        if other is not None and other.start < window.end and window.start < other.end:
            found.append(f'It already has an observation in this window ({record.observation_id}).')
            break
    running = visible_cadences(application.owner).filter(
        cadence__active=True, cadence__observation_group__observation_records__target=task.target_id
    )
    if application.strategy and running.exists():
        found.append('It already has a cadence.')
    return found


def send_some(application: TemplateApplication, now: datetime, most: int = FEW) -> None:
    """Settle what is open, then send the next few that are ready, and record what became of them."""
    facilities = Facilities()
    settle_open(application, now, facilities)
    ready = application.tasks.filter(state=State.READY, request=None).order_by('pk')
    tasks = list(ready[:most]) if application.confirmed else []
    if not tasks:
        return
    calls = Calls(most, min(most, conf.get('FACILITY_CALLS')))
    try:
        gateway = gateway_of(application, facilities)
        allowed = _allowed(application, tasks)
        for task in tasks:
            _start(task, application, gateway, allowed, calls, now)
    except (Temporary, Credentials, NeedsAttention) as error:
        journal.hold(application, in_words(str(error)))
    for call in calls.ended():
        _settle(cast(Submission, call.key), application, call, facilities)


def _start(
    task: TemplateTask, application: TemplateApplication, gateway: Gateway, allowed: set[int], calls: Calls, now: datetime
) -> None:
    try:
        asked = _ask(task, application, gateway, allowed, now)
    except Refused as error:
        journal.note_check(task, State.INVALID, in_words(str(error)))
        return
    name = str(asked.parameters.get('name') or '') if application.strategy else ''
    intent = Intent(
        cause=task.cause,
        # by the key of the form, which no other application has, whatever number it gets
        token=request_mark('template', application.key, str(task.target_id)),
        facility=gateway.name,
        target=task.target_id,
        owner=application.owner,
        parameters=asked.parameters,
        window=asked.window,
        origin=Submission.Origin.TEMPLATE,
        groups=list(application.groups.all()),
        afterwards={
            'name': name or application.template_name,
            'strategy': application.strategy,
            'parameters': application.cadence_parameters,
        },
    )
    payload = gateway.mark(asked.payload, intent.token)
    last = send.patience()
    reach(CadencePoint.PREPARED)
    request = journal.open_task_request(task, intent, now)
    if request is not None:
        again = request.token if request.attempt > 1 else ''
        calls.start(request, gateway.name, send.call_for(gateway, payload, last, again, now), conf.get('FACILITY_TIMEOUT'))


def _settle(request: Submission, application: TemplateApplication, call: Call, facilities: Facilities) -> None:
    now = conf.utc_now()
    try:
        known = recorded(request.facility, call.result or ())
        if send.conclude(request, call.result, call.error, known, '', now) is None:
            send.look_up(request, facilities, now)
    except (Temporary, Credentials) as error:
        journal.hold(application, in_words(str(error)))
    except CadenceError as error:
        logger.info('%s: %s', request, error, extra={'event': 'template_request', 'request': request.pk})


def settle_open(application: TemplateApplication, now: datetime, facilities: Facilities | None = None) -> None:
    """Find out what became of those whose reply was lost. One that may still be on its way is left alone."""
    requests = Submission.objects.filter(task__application=application)
    send.look_up_open(requests, facilities or Facilities(), now)


def can_look_up(application: TemplateApplication) -> bool:
    """Whether the facility can be asked for an observation whose reply was lost."""
    try:
        return gateway_of(application).can_look_up
    except CadenceError:
        return False
