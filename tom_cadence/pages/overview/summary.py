"""What the list of cadences shows of each: a constant number of statements for the rows of one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Case, Count, Exists, IntegerField, Max, OuterRef, Value, When
from django.db.models.fields.json import KT
from tom_observations.models import ObservationRecord

from tom_cadence import conf, registry
from tom_cadence.core.exposure import SENT, exposure_seconds, what_is_observed
from tom_cadence.core.history import Outcome
from tom_cadence.core.policy import Instead
from tom_cadence.core.template_fields import in_words
from tom_cadence.core.windows import Window
from tom_cadence.facilities import Facilities
from tom_cadence.models import ManagedCadence, Submission
from tom_cadence.permissions import UNSEEN, Rows, targets_seen_whole, visible_records, visible_targets

State = ManagedCadence.State
#: What a person has to see first comes first.
URGENCY = (State.ATTENTION, State.ACTIVE, State.PAUSED, State.FINISHED)
LONGEST_REASON = 120


@dataclass(kw_only=True)
class CadenceSummary:
    """One cadence in the list, beside its own row. ``next_words`` is the prefix of ``next_when``: starts, ends, next check."""

    target: str = ''
    done: int = 0
    failed: int = 0
    waiting: int = 0
    others: int = 0
    result: Outcome | None = None
    result_when: datetime | None = None
    next_action: str = ''
    next_words: str = ''
    next_when: datetime | None = None
    newest: dict[Outcome, int] = field(default_factory=dict)
    newest_at_all: int = 0
    observed: str = ''
    seconds_asked: float = 0.0
    seconds_used: float = 0.0


def by_urgency(rows: Rows) -> Rows:
    """Those that need attention first, then the active ones; the youngest first."""
    return rows.annotate(urgency=rank('state', URGENCY)).order_by('urgency', '-pk')


def rank(name: str, order: Sequence[str]) -> Case:
    """The place of a field's value in ``order``, for sorting."""
    places = [When(**{name: value}, then=Value(place)) for place, value in enumerate(order)]
    return Case(*places, default=Value(len(order)), output_field=IntegerField())


def summarise(rows: Sequence[ManagedCadence], user: Any, now: datetime) -> None:
    """Give each of these cadences (of one page) its ``summary``: a constant number of statements for all of them."""
    facilities = Facilities()
    found = {row.pk: CadenceSummary(target=row.target_name) for row in rows}
    _count(rows, found, facilities)
    wanted = {pk for summary in found.values() for pk in (*summary.newest.values(), summary.newest_at_all) if pk}
    read = ObservationRecord.objects.select_related('target')
    if not settings.TARGET_PERMISSIONS_ONLY:
        read = read.annotate(may_see=Exists(visible_records(user, ObservationRecord.objects.filter(pk=OuterRef('pk')))))
    records: dict[int, Any] = read.in_bulk(wanted) if wanted else {}
    asked = Submission.objects.filter(managed__in=found, state__in=Submission.OPEN).order_by('pk')
    open_requests: dict[int, Any] = dict(asked.values_list('managed_id', 'target_id'))
    targets = {*(each.target_id for each in records.values()), *open_requests.values()}
    seen = set(visible_targets(user).filter(pk__in=targets - {None}).values_list('pk', flat=True))
    # whose ID, and with what, is shown
    numbered = {pk for pk, each in records.items() if getattr(each, 'may_see', each.target_id in seen)}
    whole = _seen_whole(rows, found, records, user, seen)
    for row in rows:
        summary = found[row.pk]
        _last_result(summary, records)
        _name(summary, records, open_requests.get(row.pk), seen)
        _observed(row, summary, records, numbered)
        waiting = records.get(summary.newest.get(Outcome.WAITING, 0))
        if row.state == State.ACTIVE and waiting is not None and row.pk not in open_requests:
            _next_window(summary, waiting, facilities, waiting.pk in numbered, now)
        else:
            _next_action(row, summary, row.pk in open_requests, now)
            if row.pk not in whole:
                summary.next_action = ''
        row.summary = summary  # type: ignore[attr-defined]


def _seen_whole(
    rows: Sequence[ManagedCadence], found: dict[int, CadenceSummary], records: dict[int, Any], user: Any, seen: set[int]
) -> set[int]:
    """The cadences whose reasons this user may read: see ``permissions.may_read_reasons``."""
    known = registry.strategies()
    looking = {
        row.pk: records[found[row.pk].newest_at_all].target_id
        for row in rows
        if getattr(known.get(row.strategy), 'needs_photometry', False) and found[row.pk].newest_at_all in records
    }
    others = {target for pk, target in looking.items() if target in seen}
    whole = targets_seen_whole(user, others) if others and not settings.TARGET_PERMISSIONS_ONLY else others
    own = {row.pk for row in rows if user.pk is not None and row.owner_id == user.pk}
    return {row.pk for row in rows if row.pk not in looking or looking[row.pk] in (seen if row.pk in own else whole)}


def _count(rows: Sequence[ManagedCadence], found: dict[int, CadenceSummary], facilities: Facilities) -> None:
    by_group: dict[int, list[CadenceSummary]] = {}
    for row in rows:
        if row.cadence is not None:
            by_group.setdefault(row.cadence.observation_group_id, []).append(found[row.pk])
    names = (SENT, 'exposure_time', 'exposure_count')
    keys = {f'asked_{number}': KT(f'parameters__{name}') for number, name in enumerate(names)}
    records = ObservationRecord.objects.filter(observationgroup__in=by_group).order_by().annotate(**keys)
    counted = records.values_list('observationgroup', 'facility', 'status', *keys).annotate(Count('pk'), Max('pk'))
    for group, facility, status, *told, number, newest in counted:
        outcome = outcome_of(facilities, facility, status)
        seconds = number * (exposure_seconds(dict(zip(names, told, strict=True))) or 0.0)
        for summary in by_group[group]:
            _add(summary, outcome, number, newest)
            if outcome in (Outcome.SUCCEEDED, Outcome.WAITING):
                summary.seconds_asked += seconds
                summary.seconds_used += seconds if outcome is Outcome.SUCCEEDED else 0.0


def _observed(row: ManagedCadence, summary: CadenceSummary, records: dict[int, Any], seen: set[int]) -> None:
    """With what it is observed from now on, and how long; not told to who may not see the newest observation."""
    latest = records.get(summary.newest_at_all)
    if latest is None or latest.pk not in seen or summary.target == UNSEEN:
        summary.seconds_asked = summary.seconds_used = 0.0
    elif isinstance(latest.parameters, dict):
        summary.observed = what_is_observed(Instead.of(row.asked_instead).over(latest.parameters, latest.pk))


def _add(summary: CadenceSummary, outcome: Outcome | None, number: int, newest: int) -> None:
    summary.newest_at_all = max(summary.newest_at_all, newest)
    if outcome is not None:
        summary.newest[outcome] = max(summary.newest.get(outcome, 0), newest)
    names: dict[Outcome | None, str] = {Outcome.SUCCEEDED: 'done', Outcome.FAILED: 'failed', Outcome.WAITING: 'waiting'}
    name = names.get(outcome, 'others')
    setattr(summary, name, getattr(summary, name) + number)


def outcome_of(facilities: Facilities, facility: str, status: str) -> Outcome | None:
    """What a state means at its facility; None where the facility is not configured any more."""
    try:
        return facilities.gateway(facility, None).outcome(status)
    except Exception:  # a facility class is the site's code, and a list must show the others all the same
        return None


def _name(summary: CadenceSummary, records: dict[int, Any], asked_for: int | None, seen: set[int]) -> None:
    """The target's name as it is now, where the user may know it; a first request without a reply has no observation yet."""
    latest = records.get(summary.newest_at_all)
    if latest is not None:
        summary.target = latest.target.name if latest.target_id in seen else UNSEEN
    elif asked_for is not None and asked_for not in seen:
        summary.target = UNSEEN


def _last_result(summary: CadenceSummary, records: dict[int, Any]) -> None:
    """The newest observation that is finished, and when it was."""
    newest = {pk: outcome for outcome, pk in summary.newest.items() if outcome is not Outcome.WAITING}
    record = records.get(max(newest, default=0))
    if record is not None:
        summary.result, summary.result_when = newest[record.pk], record.scheduled_end or record.modified


def _next_action(row: ManagedCadence, summary: CadenceSummary, in_doubt: bool, now: datetime) -> None:
    if row.state != State.ACTIVE:
        reason = _shortened(in_words(row.reason))
        summary.next_action = reason or ('None until it is resumed.' if row.state == State.PAUSED else '')
        return
    looked_up = 'A request whose reply was lost is looked up.'
    summary.next_action = looked_up if in_doubt else _shortened(in_words(row.last_reason)) or 'It is looked at.'
    if row.last_check is not None:
        summary.next_words, summary.next_when = 'Next check', max(now, row.last_check + conf.seconds('EXPECTED_INTERVAL'))


def _next_window(summary: CadenceSummary, record: Any, facilities: Facilities, numbered: bool, now: datetime) -> None:
    """The observation that is booked; its number only where the user may see it."""
    summary.next_words, summary.next_when = _window_words(facilities.window(record.facility, record.parameters), now)
    over = summary.next_when is not None and summary.next_when <= now
    name = f'Observation {record.observation_id}' if numbered else 'An observation'
    summary.next_action = f'{name} {"has no result yet" if over else "is booked"}.'


def _window_words(window: Window | None, now: datetime) -> tuple[str, datetime | None]:
    if window is None:
        return '', None
    if now < window.start:
        return 'Window opens', window.start
    return ('Window closes' if now < window.end else 'Window closed'), window.end


def _shortened(text: str) -> str:
    """Whole sentences, where the first ones say most of it; else whole words."""
    if len(text) <= LONGEST_REASON:
        return text
    sentences = text[: LONGEST_REASON + 1].rpartition('. ')[0]
    if len(sentences) > LONGEST_REASON / 2:
        return f'{sentences}.'
    return f'{text[:LONGEST_REASON].rpartition(" ")[0].rstrip(",;:")} …'


@dataclass(frozen=True, kw_only=True)
class LockedOut:
    """Cadences of one owner that wait because a facility does not accept the owner's credentials."""

    facility: str
    owner: int | None
    owner_name: str
    number: int


def locked_out(rows: Rows) -> list[LockedOut]:
    """Which of these cadences wait for credentials, by facility and owner."""
    waiting = waiting_for_credentials(rows).order_by('facility', 'owner_name')
    counted = waiting.values('facility', 'owner', 'owner_name').annotate(number=Count('pk'))
    return [LockedOut(**each) for each in counted]


def waiting_for_credentials(rows: Rows) -> Rows:
    """Those of these cadences that the engine stopped because a facility did not accept the credentials."""
    return rows.filter(state=State.ATTENTION, reason_class__startswith='credentials:', cadence__isnull=False)


def of_target(rows: Rows, target: int) -> Rows:
    """Those of these cadences that observe this target."""
    groups = ObservationRecord.objects.filter(target=target, observationgroup__isnull=False).order_by()
    return rows.filter(cadence__observation_group__in=groups.values('observationgroup'))


def facilities_and_strategies() -> tuple[list[str], list[str]]:
    """What there is to filter by: names only, of all cadences."""
    pairs = list(ManagedCadence.objects.order_by().values_list('facility', 'strategy').distinct())
    return sorted({facility for facility, _ in pairs if facility}), sorted({strategy for _, strategy in pairs})
