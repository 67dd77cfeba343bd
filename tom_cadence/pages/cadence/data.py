"""What the page of one cadence shows, read in a constant number of statements; nothing is written or asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import ObservationRecord

from tom_cadence import registry
from tom_cadence.core.decisions import Decision
from tom_cadence.core.exposure import exposure_seconds
from tom_cadence.core.history import History
from tom_cadence.core.windows import Window, show
from tom_cadence.engine import snapshot
from tom_cadence.engine.context import read_context_of
from tom_cadence.engine.decide import decide, history_of, runs_itself
from tom_cadence.engine.snapshot import window_of
from tom_cadence.engine.stages import Known, ReadHistory, RecordRow, Snapshot
from tom_cadence.facilities import Facilities
from tom_cadence.flows.preview import Preview, counted, next_windows
from tom_cadence.models import Booking, CadenceRun, ManagedCadence, Submission
from tom_cadence.pages.cadence.timeline import Bar, TimelinePoint, figure
from tom_cadence.permissions import may_read_reasons, visible_points, visible_records, visible_targets
from tom_cadence.simulation.effort import PAGE, Work
from tom_followup.clock import processor_time

NOT_SHOWN = 'Why is not shown: it may tell of measurements that you may not see.'
DECIDED = (CadenceRun.Decision.WAIT, CadenceRun.Decision.SUBMIT, CadenceRun.Decision.STOP)
"""Kinds of lines in which a strategy says why."""
MOST_POINTS = 2000
MOST_BARS = 1000


@dataclass(frozen=True, kw_only=True)
class ShownObservation:
    """One observation as the page shows it; ``outcome`` is 'unknown' where the facility's words cannot be read."""

    pk: int
    observation_id: str
    facility: str
    target: int
    status: str
    outcome: str
    created: datetime
    window: Window | None
    trouble: str
    observed: tuple[datetime, datetime] | None
    scheduled: datetime | None = None
    by_hand: bool = False
    url: str = ''


@dataclass
class Cadence:
    """One cadence with what this user may see of it."""

    managed: ManagedCadence
    user: Any
    now: datetime
    facilities: Facilities = field(default_factory=Facilities)

    @cached_property
    def snapshot(self) -> Snapshot:
        """As the engine reads it."""
        if self.managed.cadence is None:
            read = Snapshot(managed=self.managed, rows=_rows_of_deleted(self.managed))
        else:
            [read] = snapshot.read_rows([snapshot.prepare(self.managed)], full=False)
        [read] = snapshot.read_requests([read])
        return read

    @cached_property
    def known(self) -> Known:
        """With its context; the facility is not asked."""
        context = read_context_of(self.snapshot, self.facilities, self.now)
        return Known(snapshot=self.snapshot, context=context)

    @cached_property
    def blind(self) -> bool:
        """Whether it decides by measurements that this user may not see all of: then what it says tells of them."""
        if not getattr(registry.strategies().get(self.managed.strategy), 'needs_photometry', False):
            return False
        target = self.snapshot.rows[-1].target if self.snapshot.rows else None
        return not may_read_reasons(self.user, self.managed, target)

    def readable(self, decision: str, reason: str) -> str:
        """The reason of a decision (a kind of ``CadenceRun``) as this user may read it."""
        return NOT_SHOWN if self.blind and decision in DECIDED else reason

    @cached_property
    def past(self) -> ReadHistory:
        """Its history, or what is wrong with it."""
        return history_of(self.known, self.facilities)

    @cached_property
    def targets(self) -> list[Any]:
        """The targets that this user may see."""
        wanted: set[Any] = {row.target for row in self.snapshot.rows} or {self._asked_for}
        return list(visible_targets(self.user).filter(pk__in=wanted).order_by('name').distinct())

    @property
    def _asked_for(self) -> int | None:
        """The target of a first request without a reply: there is no observation yet that would name it."""
        return self.open_request.target_id if self.open_request is not None else None

    @cached_property
    def target_name(self) -> str:
        """What the cadence observes, in words; a target that the user may not see has no name."""
        if not self.snapshot.rows and not self._asked_for:
            named = self.managed.target_name and (self.user.is_superuser or self.managed.owner_id == self.user.pk)
            return self.managed.target_name if named else 'a target without observations'
        if not self.targets:
            return 'a target that you may not see'
        more = len(self.targets) - 1
        return str(self.targets[0].name) + (f' and {more} more' if more else '')

    @cached_property
    def observations(self) -> list[ShownObservation]:
        """The observations this user may see, newest first."""
        rows = ObservationRecord.objects.filter(pk__in=[row.pk for row in self.snapshot.rows])
        seen = set(visible_records(self.user, rows).values_list('pk', flat=True))
        attempts = {attempt.record: attempt for attempt in self.past.history.attempts}
        return [self._observation(row, attempts.get(row.pk)) for row in reversed(self.snapshot.rows) if row.pk in seen]

    @property
    def hidden(self) -> int:
        """How many observations this user may not see."""
        return len(self.snapshot.rows) - len(self.observations)

    def _observation(self, row: RecordRow, attempt: Any) -> ShownObservation:
        window, trouble = (attempt.window, attempt.trouble) if attempt else window_of(row, self.facilities.keywords(row.facility))
        start, end = row.scheduled_start, row.scheduled_end
        outcome = attempt.outcome.value if attempt else 'unknown'
        return ShownObservation(
            pk=row.pk,
            observation_id=row.observation_id,
            facility=row.facility,
            target=row.target,
            status=row.status,
            outcome=outcome,
            created=row.created,
            window=window,
            trouble=trouble,
            observed=(start, end) if start and end and end > start and outcome == 'succeeded' else None,
            scheduled=start if outcome == 'waiting' else None,
            by_hand=row.facility in self.past.by_hand,
        )

    def with_urls(self, observations: Iterable[ShownObservation]) -> list[ShownObservation]:
        """These observations with the address of the facility's own page of each."""
        return [replace(each, url=self._url(each)) for each in observations]

    def _url(self, each: ShownObservation) -> str:
        try:
            facility = self.facilities.gateway(each.facility, self.managed.owner).facility
            url = str(facility.get_observation_url(each.observation_id) or '')
        except Exception:  # a facility class is the site's code, and a link is not worth an error
            return ''
        return url if url.startswith(('https://', 'http://', '/')) else ''

    @property
    def decides_itself(self) -> bool:
        """Whether its strategy calls the facility in a run() of its own, so that nobody can foresee it."""
        return self.managed.cadence is not None and runs_itself(self.snapshot.strategy)

    @cached_property
    def preview(self) -> Preview | None:
        """The next windows if all observations succeed."""
        return self._preview(fails_first=False)

    @cached_property
    def preview_of_failure(self) -> Preview | None:
        """The next windows if the next observation fails."""
        return self._preview(fails_first=True)

    def _preview(self, *, fails_first: bool) -> Preview | None:
        if self.managed.cadence is None or self.decides_itself or self.snapshot.open_request is not None:
            return None
        if self.blind:
            return Preview(ending=NOT_SHOWN)
        history = self.past.history
        if self.managed.state != ManagedCadence.State.ACTIVE:  # as if it were resumed now: see journal.resume
            newest = max((attempt.record for attempt in history.attempts), default=0)
            history = replace(history, ignore_before=newest, refusals=0)
        decide = counted(self._decide, self.snapshot.strategy, self.work)
        return next_windows(decide, history, self.now, fails_first=fails_first)

    @cached_property
    def work(self) -> Work:
        """What the two previews may take together."""
        return Work(most=PAGE, spent=processor_time)

    def _decide(self, history: History, now: datetime) -> Decision:
        return decide(self.known, replace(self.past, history=history), now)

    @cached_property
    def open_request(self) -> Submission | None:
        """The request whose fate a person has to tell."""
        return self.snapshot.open_request

    @property
    def window_in_doubt(self) -> Window | None:
        """That of ``open_request``; None where the request does not say one."""
        request = self.open_request
        if request is None or request.window_start is None or request.window_end is None:
            return None
        return Window(start=request.window_start, end=request.window_end)

    def runs(self, number: int) -> list[CadenceRun]:
        """Its newest decisions."""
        return list(self.managed.runs.order_by('-last', '-pk')[:number])

    @cached_property
    def photometry(self) -> tuple[list[TimelinePoint], str, int]:
        """The newest points of the light curve that this user may see, their unit, and how many there are in all."""
        rows = PhotometryReducedDatum.objects.filter(target__in=[target.pk for target in self.targets])
        rows = visible_points(self.user, rows)
        names = ('timestamp', 'brightness', 'brightness_error', 'limit', 'bandpass', 'unit')
        found = list(rows.order_by('-timestamp').values_list(*names)[:MOST_POINTS])
        number = rows.count() if len(found) == MOST_POINTS else len(found)
        units = [unit for *_, unit in found]
        unit = max(set(units), key=units.count) if units else ''
        return [_point(row) for row in found if row[-1] == unit and (row[1], row[3]) != (None, None)], unit, number

    @cached_property
    def timeline(self) -> dict[str, Any] | None:
        """The figure, or None where there is nothing to draw."""
        bars = [_bar(each) for each in self.observations[:MOST_BARS] if each.window is not None]
        doubt = self.window_in_doubt
        if doubt is not None:
            bars.append(Bar(kind='in doubt', start=doubt.start, end=doubt.end, label='Request without a reply'))
        if self.preview is not None and self.managed.state == ManagedCadence.State.ACTIVE:
            bars += [Bar(kind='planned', start=w.start, end=w.end, label='Planned') for w in self.preview.windows]
        points, unit, _ = self.photometry
        return figure(bars, points, self.now, unit) if bars else None


def _rows_of_deleted(managed: ManagedCadence) -> tuple[RecordRow, ...]:
    """What a cadence that was deleted had asked for, and what its first request answered, as far as it is still there."""
    pks = set(Booking.objects.filter(submission__managed=managed).values_list('record', flat=True))
    for follows in Submission.objects.filter(managed=managed).values_list('follows', flat=True):
        pks.update(follows)
    records = ObservationRecord.objects.filter(pk__in=pks).order_by('created', 'pk')
    return tuple(_row(record) for record in records)


def _row(record: ObservationRecord) -> RecordRow:
    parameters = record.parameters if isinstance(record.parameters, dict) else {}
    return RecordRow(
        pk=record.pk,
        observation_id=record.observation_id,
        facility=record.facility,
        status=record.status,
        created=record.created,
        scheduled_start=record.scheduled_start,
        scheduled_end=record.scheduled_end,
        start=parameters.get('start'),
        end=parameters.get('end'),
        target=record.target_id,
        parameters=parameters,
    )


def _bar(observation: ShownObservation) -> Bar:
    window = observation.window
    if window is None:
        raise ValueError('An observation without a window has no bar.')
    label = f'Observation {observation.observation_id}'
    return Bar(kind=observation.outcome, start=window.start, end=window.end, label=label, observed=observation.observed)


def _point(row: Sequence[Any]) -> TimelinePoint:
    timestamp, brightness, error, limit, band, _ = row
    is_limit = brightness is None
    return TimelinePoint(time=timestamp, value=limit if is_limit else brightness, error=error, limit=is_limit, series=band)


def export_rows(cadence: Cadence) -> list[dict[str, Any]]:
    """The history as rows of a table: observations, oldest first, then decisions, oldest first."""
    pks = [each.pk for each in cadence.observations]
    parameters = dict(ObservationRecord.objects.filter(pk__in=pks).values_list('pk', 'parameters'))
    names = {target.pk: target.name for target in cadence.targets}
    rows = [_export(each, names, parameters.get(each.pk)) for each in reversed(cadence.observations)]
    decisions = cadence.managed.runs.order_by('first', 'pk').values_list('decision', 'reason', 'count', 'first', 'last')
    for decision, told, count, first, last in decisions.iterator():
        reason = cadence.readable(decision, told)
        rows.append(
            {'kind': 'decision', 'time_utc': first, 'decision': decision, 'reason': reason, 'times': count, 'last_utc': last}
        )
    return rows


def _export(each: ShownObservation, names: dict[int, str], parameters: Any) -> dict[str, Any]:
    start, end = each.observed or (None, None)
    return {
        'kind': 'observation',
        'time_utc': each.created,
        'observation_id': each.observation_id,
        'facility': each.facility,
        'target': names.get(each.target, ''),
        'outcome': each.outcome,
        'facility_state': each.status,
        'window_start_utc': each.window.start if each.window else None,
        'window_end_utc': each.window.end if each.window else None,
        'observed_start_utc': start,
        'observed_end_utc': end,
        'exposure_time': exposure_seconds(parameters) if isinstance(parameters, dict) else None,
    }


def planned_text(window: Window) -> str:
    """A window to come: its start and its length."""
    length = window.length.total_seconds() / 3600
    return f'{show(window.start)} ({f"{length:.3g} h" if length >= 1 else f"{60 * length:.0f} min"})'


def window_text(window: Window) -> str:
    """A window in words; the date of its end only where it is another day."""
    same = window.start.date() == window.end.date()
    return f'{show(window.start)[:-4]} to {show(window.end)[11:] if same else show(window.end)}'
