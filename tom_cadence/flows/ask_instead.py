"""Changing what a cadence asks for, from its next request on: filled in by a person, checked by the facility, previewed, kept.

Every function raises CadenceError with a sentence where it cannot be done. Who may do it is asked before (``permissions``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from tom_cadence import journal
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.exposure import SENT, SENT_WORDS, before_sending, exposure_seconds
from tom_cadence.core.policy import Instead
from tom_cadence.core.template_fields import is_kept, whole
from tom_cadence.core.windows import Window
from tom_cadence.engine import snapshot
from tom_cadence.engine.decide import runs_itself
from tom_cadence.exceptions import BadWindow, CadenceError, NeedsAttention, NotYet
from tom_cadence.facilities import Facilities, Gateway, user_forms
from tom_cadence.facilities.forms import observation_type
from tom_cadence.journal import notices
from tom_cadence.journal.waits import shown
from tom_cadence.models import ManagedCadence, Submission
from tom_cadence.permissions import Rows, visible_records, visible_targets
from tom_followup.labels import label

DAY = timedelta(days=1)
LONGEST_REASON = 300
BLANK: tuple[Any, ...] = (None, '', [], (), False)
PROPOSAL = 'proposal'


@dataclass(frozen=True, kw_only=True)
class AskedNow:
    """What a cadence would ask for now; ``window`` as long as the last one, from now on. ``shown``: see ``journal.waits``."""

    managed: ManagedCadence
    gateway: Gateway
    kind: str
    target: int
    parameters: Mapping[str, Any]
    window: Window
    shown: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field, before and after, as people read it."""

    label: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """What would be asked for in its place; ``not_yet`` where the facility takes it later only."""

    fields: Mapping[str, Any]
    differences: Sequence[Difference]
    seconds: tuple[float | None, float | None]
    payload: Any = None
    not_yet: str = ''


def asked_now(managed: ManagedCadence, user: Any, now: datetime, facilities: Facilities | None = None) -> AskedNow:
    """What it would ask for, with the credentials of its owner. NeedsAttention where this user may not see that, or nobody can."""
    if managed.owner is None:
        raise NeedsAttention('Nobody owns this cadence: choose an owner first, whose proposals are offered then.')
    if runs_itself(snapshot.prepare(managed).strategy):
        raise NeedsAttention('The strategy of this cadence asks for observations itself: what it asks for is changed there.')
    facility, target, parameters, record = _last(managed)
    gateway = (facilities or Facilities()).gateway(facility, managed.owner)
    if not visible_targets(user, Target.objects.filter(pk=target)).exists():
        raise NeedsAttention('You may not see the target of this cadence any more.')
    asked = ObservationRecord.objects.filter(pk=record)
    if record and not (visible_records(user, asked).exists() or asked.filter(user=user.pk).exists()):
        raise NeedsAttention('You may not see the newest observation of this cadence.')
    effective = Instead.of(managed.asked_instead).over(before_sending(parameters), record)
    try:
        window = gateway.window(parameters).starting(now)
    except BadWindow:
        window = Window(start=now, end=now + DAY)
    return AskedNow(
        managed=managed,
        gateway=gateway,
        kind=observation_type(effective),
        target=target,
        parameters=effective,
        window=window,
        shown=shown(managed),
    )


def _last(managed: ManagedCadence) -> tuple[str, int, dict[str, Any], int]:
    """Facility, target, parameters and number of the newest record; of the first request where there is none yet."""
    rows = ObservationRecord.objects.filter(observationgroup=managed.host.observation_group_id)
    record = rows.order_by('-created', '-pk').first()
    if record is not None and isinstance(record.parameters, dict):
        return record.facility, record.target_id, record.parameters, record.pk
    first = Submission.objects.filter(managed=managed, origin__in=Submission.FIRST).exclude(target=None).order_by('-pk').first()
    if first is None or first.target_id is None:
        raise NeedsAttention('This cadence has no observation yet whose parameters could be changed.')
    return first.facility, first.target_id, first.parameters, 0


def check(asked: AskedNow, filled_in: Mapping[str, Any]) -> Change:
    """What the facility says to these values of its form, and what differs. Refused with the errors of the form, or the portal.

    A refusal that passes with the season is no error: what is asked for may be changed before.
    """
    known = {name: value for name, value in asked.parameters.items() if not is_kept(name, asked.gateway.keywords)}
    cadence = {name: value for name, value in asked.parameters.items() if name.startswith('cadence_')}
    data = {**filled_in, **cadence, **known, 'facility': asked.gateway.name, 'target_id': asked.target}
    not_yet = ''
    try:
        prepared = asked.gateway.prepare(data, asked.window, {})
    except NotYet as error:
        prepared, not_yet = asked.gateway.prepare(data, asked.window, {}, asks=False), str(error)
    found = prepared.parameters
    after = {name: value for name, value in found.items() if _counts(name, asked) and whole(name, found) == name}
    defaults = _defaults(asked)
    fields = {
        name: value
        for name, value in after.items()
        if not _same(asked.parameters.get(name), value)
        and not (asked.parameters.get(name) in BLANK and name in defaults and _same(defaults[name], value))
    }
    return Change(
        fields=fields,
        differences=[
            Difference(label=label(name), old=_words(asked.parameters.get(name)), new=_words(value))
            for name, value in fields.items()
        ],
        seconds=(exposure_seconds(asked.parameters), exposure_seconds(prepared.parameters)),
        payload=prepared.payload,
        not_yet=not_yet,
    )


def _defaults(asked: AskedNow) -> dict[str, Any]:
    """What the form sends of itself for fields that nobody touched: no change, where nothing was asked for before."""
    found = {}
    for name, field in user_forms.empty_form(asked.gateway, asked.kind, {'target_id': asked.target}).fields.items():
        choices = getattr(field, 'choices', None)
        first = next((key for key, _ in choices), None) if choices is not None and field.initial is None else field.initial
        found[name] = first() if callable(first) else first
    return found


def _counts(name: str, asked: AskedNow) -> bool:
    return is_kept(name, asked.gateway.keywords) and not name.startswith('cadence_') and name not in (SENT, SENT_WORDS)


def _same(old: Any, new: Any) -> bool:
    """Forms give numbers where a page gave texts, and nothing in several ways."""
    if old in BLANK and new in BLANK:
        return True
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and len(old) == len(new):
        return all(_same(a, b) for a, b in zip(old, new, strict=True))
    try:
        return float(old) == float(new)
    except (TypeError, ValueError):
        return bool(str(old) == str(new))


def _words(value: Any) -> str:
    if value in BLANK:
        return 'nothing'
    if isinstance(value, (list, tuple)):
        return ', '.join(_words(each) for each in value)
    return 'yes' if str(value) == 'True' else f'{value:g}' if isinstance(value, float) else bounded_text(value, 100)


def change(
    asked: AskedNow, found: Change, reason: str, user: Any, now: datetime, given: str | None = None, *, tells: bool = True
) -> str:
    """Keep it, with a line in the history that says who changed which fields, and why; what was done, in words.

    Who may see the cadence reads the history: the values, such as the code of a proposal, are told to its owner alone, where
    somebody else changed them and it ``tells``.
    """
    if not found.differences:
        raise CadenceError('That is what is asked for already: nothing was changed.')
    why = bounded_text(reason, LONGEST_REASON)
    if not why:
        raise CadenceError('Say why: the reason stands in the history of the cadence.')
    names = ', '.join(each.label for each in found.differences)
    changes = '; '.join(f'{each.label} from {each.old} to {each.new}' for each in found.differences)
    line = f'From the next request on, what is asked for was changed by {user}: {names}. Reason: {why}'
    told = f'From the next request on, {user} asks for: {changes}. Reason: {why}'
    journal.ask_instead(
        asked.managed, found.fields, line, now, given, for_owner=told if tells and user != asked.managed.owner else ''
    )
    return 'From the next request on it asks for what you filled in. What is booked already stays as it is.'


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What became of one cadence that was to be moved to another proposal."""

    managed: ManagedCadence
    moved: bool
    text: str


def proposals(rows: Rows, user: Any, now: datetime) -> tuple[list[tuple[str, str]], list[str]]:
    """The proposals that the facility's form offers to the owners of all these cadences, and what is wrong with some of them."""
    facilities, offers = Facilities(), ProposalOffers()
    troubles: list[str] = []
    for managed in rows.select_related('cadence', 'owner').order_by('pk'):
        try:
            offers.to(asked_now(managed, user, now, facilities))
        except CadenceError as error:
            troubles.append(f'Cadence {managed.host_cadence_id}: {error}')
    offered = offers.all
    common = [key for key in offered[0] if all(key in each for each in offered)] if offered else []
    return [(key, offered[0][key]) for key in common], troubles


class ProposalOffers:
    """The proposals of facilities' forms: each form is asked once for each owner, also where it does not answer."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._found: dict[tuple[Any, ...], dict[str, str] | CadenceError] = {}

    def to(self, asked: AskedNow) -> dict[str, str]:
        """What is offered to the owner of this cadence; raises what the form raised."""
        who = (asked.managed.owner_id, asked.gateway.name, asked.kind)
        if who not in self._found:
            try:
                self._found[who] = _offered(asked)
            except CadenceError as error:
                self._found[who] = error
        found = self._found[who]
        if isinstance(found, CadenceError):
            raise found
        return found

    @property
    def all(self) -> list[dict[str, str]]:
        """All that was offered."""
        return [found for found in self._found.values() if not isinstance(found, CadenceError)]


def _offered(asked: AskedNow) -> dict[str, str]:
    """The proposals of the facility's form for this owner."""
    form = user_forms.empty_form(asked.gateway, asked.kind, {'target_id': asked.target})
    choices = getattr(form.fields.get(PROPOSAL), 'choices', None)
    if choices is None:
        raise NeedsAttention(f'The form of {asked.gateway.name} asks for no proposal.')
    return {str(key): str(words) for key, words in choices if key not in (*BLANK, 0)}


def move(rows: Rows, proposal: str, reason: str, user: Any, now: datetime) -> Iterator[Moved]:
    """Let each of these cadences ask for the proposal from its next request on; what stands in the way of one touches no other.

    An owner whose cadences somebody else moved is told once, when all were tried.
    """
    facilities, offers = Facilities(), ProposalOffers()
    others: dict[Any, list[ManagedCadence]] = {}
    for managed in rows.select_related('cadence', 'owner').order_by('pk'):
        try:
            asked = asked_now(managed, user, now, facilities)
            text = _move(asked, proposal, offers.to(asked), reason, user, now)
        except CadenceError as error:
            yield Moved(managed=managed, moved=False, text=str(error))
            continue
        if managed.owner != user:
            others.setdefault(managed.owner, []).append(managed)
        yield Moved(managed=managed, moved=True, text=text)
    for owner, moved in others.items():
        why, names = bounded_text(reason, LONGEST_REASON), '\n'.join(f'- {managed}' for managed in moved)
        notices.tell(owner, 'Another proposal', f'{user} lets these cadences ask for {proposal}. Reason: {why}\n{names}', moved)


def _move(asked: AskedNow, proposal: str, offered: Mapping[str, str], reason: str, user: Any, now: datetime) -> str:
    if proposal not in offered:
        raise CadenceError(
            f'{asked.gateway.name} does not offer the proposal {bounded_text(proposal, 60)} to {asked.managed.owner}.'
        )
    old = asked.parameters.get(PROPOSAL)
    seconds = exposure_seconds(asked.parameters)
    differences = [Difference(label='Proposal', old=_words(old), new=proposal)] if str(old) != proposal else []
    found = Change(fields={PROPOSAL: proposal}, differences=differences, seconds=(seconds, seconds))
    change(asked, found, reason, user, now, asked.shown, tells=False)
    return f'From {_words(old)} to {proposal}, from the next request on.'
