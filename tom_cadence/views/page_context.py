"""The page of one cadence as values for its templates."""

from __future__ import annotations

from typing import Any

import plotly
from django.http import HttpRequest

from tom_cadence.exceptions import CadenceError
from tom_cadence.forms_steer import BookedForm, OwnerForm, parameters_form
from tom_cadence.journal.states import CREDENTIALS
from tom_cadence.models import CadenceRun, ManagedCadence
from tom_cadence.permissions import may_change
from tom_cadence.views.page_actions import Done, paused_together
from tom_cadence.views.page_data import Cadence, Observation, planned_text, window_text
from tom_cadence.views.page_words import limits, plain, sentence

State = ManagedCadence.State
FOLDED, UNFOLDED = 10, 500


def context_of(cadence: Cadence, request: HttpRequest, done: Done) -> dict[str, Any]:
    """Everything the page shows; ``done`` is what a button just did."""
    managed = cadence.managed
    steers = managed.cadence is not None and may_change(request.user, managed)
    points, _, number = cadence.photometry
    return {
        'managed': managed,
        'cadence_title': cadence.target_name,
        'targets': cadence.targets,
        'sentence': sentence(cadence),
        'reason': plain(managed.reason),
        'trouble': plain(cadence.looked.trouble) if managed.state == State.ACTIVE else '',
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
    shown = _merged([_run(run) for run in runs])
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


def _run(run: CadenceRun) -> dict[str, Any]:
    return {
        'decision': run.decision,
        'word': WORDS.get(run.decision) or run.get_decision_display(),
        'reason': plain(run.reason),
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
    }


def _line(each: Observation) -> dict[str, Any]:
    words = {'outcome': each.outcome if each.outcome != 'unknown' else 'note', 'word': each.outcome.capitalize()}
    return {
        'pk': each.pk,
        'observation_id': each.observation_id,
        'status': each.status,
        'window': window_text(each.window) if each.window else '',
        'trouble': each.trouble,
        'observed': each.observed[0] if each.observed else None,
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


def _steering(cadence: Cadence, done: Done) -> dict[str, Any]:
    """The forms, and what a person who needs to decide should know."""
    managed, request = cadence.managed, cadence.open_request
    window = cadence.window_in_doubt
    context = {
        'can_pause': managed.state == State.ACTIVE,
        'can_resume': managed.state in (State.PAUSED, State.FINISHED, State.ATTENTION) and request is None,
        'can_end': managed.state != State.FINISHED,
        'can_run': managed.state == State.ACTIVE,
        'doubt': request if managed.state == State.ATTENTION else None,
        'doubt_window': window_text(window) if window else '',
        'booked_form': done.form if done.panel == 'booked' and done.form else BookedForm(),
        'owner_form': done.form if done.panel == 'owner' and done.form else _owner_form(cadence),
    }
    if managed.reason_class.startswith(CREDENTIALS):
        context['together'] = paused_together(managed, cadence.user).count()
    try:
        context['edit_form'] = done.form if done.panel == 'edit' and done.form else parameters_form(managed.host)
    except CadenceError as error:
        context['edit_problem'] = plain(str(error))
    return context


def _owner_form(cadence: Cadence) -> OwnerForm:
    return OwnerForm({row.target for row in cadence.looked.rows}, initial={'owner': cadence.managed.owner_id})
