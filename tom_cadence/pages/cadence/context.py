"""The page of one cadence as values for its templates."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import plotly
from django.http import HttpRequest
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal, registry
from tom_cadence.core.exposure import exposure_seconds, what_is_observed
from tom_cadence.core.exposure import in_words as hours_of
from tom_cadence.core.history import Outcome
from tom_cadence.core.parameters import OWN_FIELDS, hours_in_words
from tom_cadence.core.policy import Instead
from tom_cadence.core.template_fields import in_words
from tom_cadence.core.windows import show
from tom_cadence.engine.report import Line
from tom_cadence.exceptions import CadenceError
from tom_cadence.flows import outcomes, start
from tom_cadence.journal.reminders import waits_since
from tom_cadence.journal.states import CHANGE, CREDENTIALS
from tom_cadence.models import CadenceRun, ManagedCadence
from tom_cadence.pages.cadence.actions import ActionResult, paused_by_same_credentials
from tom_cadence.pages.cadence.data import Cadence, ShownObservation, planned_text, window_text
from tom_cadence.pages.cadence.forms import BookedForm, OwnerForm, parameters_form
from tom_cadence.permissions import may_change
from tom_cadence.strategies.base import CadenceStrategy
from tom_followup.labels import label as label_of

logger = logging.getLogger(__name__)
State = ManagedCadence.State
FOLDED, UNFOLDED = 10, 500
#: In which line of the history the reason of a state stands, where a strategy may have given it.
KIND_OF_STATE: dict[str, str] = {State.FINISHED: CadenceRun.Decision.STOP}


def context_of(cadence: Cadence, request: HttpRequest, done: ActionResult) -> dict[str, Any]:
    """Everything the page shows; ``done`` is what a button just did."""
    managed = cadence.managed
    steers = managed.cadence is not None and may_change(request.user, managed)
    points, _, number = cadence.photometry
    return {
        'managed': managed,
        'cadence_title': cadence.target_name,
        'targets': cadence.targets,
        'sentence': sentence(cadence),
        'reason': plain(cadence.readable(KIND_OF_STATE.get(managed.state, ''), managed.reason)),
        'waits_since': waits_since(managed),
        'remind_after': conf.get('REMIND_AFTER'),
        'trouble': plain(cadence.past.trouble) if managed.state == State.ACTIVE else '',
        'deleted': managed.cadence is None,
        'steers': steers,
        'said': plain(done.text),
        'ok': done.ok,
        'panel': done.panel,
        'timeline': cadence.timeline,
        'points_shown': len(points),
        'points_in_all': number,
        'plotly_version': plotly.__version__,
        'limits': limits(cadence),
        'previews': _previews(cadence),
        'decides_itself': cadence.decides_itself,
        'hidden': cadence.hidden,
        'unfinished': [each for each in cadence.observations if each.outcome == 'waiting'],
        **_runs(cadence, request.GET.get('decisions') == 'all'),
        **_observations(cadence, request.GET.get('observations') == 'all'),
        **(_steering(cadence, done) if steers else {}),
    }


def _runs(cadence: Cadence, unfolded: bool) -> dict[str, Any]:
    number = cadence.managed.runs.count()
    runs = cadence.runs(UNFOLDED if unfolded else FOLDED)
    shown = _merged([_run(run, cadence.readable(run.decision, run.reason)) for run in runs])
    return {'runs': shown, 'runs_left': number - len(runs), 'runs_in_all': number, 'runs_unfolded': unfolded}


def _merged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Problems that say the same in the same minute as one line: an error, and that nobody knows what became of the request."""
    kept: list[dict[str, Any]] = []
    for line in lines:
        newer = kept[-1] if kept else line
        together = newer is not line and newer['decision'] == line['decision'] == 'error'
        if not together or (newer['first'] - line['last']).total_seconds() > 60:
            kept.append(line)
        elif newer['reason'] == line['reason']:
            newer['first'], newer['count'] = line['first'], newer['count'] + line['count']
        elif newer['reason'].startswith(IN_DOUBT) and line['reason'].startswith(IN_DOUBT) and ': ' in line['reason']:
            newer['reason'] += f' What came back: {line["reason"].partition(": ")[2].rstrip(".")}.'
        else:
            kept.append(line)
    return kept


#: A decision as a person would say it; the others have words of their own.
WORDS = {'submit': 'Asked', 'wait': 'Waits', 'stop': 'Ended'}
IN_DOUBT = 'It is not known whether '


def _run(run: CadenceRun, reason: str) -> dict[str, Any]:
    return {
        'decision': run.decision,
        'word': WORDS.get(run.decision) or run.get_decision_display(),
        'reason': plain(reason),
        'first': run.first,
        'last': run.last,
        'count': run.count,
    }


def _observations(cadence: Cadence, unfolded: bool) -> dict[str, Any]:
    shown = cadence.with_urls(cadence.observations[: UNFOLDED if unfolded else FOLDED])
    return {
        'observations': [_line(each) for each in shown],
        'observations_in_all': len(cadence.observations),
        'observations_unfolded': unfolded,
        'by_hand': sorted(cadence.past.by_hand),
        'outcome_words': outcomes.WORDS,
    }


def _line(each: ShownObservation) -> dict[str, Any]:
    words = {'outcome': each.outcome if each.outcome != 'unknown' else 'note', 'word': each.outcome.capitalize()}
    return {
        'pk': each.pk,
        'observation_id': each.observation_id,
        'status': each.status,
        'window': window_text(each.window) if each.window else '',
        'trouble': each.trouble,
        'observed': each.observed[0] if each.observed else None,
        'scheduled': each.scheduled,
        'to_be_said': each.by_hand and each.outcome == 'waiting',
        'created': each.created,
        'url': each.url,
        **words,
    }


def _previews(cadence: Cadence) -> list[dict[str, Any]]:
    if cadence.managed.state not in (State.ACTIVE, State.PAUSED):
        return []
    found = (('If all succeed', cadence.preview), ('If the next one fails', cadence.preview_of_failure))
    return [
        {'title': title, 'windows': [planned_text(w) for w in preview.windows], 'ending': plain(preview.ending)}
        for title, preview in found
        if preview is not None
    ]


def _steering(cadence: Cadence, done: ActionResult) -> dict[str, Any]:
    """The forms, and what a person who needs to decide should know."""
    managed, request = cadence.managed, cadence.open_request
    window = cadence.window_in_doubt
    context = {
        'can_pause': managed.state == State.ACTIVE,
        # Where a request is open, the next run after it is resumed finds out what became of it, or asks a person.
        'can_resume': managed.state in (State.PAUSED, State.FINISHED) or (managed.state == State.ATTENTION and request is None),
        'can_end': managed.state != State.FINISHED,
        'can_run': managed.state == State.ACTIVE,
        'first_missing': start.missing_first(managed) if managed.state == State.ATTENTION and not cadence.snapshot.rows else None,
        'lost': journal.lost_booking(managed) if managed.state == State.ATTENTION and request is None else None,
        'can_change_asked': managed.state != State.FINISHED and request is None and not cadence.decides_itself,
        'change_needed': managed.state == State.ATTENTION and managed.reason_class == CHANGE,
        'doubt': request if managed.state == State.ATTENTION else None,
        'doubt_window': window_text(window) if window else '',
        'booked_form': done.form if done.panel == 'booked' and done.form else BookedForm(),
        'owner_form': done.form
        if done.panel == 'owner' and done.form
        else OwnerForm({row.target for row in cadence.snapshot.rows}, initial={'owner': cadence.managed.owner_id}),
    }
    if managed.reason_class.startswith(CREDENTIALS):
        context['together'] = paused_by_same_credentials(managed, cadence.user).count()
    try:
        context['edit_form'] = done.form if done.panel == 'edit' and done.form else parameters_form(managed.host)
    except CadenceError as error:
        context['edit_problem'] = plain(str(error))
    return context


@dataclass(frozen=True)
class LimitText:
    """One line of a list of parameters."""

    label: str
    value: str


def sentence(cadence: Cadence) -> str:
    """What the cadence does, in one sentence."""
    name, where = cadence.target_name, cadence.managed.facility or 'a facility'
    if cadence.managed.cadence is None:
        return f'Observed {name} at {where}; the cadence was deleted.'
    strategy, every = cadence.snapshot.strategy, cadence.snapshot.parameters.cadence_frequency
    return registry.strategy_sentence(cadence.managed.strategy, strategy, name, where, every)


def limits(cadence: Cadence) -> list[LimitText]:
    """Parameters and limits with their units, and how far they are used up."""
    parameters, history = cadence.snapshot.parameters, cadence.past.history
    if cadence.managed.cadence is None or cadence.past.trouble:
        return []
    done = history.count(Outcome.SUCCEEDED) + history.count(Outcome.WAITING)
    most, end = parameters.max_observations, parameters.end_date
    failures = _used(history.consecutive_failures, parameters.max_consecutive_failures)
    if parameters.max_errors is not None:
        failures = f'{history.consecutive_failures}; of errors and refusals {_used(history.errors, parameters.max_errors)}'
    again = conf.get('RESUBMIT_CANCELLED') if parameters.on_cancel == 'default' else parameters.on_cancel == 'resubmit'
    cancelled = f'is {"" if again else "not "}asked for again'
    if parameters.on_cancel == 'skip':
        cancelled = getattr(cadence.snapshot.strategy, 'skipping', CadenceStrategy.skipping)
    lines = [
        *_observed(cadence),
        LimitText('Repeat every', hours_in_words(parameters.cadence_frequency) if parameters.cadence_frequency else 'not set'),
        LimitText('End date', show(end) if end else 'none'),
        LimitText('Observations in all', f'{done} of {most} done or booked' if most else f'no limit ({done} done or booked)'),
        LimitText('Exposure time in all', _exposure(cadence)),
        LimitText('Nights without success', _used(history.lost_nights, parameters.max_nights_without_success)),
        LimitText('Failures in a row', failures),
        LimitText('Next window counts from', f'the {_COUNT_FROM[parameters.count_from]}'),
        LimitText('Pause after a failure', hours_in_words(parameters.retry_backoff) if parameters.retry_backoff else 'none'),
        LimitText('A cancelled observation', cancelled),
    ]
    return lines + _others(cadence)


def _observed(cadence: Cadence) -> Iterator[LimitText]:
    """With what it observes from now on, and how long in all was asked for and observed."""
    outcomes = {attempt.record: attempt.outcome for attempt in cadence.past.history.attempts}
    if not cadence.targets or cadence.hidden:  # it would tell of what this user may not see
        return
    records = ObservationRecord.objects.filter(pk__in=outcomes).order_by('created', 'pk').values_list('pk', 'parameters')
    kept = {pk: parameters if isinstance(parameters, dict) else {} for pk, parameters in records}
    if not kept:
        return
    newest = next(reversed(kept))
    words = what_is_observed(Instead.of(cadence.managed.asked_instead).over(kept[newest], newest))
    if words:
        yield LimitText('Observes', words)
    seconds = {pk: exposure_seconds(parameters) for pk, parameters in kept.items()}
    used = [seconds[pk] for pk in kept if outcomes[pk] is Outcome.SUCCEEDED]
    asked = [*used, *(seconds[pk] for pk in kept if outcomes[pk] is Outcome.WAITING)]
    if asked and None not in asked:
        total, taken = sum(filter(None, asked)), sum(filter(None, used))
        yield LimitText('Exposure so far', f'{hours_of(total)} asked for, {hours_of(taken)} of it taken')


def _used(number: int, most: int | None) -> str:
    return f'{number}, no limit' if most is None else f'{number} of {most}, then a person is asked'


_COUNT_FROM = {'requested': 'requested start', 'observed': 'real observation'}


def _exposure(cadence: Cadence) -> str:
    most = cadence.snapshot.parameters.max_exposure_time
    if most is None:
        return 'no limit'
    if not cadence.targets or cadence.hidden:
        return f'{most:g} s'
    counted = [a for a in cadence.past.history.attempts if a.outcome in (Outcome.SUCCEEDED, Outcome.WAITING)]
    spent = [exposure_seconds(attempt.parameters) for attempt in counted]
    known = sum(seconds for seconds in spent if seconds is not None)
    return f'{known:g} s of {most:g} s used' if None not in spent else f'{most:g} s; what is used cannot be read'


def _others(cadence: Cadence) -> list[LimitText]:
    """Parameters that only this strategy has, by the labels of its form."""
    stored = cadence.managed.host.cadence_parameters
    fields: Mapping[str, Any] = getattr(getattr(cadence.snapshot.strategy, 'form', None), 'base_fields', {})
    lines = []
    for name, value in stored.items() if isinstance(stored, Mapping) else ():
        if name in OWN_FIELDS or name not in fields or isinstance(value, (dict, list)):
            continue
        words = dict(getattr(fields[name], 'choices', ())).get(value, value)
        label = fields[name].label or label_of(name)
        lines.append(LimitText(str(label), 'not set' if words in (None, '') else str(words)))
    return lines


def plain(text: str) -> str:
    """A reason without the names of classes, and without what a facility's answer has for machines."""
    text = in_words(text)
    for name in registry.strategies():
        text = text.replace(name, registry.strategy_name(name))
    return text.replace('cadence_frequency', 'repeat interval').replace('update_observation_payload', 'its own changes')


WOULD = {
    'submit': 'It would ask for an observation.',
    'wait': 'It would wait.',
    'stop': 'It would end, or ask for a person.',
}


def in_future(line: Line) -> str:
    """A line of a rehearsal as a sentence."""
    return f'{WOULD.get(line.decision, "It cannot be said what it would do.")} {plain(line.reason)}'
