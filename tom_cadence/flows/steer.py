"""What a person does to a cadence: pause, resume, end, run now, edit, hand over, say what became of a request.

Every function writes a line into the cadence's history that names the user, and raises CadenceError with a sentence where it
cannot be done. Who may do it is asked before (``permissions``). ``run_now`` and ``confirm_not_booked`` send: their views are
``non_atomic_requests``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from tom_cadence import journal, registry
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.parameters import clean
from tom_cadence.engine.run import Run
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities, Gateway
from tom_cadence.facilities.gateway import cancel, is_booked, state_of
from tom_cadence.flows import start
from tom_cadence.journal import notices, states
from tom_cadence.models import CadenceRun, ManagedCadence, Submission
from tom_cadence.permissions import Rows, may_see_all

State = ManagedCadence.State


def cadence_of(pk: int) -> ManagedCadence:
    """The cadence with this number of the toolkit's, which is the one that people know; CadenceError where there is none."""
    managed = ManagedCadence.objects.select_related('cadence', 'owner').filter(cadence=pk).first()
    if managed is None:
        raise CadenceError(f'There is no cadence {pk}.')
    return managed


LONGEST_WHY = 300


def _with_why(what: str, why: str) -> str:
    """A line of the history: what was done, and why, where the person said it."""
    because = ' '.join(bounded_text(why, LONGEST_WHY).split()).rstrip('.')
    return f'{what}: {because}.' if because else f'{what}.'


def pause(managed: ManagedCadence, user: Any, now: datetime, why: str = '') -> None:
    """Send nothing more until it is resumed."""
    reason = _with_why(f'{user} paused it', why)
    states.switch_off(managed, State.PAUSED, reason, now, only=[State.ACTIVE])
    _tell_owner(managed, user, 'paused', reason)


def resume(managed: ManagedCadence, user: Any, now: datetime) -> None:
    """Go on; failures and cancellations so far count no more."""
    states.switch_on(managed, f'{user} resumed it.', now)


def end(managed: ManagedCadence, user: Any, now: datetime, cancel_booked: bool = False, why: str = '') -> str:
    """End it for good; what is still booked stays booked, or is cancelled at the facility too. A sentence of what was done."""
    reason = _with_why(f'{user} ended it', why)
    states.switch_off(managed, State.FINISHED, reason, now, only=[State.ACTIVE, State.PAUSED, State.ATTENTION])
    _tell_owner(managed, user, 'finished', reason)
    parts = ['The cadence has ended.', _settle_booked(managed, user, now, cancel_booked)]
    if Submission.objects.filter(managed=managed, state__in=Submission.OPEN).exists():
        parts.append(f'One request may be at {managed.facility} although no reply arrived: look there.')
    return ' '.join(part for part in parts if part)


def run_now(managed: ManagedCadence, user: Any, now: datetime) -> str:
    """Look at it now instead of at the next turn of cron, and act. A sentence of what was done."""
    fresh = ManagedCadence.objects.select_related('cadence', 'owner').get(pk=managed.pk)
    if fresh.state != State.ACTIVE:
        raise CadenceError(
            f'{fresh} {"needs attention" if fresh.state == State.ATTENTION else f"is {fresh.state}"}: resume it first.'
        )
    journal.note(fresh, CadenceRun.Decision.NOTE, f'{user} had it looked at now.', now)
    states.ask_again(now, pk=fresh.pk)
    fresh.refresh_from_db(fields=['postponed_until'])
    run = Run(clock=lambda: now)
    run.finish(run.begin([fresh]))
    if not run.report.lines:
        return 'There was nothing to do.'
    line = run.report.lines[-1]
    ids = f' Booked: {", ".join(line.observation_ids)}.' if line.observation_ids else ''
    return f'{line.reason}{ids}'


def change_owner(managed: ManagedCadence, user: Any, owner: Any, now: datetime) -> None:
    """Hand it to somebody who is active and may see its targets: their credentials and permissions count from now on."""
    if not owner.is_active:
        raise CadenceError(f'{owner} is not active any more.')
    targets = Target.objects.filter(observationrecord__observationgroup__dynamiccadence=managed.cadence_id).distinct()
    if not may_see_all(owner, targets):
        raise CadenceError(f'{owner} may not see the target of this cadence: give them permission first.')
    if owner != managed.owner:
        states.set_owner(managed, owner, f'{user} handed it from {managed.owner or "nobody"} to {owner}.', now)


def edit(managed: ManagedCadence, user: Any, parameters: Mapping[str, Any], now: datetime, why: str = '') -> None:
    """Change these parameters and keep the others; the line in the history says what was changed."""
    given = {name: value.isoformat() if isinstance(value, (date, datetime)) else value for name, value in parameters.items()}

    def change(before: Any) -> tuple[dict[str, Any], str]:
        old = dict(before) if isinstance(before, dict) else {}
        new = {**old, **given}
        clean(new)
        words = _changes(managed.host.cadence_strategy, old, given)
        return new, _with_why(f'{user} changed {"; ".join(words)}', why) if words else ''

    states.set_parameters(managed, change, now)


def confirm_booked(managed: ManagedCadence, user: Any, ids: Sequence[str], now: datetime, shown: str | None = None) -> str:
    """The request whose reply was lost is at the facility under these ids: record them; what was done, in words.

    ``shown`` is what the page said about the request.
    """
    _check_not_off(managed)
    named = [text.strip() for text in ids if text.strip()]
    if not named:
        raise CadenceError(f'Say under which number {managed.facility} has it.')
    journal.confirm_booked(journal.open_request_of(managed, shown), named, str(user), now)
    return f'Recorded: {", ".join(named)}. {stands(managed)}'


def confirm_not_booked(managed: ManagedCadence, user: Any, now: datetime, shown: str | None = None) -> str:
    """The request whose reply was lost is not at the facility: ask again; what was done, in words.

    A cadence goes on by itself from its observations; one whose first observation it was has none yet, so it is sent now.
    """
    _check_not_off(managed)
    journal.confirm_not_booked(journal.open_request_of(managed, shown), str(user), now)
    if managed.host.observation_group.observation_records.exists() or _state_of(managed) != State.ACTIVE:
        return f'{stands(managed)} The observation is asked for once more at its next run.'
    return start.send_first_again(managed, now).text


def _check_not_off(managed: ManagedCadence) -> None:
    """CadenceError where somebody has paused or ended it: a word about a request, of an older page, is no wish to go on."""
    state = _state_of(managed)
    if state in (State.PAUSED, State.FINISHED):
        raise CadenceError(f'{managed} is {state}: resume it first; its next run finds out what became of the request, or asks.')


def _state_of(managed: ManagedCadence) -> str | None:
    return ManagedCadence.objects.filter(pk=managed.pk).values_list('state', flat=True).first()


def stands(managed: ManagedCadence) -> str:
    """What a cadence is after a person's word on one of its requests."""
    state = _state_of(managed)
    if state == State.ACTIVE:
        return 'The cadence is active again.'
    word = 'still needs attention' if state == State.ATTENTION else f'stays {state}'
    return f'The cadence {word}: resume it, so that it goes on.'


def record_again(managed: ManagedCadence, user: Any, now: datetime) -> str:
    """The observation that was deleted here, or taken out of the group, is wanted: record it again and go on."""
    request = _lost(managed)
    ids = journal.record_again(managed, request, str(user), now)
    return f'Recorded again: {", ".join(ids)}. {stands(managed)}'


def request_anew(managed: ManagedCadence, user: Any, now: datetime) -> str:
    """The observation that was deleted here is not wanted: go on as if it had never been asked for."""
    request = _lost(managed)
    journal.forget_booking(managed, request, str(user), now)
    return f'{stands(managed)} A new observation is asked for at its next run.'


def _lost(managed: ManagedCadence) -> Submission:
    request = journal.lost_booking(managed)
    if request is None:
        raise CadenceError('No observation of this cadence is missing any more: look at the page again.')
    return request


def send_first(managed: ManagedCadence, user: Any, now: datetime) -> str:
    """Send the first observation of a cadence that has none again; what was done, in words."""
    if start.missing_first(managed) is None:
        raise CadenceError('There is no first observation of this cadence to send again.')
    if managed.state != State.ACTIVE:
        states.switch_on(managed, f'{user} had the first observation sent again.', now)
    return start.send_first_again(ManagedCadence.objects.select_related('cadence', 'owner').get(pk=managed.pk), now).text


@dataclass(frozen=True, kw_only=True)
class BulkResult:
    """What became of many cadences: how many were changed, and how many were left as they were."""

    done: int
    left: int


def pause_many(rows: Rows, user: Any, now: datetime, where: str = '') -> BulkResult:
    """Pause those of ``rows`` (all of them the user may change) that are active."""
    pks = list(rows.order_by('pk').values_list('pk', flat=True))
    reason = f'{user} paused {where or "it, with others"}.'
    done = states.pause_many(pks, reason, now)
    _tell_owners(done, user, reason)
    return BulkResult(done=len(done), left=len(pks) - len(done))


def resume_many(rows: Rows, user: Any, now: datetime, after: str = '') -> BulkResult:
    """Resume those of ``rows`` (all of them the user may change) that are paused or need attention."""
    pks = list(rows.order_by('pk').values_list('pk', flat=True))
    done = states.resume_many(pks, f'{user} resumed it{after and " "}{after}.', now)
    return BulkResult(done=len(done), left=len(pks) - len(done))


def _tell_owner(managed: ManagedCadence, user: Any, event: str, reason: str) -> None:
    if managed.owner is not None and managed.owner != user:
        notices.tell_owner(managed, event, reason)


def _tell_owners(pks: Sequence[int], user: Any, reason: str) -> None:
    """One notice for each other owner."""
    others: dict[Any, list[ManagedCadence]] = {}
    for first in range(0, len(pks), states.CHUNK):
        rows = ManagedCadence.objects.filter(pk__in=pks[first : first + states.CHUNK], owner__isnull=False)
        for managed in rows.exclude(owner=user.pk).select_related('owner'):
            others.setdefault(managed.owner, []).append(managed)
    for stopped in others.values():
        notices.tell_about_pause(stopped, reason)


@dataclass(kw_only=True)
class _Booked:
    """What became of what was still booked when a cadence ended."""

    kept: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def _settle_booked(managed: ManagedCadence, user: Any, now: datetime, cancel_too: bool) -> str:
    """Cancel what is still booked, or only say what it is."""
    facilities, found = Facilities(), _Booked()
    for record in managed.host.observation_group.observation_records.all():
        try:
            gateway = facilities.gateway(record.facility, managed.owner)
            waiting = is_booked(gateway, record.status)
        except Exception as error:  # the facility is configured no more, or has no credentials: said, not hidden
            found.refused.append(f'{record.observation_id} ({bounded_text(error)})')
            continue
        if waiting and not cancel_too:
            found.kept.append(record.observation_id)
        elif waiting:
            problem = _cancelled(record, gateway)
            found.refused += [f'{record.observation_id} ({problem})'] if problem else []
            found.cancelled += [] if problem else [record.observation_id]
    text = ' '.join(_sentences(managed.facility, found, cancel_too))
    if found.cancelled or (found.refused and cancel_too):
        journal.note(managed, CadenceRun.Decision.NOTE, f'{user}: {text}', now)
    return text


def cancel_one(record: ObservationRecord, user: Any) -> str:
    """Cancel one observation at its facility as this user: an empty text where it did, else why not."""
    try:
        gateway = Facilities().gateway(record.facility, user)
    except CadenceError as error:
        return str(error)
    return _cancelled(record, gateway)


def _cancelled(record: ObservationRecord, gateway: Gateway) -> str:
    problem = cancel(gateway, record.observation_id)
    status = None if problem else state_of(gateway, record.observation_id)
    if status is not None:
        schedule = (status.scheduled_start, status.scheduled_end) if status.has_schedule else None
        journal.save_status(record, status.state, schedule)
    return problem


def _sentences(facility: str, found: _Booked, cancel_too: bool) -> Iterator[str]:
    if found.cancelled:
        yield f'Cancelled at {facility}: {", ".join(found.cancelled)}.'
    if found.refused and cancel_too:
        yield f'Not cancelled, so perhaps still booked: {"; ".join(found.refused)}'
    elif found.kept or found.refused:
        yield f'Still booked at {facility}: {", ".join(found.kept + found.refused)}.'


def _changes(strategy: str, old: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What differs, in the words of the strategy's form."""
    fields = getattr(registry.strategies().get(strategy), 'form', None)
    labels = {name: field.label for name, field in fields.base_fields.items()} if fields is not None else {}
    return [
        f'{(labels.get(name) or name.replace("_", " ")).lower()} from {_shown(old.get(name))} to {_shown(value)}'
        for name, value in given.items()
        if (old.get(name) or None) != (value or None)
    ]


def _shown(value: Any) -> str:
    return 'empty' if value in (None, '') else str(value)
