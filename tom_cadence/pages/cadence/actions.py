"""What the buttons of a cadence's page do: each verb checks what was posted and calls one function of ``steering``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tom_cadence.exceptions import CadenceError
from tom_cadence.flows import steer
from tom_cadence.journal.states import CREDENTIALS
from tom_cadence.models import ManagedCadence
from tom_cadence.pages.cadence.forms import BookedForm, OwnerForm, parameters_form, parameters_of
from tom_cadence.permissions import Rows, changeable_cadences


@dataclass(frozen=True, kw_only=True)
class ActionResult:
    """What came of it: a sentence, or a form with errors (``form`` under its name) and the panel that shows it."""

    text: str = ''
    ok: bool = True
    panel: str = ''
    form: Any = None


WHY = 'steer_reason'
"""The field in which a person may say why."""
Act = Callable[[ManagedCadence, Any, Mapping[str, Any], datetime], ActionResult]


def act(verb: str, managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    """Do it; KeyError for a verb that does not exist."""
    function = VERBS[verb]
    if managed.cadence is None:
        return ActionResult(text='This cadence was deleted: there is nothing to change any more.', ok=False)
    try:
        return function(managed, user, posted, now)
    except CadenceError as error:
        return ActionResult(text=str(error), ok=False)


def _pause(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    steer.pause(managed, user, now, posted.get(WHY, ''))
    return ActionResult(text='Paused: nothing more is sent until it is resumed. What is booked stays booked.')


def _resume(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    steer.resume(managed, user, now)
    return ActionResult(text='Active again: the next observation is asked for when it is due.')


def _end(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    cancels = posted.get('booked') == 'cancel'
    return ActionResult(text=steer.end(managed, user, now, cancel_booked=cancels, why=posted.get(WHY, '')))


def _run_now(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    return ActionResult(text=steer.run_now(managed, user, now))


def _edit(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    form = parameters_form(managed.host, posted)
    given = parameters_of(form, managed.host)
    if given is None:
        return ActionResult(ok=False, panel='edit', form=form)
    steer.edit(managed, user, given, now, posted.get(WHY, ''))
    return ActionResult(text='The parameters are saved. They count from the next decision on.')


def _owner(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    form = OwnerForm(targets_of(managed), posted)
    if not form.is_valid():
        return ActionResult(ok=False, panel='owner', form=form)
    steer.change_owner(managed, user, form.cleaned_data['owner'], now)
    return ActionResult(text=f'The owner is now {form.cleaned_data["owner"]}.')


def _booked(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    form = BookedForm(posted)
    if not form.is_valid():
        return ActionResult(ok=False, panel='booked', form=form)
    ids = form.cleaned_data['observation_ids']
    return ActionResult(text=steer.confirm_booked(managed, user, ids, now, shown=posted.get('request', '')))


def _send_again(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    return ActionResult(text=steer.confirm_not_booked(managed, user, now, shown=posted.get('request', '')))


def _send_first(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    return ActionResult(text=steer.send_first(managed, user, now))


def _record_again(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    return ActionResult(text=steer.record_again(managed, user, now))


def _ask_anew(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    return ActionResult(text=steer.request_anew(managed, user, now))


def _resume_facility(managed: ManagedCadence, user: Any, posted: Mapping[str, Any], now: datetime) -> ActionResult:
    if not managed.reason_class.startswith(CREDENTIALS):
        return ActionResult(text='This cadence does not wait for credentials.', ok=False)
    many = steer.resume_many(paused_by_same_credentials(managed, user), user, now, after='after the credentials were set right')
    return ActionResult(text=f'{many.done} {"cadence is" if many.done == 1 else "cadences are"} active again.')


def paused_by_same_credentials(managed: ManagedCadence, user: Any) -> Rows:
    """The cadences of the same owner that wait for the same credentials, as far as this user may change them."""
    rows = ManagedCadence.objects.filter(
        state=ManagedCadence.State.ATTENTION, owner=managed.owner, reason_class=managed.reason_class
    ).exclude(cadence=None)
    return changeable_cadences(user, rows)


def targets_of(managed: ManagedCadence) -> set[int]:
    """Primary keys of the targets of its observations."""
    return set(managed.host.observation_group.observation_records.values_list('target', flat=True))


VERBS: dict[str, Act] = {
    'pause': _pause,
    'resume': _resume,
    'end': _end,
    'run-now': _run_now,
    'edit': _edit,
    'owner': _owner,
    'booked': _booked,
    'send-again': _send_again,
    'send-first': _send_first,
    'record-again': _record_again,
    'ask-anew': _ask_anew,
    'resume-facility': _resume_facility,
}
