"""Reading cadences and their observations from the database: in bulk and lightly to look, one by one and fully to act."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT
from tom_observations.models import ObservationRecord

from tom_cadence import conf, registry
from tom_cadence.core.bounds import failure, said
from tom_cadence.core.history import Attempt, History, Look
from tom_cadence.core.parameters import Parameters, clean
from tom_cadence.core.photometry import EMPTY, Photometry
from tom_cadence.core.visibility import Sky
from tom_cadence.core.windows import Window, read_window, window_in
from tom_cadence.exceptions import BadWindow, CadenceError, Credentials, NeedsAttention
from tom_cadence.facilities import Facilities, Gateway, Status
from tom_cadence.facilities.ocs import many_in_one_call
from tom_cadence.models import ManagedCadence, Submission


@dataclass(kw_only=True, slots=True)
class RecordRow:
    """One observation record as the engine reads it; ``parameters`` only where they were asked for."""

    pk: int
    observation_id: str
    facility: str
    status: str
    created: datetime
    scheduled_start: datetime | None
    scheduled_end: datetime | None
    start: Any
    end: Any
    submission: int | None
    target: int = 0
    noted: bool = True
    parameters: Mapping[str, Any] | None = None
    attempt: Attempt | None = None
    polled: Any = None


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


def attempt_of(row: RecordRow, gateway: Gateway, polled: Any) -> Attempt:
    """The record as a strategy sees it; made anew only where the facility has said something since."""
    if row.attempt is None or row.polled is not polled:
        row.attempt, row.polled = _make_attempt(row, gateway, polled), polled
    return row.attempt


def _make_attempt(row: RecordRow, gateway: Gateway, polled: Any) -> Attempt:
    status = polled if isinstance(polled, Status) else None
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


DEFAULT_KEYWORDS = ('start', 'end')
_FIELDS = ('observation_id', 'facility', 'status', 'created', 'scheduled_start', 'scheduled_end')


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a cadence may look at besides its observations: empty where its strategy and parameters ask for nothing of it.

    ``trouble`` says why it is not known when the target is up.
    """

    photometry: Photometry = field(default_factory=lambda: EMPTY)
    looks: tuple[Look, ...] = ()
    sky: Sky | None = None
    trouble: str = ''


@dataclass(kw_only=True)
class Looked:
    """One cadence in a run: what was read, what the facility said, and what to do.

    ``glanced``: only what is unfinished was read, because the cadence waits for it whatever else it did.
    ``trouble`` says what is wrong with it; ``caught`` is what was only seen in this run, and reading it again would not show.
    ``journal_read``: all requests were read, not only those whose fate is not known.
    """

    managed: ManagedCadence
    strategy: Any = None
    parameters: Parameters = field(default_factory=Parameters)
    handed_in: Any = None
    trouble: str = ''
    caught: str = ''
    credentials: Credentials | None = None
    rows: list[RecordRow] = field(default_factory=list)
    polled: dict[int, Status | Exception] = field(default_factory=dict)
    requests: list[Submission] = field(default_factory=list)
    history: History = field(default_factory=History)
    around: Around | None = None
    late_check: datetime | None = None
    glanced: bool = False
    journal_read: bool = False
    taken_at: float = 0.0
    decision: Any = None

    @property
    def open_request(self) -> Submission | None:
        """The request whose fate is not known yet."""
        return next((request for request in self.requests if request.state in Submission.OPEN), None)

    @property
    def consecutive_failures(self) -> int:
        """Failures in a row; as they were known where only what is unfinished was read."""
        return self.managed.consecutive_failures if self.glanced else self.history.consecutive_failures


def prepare(managed: ManagedCadence, strategy: Any = None) -> Looked:
    """The cadence with its strategy and cleaned parameters, or with what is wrong with them."""
    looked = Looked(managed=managed, handed_in=strategy)
    try:
        looked.strategy = strategy or registry.strategy_class(managed.host.cadence_strategy)(managed.host)
        looked.parameters = clean(managed.host.cadence_parameters)
    except NeedsAttention as error:
        looked.trouble = str(error)
    except Exception as error:  # a strategy's constructor is the site's code
        looked.trouble = f'The strategy cannot be made: {failure(error)}'
    return looked


def read_rows(looked: Sequence[Looked], *, full: bool, without: Q | None = None) -> None:
    """Fill in the records of all these cadences, oldest first, with one statement (two where parameters are needed).

    ``without``: records that are left out.
    """
    by_group: dict[int, list[Looked]] = defaultdict(list)
    for item in looked:
        item.rows = []
        by_group[item.managed.host.observation_group_id].append(item)
    found = ObservationRecord.objects.filter(observationgroup__in=by_group).order_by()
    if without is not None:
        found = found.exclude(without)
    fields = ['observationgroup', 'pk', 'target', 'booking', 'booking__submission', *_FIELDS]
    if full:
        _spread_full(found.values_list(*fields, 'parameters'), by_group)
    else:
        keys = {'window_start': KT('parameters__start'), 'window_end': KT('parameters__end')}
        _spread_light(found.annotate(**keys).values_list(*fields, *keys), by_group)
    for item in looked:
        item.rows.sort(key=lambda row: (row.created, row.pk))
    if not full:
        _add_parameters([item for item in looked if _needs_parameters(item)])


def _spread_full(found: Iterable[Any], by_group: Mapping[int, list[Looked]]) -> None:
    for *known, parameters in found:
        mapping = parameters if isinstance(parameters, dict) else {}
        _add_row(known, mapping.get('start'), mapping.get('end'), mapping, by_group)


def _spread_light(found: Iterable[Any], by_group: Mapping[int, list[Looked]]) -> None:
    for *known, start, end in found:
        _add_row(known, start, end, None, by_group)


def _add_row(known: Sequence[Any], start: Any, end: Any, parameters: Any, by_group: Mapping[int, list[Looked]]) -> None:
    group, pk, target, booking, submission, observation_id, facility, status, created, scheduled_start, scheduled_end = known
    row = RecordRow(
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
    for item in by_group[group]:
        item.rows.append(row)


def _needs_parameters(item: Looked) -> bool:
    wanted = not item.glanced and _asks_for_parameters(item)
    return wanted or any(row.start is None for row in item.rows)


def _asks_for_parameters(item: Looked) -> bool:
    asked = item.parameters
    wanted = getattr(item.strategy, 'needs_parameters', True) or asked.max_exposure_time is not None
    return wanted or bool(asked.relaxations) or asked.constraints is not None


def _add_parameters(looked: Sequence[Looked]) -> None:
    rows = {row.pk: row for item in looked for row in item.rows}
    if not rows:
        return
    for pk, parameters in ObservationRecord.objects.filter(pk__in=rows).values_list('pk', 'parameters'):
        rows[pk].parameters, rows[pk].attempt = parameters if isinstance(parameters, dict) else {}, None


def read_requests(looked: Sequence[Looked]) -> None:
    """Fill in all of the journal's requests of these cadences, oldest first."""
    _spread_requests(looked, Submission.objects.order_by('pk'), whole=True)


def read_open_requests(looked: Sequence[Looked]) -> None:
    """Fill in only the requests whose fate is not known, for a first look at many cadences."""
    _spread_requests(looked, Submission.objects.filter(state__in=Submission.OPEN), whole=False)


def _spread_requests(looked: Sequence[Looked], found: QuerySet[Submission], *, whole: bool) -> None:
    """``has_open_request``: a run reads it with its cadences; whoever read them otherwise is not spared the question."""
    by_managed = {item.managed.pk: item for item in looked}
    for item in looked:
        item.requests, item.journal_read = [], whole
    asked = [pk for pk, item in by_managed.items() if whole or getattr(item.managed, 'has_open_request', True)]
    for request in found.filter(managed__in=asked).defer('parameters') if asked else ():
        if request.managed_id is not None:
            by_managed[request.managed_id].requests.append(request)


def build_history(item: Looked, facilities: Facilities) -> None:
    """The cadence's history as its strategy sees it; sets ``trouble`` where a facility cannot be asked at all."""
    around, owner = item.around or Around(), item.managed.owner
    if around.trouble:
        item.trouble = around.trouble
        return
    try:
        gateways = {name: facilities.gateway(name, owner) for name in {row.facility for row in item.rows}}
        attempts = [attempt_of(row, gateways[row.facility], item.polled.get(row.pk)) for row in item.rows]
    except Credentials as error:
        item.credentials, item.trouble = error, str(error)
        return
    except Exception as error:  # a facility class is the site's code: its errors belong to its cadences alone
        item.trouble = said(error) if isinstance(error, CadenceError) else failure(error)
        return
    states = Submission.State
    answers = [request for request in item.requests if request.state in (states.SENDING, states.UNCERTAIN, states.ACCEPTED)]
    item.history = History(
        attempts=tuple(attempts),
        answered=frozenset(pk for request in answers for pk in request.follows),
        refusals=len(_recent_refusals(item)),
        resubmit_cancelled=_resubmits(item.parameters),
        forgiven=item.managed.forgiven,
        photometry=around.photometry,
        looks=around.looks,
    )


def _resubmits(parameters: Parameters) -> bool:
    if parameters.on_cancel == 'default':
        return bool(conf.get('RESUBMIT_CANCELLED'))
    return parameters.on_cancel == 'resubmit'


def _recent_refusals(item: Looked) -> list[Submission]:
    """Refused requests since the last accepted one and since a person resumed the cadence."""
    recent: list[Submission] = []
    for request in item.requests:
        if request.state == Submission.State.ACCEPTED:
            recent = []
        elif request.state == Submission.State.REFUSED and request.counts_as_failure:
            recent.append(request)
    resumed = item.managed.resumed
    return [request for request in recent if resumed is None or request.created > resumed]


def last_refusal(item: Looked) -> datetime | None:
    """When the last refusal that counts came."""
    recent = _recent_refusals(item)
    return max((request.closed or request.created for request in recent), default=None)
