"""Reading cadences and their observations from the database: in bulk and lightly to look, one by one and fully to act."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT
from tom_observations.models import ObservationRecord

from tom_cadence import registry
from tom_cadence.core.bounds import error_text
from tom_cadence.core.history import Attempt
from tom_cadence.core.parameters import Parameters, clean
from tom_cadence.core.windows import Window, read_window, window_in
from tom_cadence.engine.stages import RecordRow, Snapshot
from tom_cadence.exceptions import BadWindow, NeedsAttention
from tom_cadence.facilities import Gateway, Status
from tom_cadence.facilities.ocs import many_in_one_call
from tom_cadence.models import ManagedCadence, Submission


def prepare(managed: ManagedCadence, strategy: Any = None) -> Snapshot:
    """The cadence with its strategy and cleaned parameters, or with what is wrong with them; no row is read."""
    made, parameters, trouble = strategy, Parameters(), ''
    try:
        made = made or registry.strategy_class(managed.host.cadence_strategy)(managed.host)
        parameters = clean(managed.host.cadence_parameters)
    except NeedsAttention as error:
        trouble = str(error)
    except (Exception, SystemExit) as error:  # a strategy's constructor is the site's code
        trouble = f'The strategy cannot be made: {error_text(error)}'
    return Snapshot(managed=managed, strategy=made, parameters=parameters, handed_in=strategy, trouble=trouble)


_FIELDS = ('observation_id', 'facility', 'status', 'created', 'scheduled_start', 'scheduled_end')


def read_rows(snapshots: Sequence[Snapshot], *, full: bool, without: Q | None = None, quick: bool = False) -> list[Snapshot]:
    """These cadences with their records, oldest first, by one statement (two where parameters are needed).

    ``without``: records that are left out; ``quick``: because they do not matter.
    """
    groups = [each.managed.host.observation_group_id for each in snapshots]
    found = ObservationRecord.objects.filter(observationgroup__in=set(groups)).order_by()
    if without is not None:
        found = found.exclude(without)
    fields = ['observationgroup', 'pk', 'target', 'booking', 'booking__submission', *_FIELDS]
    by_group = _rows_in_full(found, fields) if full else _rows_lightly(found, fields)
    sorted_rows = {group: tuple(sorted(rows, key=lambda row: (row.created, row.pk))) for group, rows in by_group.items()}
    read = [replace(each, rows=sorted_rows.get(group, ()), quick=quick) for each, group in zip(snapshots, groups, strict=True)]
    return read if full else _with_parameters(read)


def _rows_in_full(found: QuerySet[Any], fields: Sequence[str]) -> dict[int, list[RecordRow]]:
    by_group: dict[int, list[RecordRow]] = defaultdict(list)
    for *known, parameters in found.values_list(*fields, 'parameters'):
        mapping = parameters if isinstance(parameters, dict) else {}
        by_group[known[0]].append(_row(known, mapping.get('start'), mapping.get('end'), mapping))
    return by_group


def _rows_lightly(found: QuerySet[Any], fields: Sequence[str]) -> dict[int, list[RecordRow]]:
    by_group: dict[int, list[RecordRow]] = defaultdict(list)
    keys = {'window_start': KT('parameters__start'), 'window_end': KT('parameters__end')}
    for *known, start, end in found.annotate(**keys).values_list(*fields, *keys):
        by_group[known[0]].append(_row(known, start, end, None))
    return by_group


def _row(known: Sequence[Any], start: Any, end: Any, parameters: dict[str, Any] | None) -> RecordRow:
    _, pk, target, booking, submission, observation_id, facility, status, created, scheduled_start, scheduled_end = known
    return RecordRow(
        pk=pk,
        observation_id=observation_id,
        facility=facility,
        status=status,
        created=created,
        scheduled_start=scheduled_start,
        scheduled_end=scheduled_end,
        start=start,
        end=end,
        submission=submission,
        target=target,
        noted=booking is not None,
        parameters=parameters,
    )


def _with_parameters(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """The same, those that need them with the parameters of each record: one statement, or none."""
    wanted = {row.pk for each in snapshots if _needs_parameters(each) for row in each.rows}
    if not wanted:
        return list(snapshots)
    found = dict(ObservationRecord.objects.filter(pk__in=wanted).values_list('pk', 'parameters'))
    return [
        replace(each, rows=tuple(_with(row, found) for row in each.rows)) if _needs_parameters(each) else each for each in snapshots
    ]


def _with(row: RecordRow, found: dict[int, Any]) -> RecordRow:
    if row.pk not in found:  # deleted between the two statements
        return row
    parameters = found[row.pk]
    return row._replace(parameters=parameters if isinstance(parameters, dict) else {})


def _needs_parameters(snapshot: Snapshot) -> bool:
    wanted = not snapshot.quick and _asks_for_parameters(snapshot)
    return wanted or any(row.start is None for row in snapshot.rows)


def _asks_for_parameters(snapshot: Snapshot) -> bool:
    asked = snapshot.parameters
    wanted = getattr(snapshot.strategy, 'needs_parameters', True) or asked.max_exposure_time is not None
    return wanted or bool(asked.relaxations) or asked.constraints is not None


def read_requests(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """These cadences with all of the journal's requests, oldest first."""
    pks = [each.pk for each in snapshots]
    found = _by_cadence(Submission.objects.filter(managed__in=pks).order_by('pk') if pks else ())
    return [replace(each, requests=tuple(found[each.pk]), journal_read=True) for each in snapshots]


def read_open_requests(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """These cadences with only the requests whose fate is not known, for a first look at many.

    ``has_open_request``: a run reads it with its cadences; whoever read them otherwise is not spared the question.
    """
    pks = [each.pk for each in snapshots if getattr(each.managed, 'has_open_request', True)]
    found = _by_cadence(Submission.objects.filter(state__in=Submission.OPEN, managed__in=pks) if pks else ())
    return [each if each.pk not in found else replace(each, requests=tuple(found[each.pk])) for each in snapshots]


def _by_cadence(found: QuerySet[Submission] | tuple[()]) -> dict[int, list[Submission]]:
    by_cadence: dict[int, list[Submission]] = defaultdict(list)
    for request in found.defer('parameters') if isinstance(found, QuerySet) else ():
        if request.managed_id is not None:
            by_cadence[request.managed_id].append(request)
    return by_cadence


class ReadAttempt(Attempt):
    """An attempt whose window is read when somebody looks at it.

    Most observations of a cadence are over, and nobody asks for their windows: reading all of them was a third of the time
    of a cadence with nothing to do (2026-11-21).
    """

    @classmethod
    def of(cls, row: RecordRow, known: dict[str, Any]) -> ReadAttempt:
        """The row's attempt; ``known`` are all of its fields but for the window and what is wrong with it."""
        made = cls.__new__(cls)
        object.__setattr__(made, '__dict__', {**known, '_row': row})
        return made

    def __getattr__(self, name: str) -> Any:
        """Read the window, once."""
        known = self.__dict__
        if name not in ('window', 'trouble') or '_row' not in known:
            raise AttributeError(name)
        known['window'], known['trouble'] = window_of(known.pop('_row'), self.keywords)
        return known[name]


def attempt_of(row: RecordRow, gateway: Gateway, answer: Any) -> Attempt:
    """The record as a strategy sees it, with what the facility says now, where it says anything."""
    status = answer if isinstance(answer, Status) else None
    state = status.state if status else row.status
    schedule = (status.scheduled_start, status.scheduled_end) if status and status.has_schedule else None
    parameters = row.parameters or {}
    known = {
        'record': row.pk,
        'observation_id': row.observation_id,
        'facility': row.facility,
        'status': state,
        'outcome': gateway.outcome(state),
        'created': row.created,
        'target': row.target,
        'submission': row.submission,
        'one_call_many': bool(parameters) and many_in_one_call(parameters),
        'scheduled_start': schedule[0] if schedule else row.scheduled_start,
        'scheduled_end': schedule[1] if schedule else row.scheduled_end,
        'keywords': gateway.keywords,
        'parameters': parameters,
    }
    return ReadAttempt.of(row, known)


def window_of(row: RecordRow, keywords: tuple[str, str]) -> tuple[Window | None, str]:
    """The window as stored, or why it cannot be read."""
    try:
        if row.parameters is not None:
            return window_in(row.parameters, keywords), ''
        return read_window(row.start, row.end), ''
    except BadWindow as error:
        return None, str(error)


def recent_refusals(snapshot: Snapshot) -> list[Submission]:
    """Refused requests since the last accepted one and since a person resumed the cadence."""
    recent: list[Submission] = []
    for request in snapshot.requests:
        if request.state == Submission.State.ACCEPTED:
            recent = []
        elif request.state == Submission.State.REFUSED and request.counts_as_failure:
            recent.append(request)
    resumed = snapshot.managed.resumed
    return [request for request in recent if resumed is None or request.created > resumed]
