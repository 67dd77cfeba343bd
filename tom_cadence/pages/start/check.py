"""What was filled in, checked: a cadence that may begin, or errors beside the fields; and what speaks against it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.forms.utils import ErrorDict
from django.urls import reverse
from tom_observations.models import ObservationRecord

from tom_cadence import registry
from tom_cadence.core.history import Outcome
from tom_cadence.core.windows import Window, show
from tom_cadence.exceptions import BadWindow, CadenceError, Refused
from tom_cadence.facilities import Facilities, Gateway, user_forms
from tom_cadence.facilities import forms as facility_forms
from tom_cadence.facilities.movement import Verdict, movement
from tom_cadence.flows.start import ReadyToStart, check_first, check_group_sky, check_sky, kept, make_strategy
from tom_cadence.models import ManagedCadence
from tom_cadence.pages.start.forms import SHARED, StartForms, window_given
from tom_cadence.pages.start.source import StartSource
from tom_cadence.permissions import visible_cadences, visible_records
from tom_followup.labels import label
from tom_followup.redaction import redact

MOST_RECORDS = 300
MOST_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class StartWarning:
    """Something that a person should know before it starts, and where to read more."""

    text: str
    url: str = ''
    link: str = ''


def cadence_parameters(made: StartForms, strategy: str, group: Any = None) -> dict[str, Any] | None:
    """What the cadence keeps, or None with the errors beside the fields."""
    if not made.strategy.is_valid():
        return None
    found = kept(made.strategy.cleaned_data, set(made.strategy.cadence_fields))
    try:
        make_strategy(strategy, found, group)
    except CadenceError as error:
        made.strategy.add_error(None, str(error))
        return None
    return found


def group_parameters(made: StartForms, source: StartSource, now: datetime) -> dict[str, Any] | None:
    """The same for a cadence of an observation group, whose target must be up at times for what is asked of the sky."""
    found = cadence_parameters(made, source.strategy, source.group)
    if found is not None and (down := check_group_sky(source.group, source.user, found, now)):
        made.strategy.add_error(None, down)
        return None
    return found


def check_forms(source: StartSource, gateway: Gateway, made: StartForms, now: datetime) -> ReadyToStart | None:
    """A cadence that may begin, or None with every error beside its field. The facility is asked, and books nothing."""
    valid = made.window is None or made.window.is_valid()
    parameters = cadence_parameters(made, source.strategy)
    valid = _facility_accepts(gateway, made) and valid
    _move_shared_errors(made)
    if parameters is None or not valid or made.strategy.errors:
        return None
    try:
        asked = {**facility_forms.serialized(made.facility, {}), **window_given(made.window)}
        window = _window(gateway, made, asked)
        problem = check_first(source.strategy, parameters, window, asked, now)
        if problem:
            _at_its_field(gateway, made, window, problem, now)
            return None
        if down := check_sky(gateway, source.target, parameters, window, asked, now):
            _add(made, gateway.keywords[0], down)
            return None
        prepared = gateway.prepare(asked, window, {}, lambda data: data)
        moves = movement(gateway, prepared.parameters, prepared.window)
        if moves.verdict is Verdict.STAYS:
            made.facility.add_error(None, moves.reason)
            return None
    except BadWindow:
        return None
    except CadenceError as error:
        put_errors_at_fields(made.facility, error)
        return None
    name = str(asked.get('name') or '').strip() or f'{source.target.name}: {registry.strategy_name(source.strategy)}'
    groups = tuple(made.facility.cleaned_data.get('groups') or ())
    return ReadyToStart(
        user=source.user,
        target=source.target,
        gateway=gateway,
        prepared=prepared,
        strategy=source.strategy,
        parameters=parameters,
        name=name,
        groups=groups,
        doubt=moves.reason,
    )


def _facility_accepts(gateway: Gateway, made: StartForms) -> bool:
    """The form's own checks, which ask some facilities; the others are asked after it."""
    form = made.facility
    try:
        with user_forms.facility_call(gateway):
            if not _is_valid(form):
                return False
        if not hasattr(form, 'validate_at_facility'):
            data = {name: values for name, values in form.data.lists() if name != 'groups'}  # whose choices are the user's
            user_forms.check(gateway, str(form.data.get('observation_type', '')), data)
    except Refused as error:
        if error.__cause__ is None:
            put_errors_at_labels(form, str(error))
        else:
            put_errors_at_fields(form, error)
        return False
    except CadenceError as error:
        put_errors_at_fields(form, error)
        return False
    return True


def _is_valid(form: Any) -> bool:
    try:
        return bool(form.is_valid())
    except Exception:  # a form's own clean() often trips over a field that was refused before
        if getattr(form, '_errors', None):
            return False
        raise


def _move_shared_errors(made: StartForms) -> None:
    """What a sequence form says about the fields that the strategy's form shows in its place."""
    for name in SHARED:
        if made.facility.errors.get(name) and name in made.strategy.fields:
            texts = made.facility.errors.pop(name)
            if name not in made.strategy.errors:
                made.strategy.add_error(name, list(map(str, texts)))


def _window(gateway: Gateway, made: StartForms, asked: dict[str, Any]) -> Window:
    start, end = gateway.keywords
    try:
        return gateway.window(asked)
    except BadWindow as error:
        name = end if asked.get(start) else start
        _add(made, name, str(error))
        raise


def _at_its_field(gateway: Gateway, made: StartForms, window: Window, problem: str, now: datetime) -> None:
    if window.end <= now:
        _add(made, gateway.keywords[1], problem)
        return
    given = [name for name in ('end_date', 'max_exposure_time') if made.strategy.cleaned_data.get(name)]
    about = [name for name in given if name in made.strategy.fields and name.split('_')[-1] in problem]
    made.strategy.add_error(about[0] if about else None, problem)


def _add(made: StartForms, name: str, problem: str) -> None:
    for form in (made.window, made.facility):
        if form is not None and name in form.fields and not form[name].is_hidden:
            form.add_error(name, problem)
            return
    made.facility.add_error(None, problem)


def accepted_words(gateway: Gateway, made: StartForms) -> str:
    """What the facility's validation says about a form that it accepts."""
    message = getattr(made.facility, 'get_validation_message', None)
    said = message() if message is not None else 'This observation is valid.'
    return f'{gateway.name} says: {said}'


def warnings(user: Any, ready: ReadyToStart, now: datetime) -> list[StartWarning]:
    """What this user should know: other active cadences of the target, observations in the window, a window that has begun."""
    window = ready.prepared.window
    found = [*_cadences(user, ready.target), *_observations(user, ready, window)]
    if ready.doubt:
        found.append(StartWarning(text=ready.doubt))
    if window.start < now:
        found.append(StartWarning(text=f'The first window has begun already ({show(window.start)}).'))
    return found


def group_warnings(user: Any, group: Any) -> list[StartWarning]:
    """An active cadence that the group has already."""
    rows = visible_cadences(user, ManagedCadence.objects.filter(cadence__active=True, cadence__observation_group=group))
    text = 'This observation group has an active cadence already ({}): no second one will be made.'
    return [
        StartWarning(text=text.format(registry.strategy_name(managed.strategy)), url=_page(managed), link='Look at it')
        for managed in rows
    ]


def _page(managed: ManagedCadence) -> str:
    return reverse('cadences:page', kwargs={'pk': managed.pk})


def _cadences(user: Any, target: Any) -> Iterator[StartWarning]:
    rows = ManagedCadence.objects.filter(
        cadence__active=True, cadence__observation_group__observation_records__target=target.pk
    ).distinct()
    for managed in visible_cadences(user, rows).order_by('-pk')[:MOST_SHOWN]:
        text = f'{target.name} has an active cadence already: {registry.strategy_name(managed.strategy)}, at {managed.facility}.'
        yield StartWarning(text=text, url=_page(managed), link='Look at it')


def _observations(user: Any, ready: ReadyToStart, window: Window) -> Iterator[StartWarning]:
    rows = visible_records(user, ObservationRecord.objects.filter(target=ready.target.pk)).order_by('-created')
    facilities, shown = Facilities(), 0
    for record in rows[:MOST_RECORDS]:
        there = _span(record, facilities, user)
        if there is None or there.end <= window.start or there.start >= window.end or shown == MOST_SHOWN:
            continue
        shown += 1
        span = f'{show(there.start)} to {show(there.end)}'
        text = f'Observation {record.observation_id} at {record.facility} is in that window ({span}).'
        yield StartWarning(text=text, url=reverse('tom_observations:detail', kwargs={'pk': record.pk}), link='Look at it')


def _span(record: Any, facilities: Facilities, user: Any) -> Window | None:
    """When an observation was or may be taken; None where it failed, or where nobody can tell."""
    try:
        gateway = facilities.gateway(record.facility, user)
        if gateway.outcome(record.status or '') not in (Outcome.WAITING, Outcome.SUCCEEDED):
            return None
        if record.scheduled_start and record.scheduled_end and record.scheduled_start < record.scheduled_end:
            return Window(start=record.scheduled_start, end=record.scheduled_end)
        return gateway.window(record.parameters)
    except Exception:  # a facility that is configured no more, or its code: an observation nobody can place is not warned of
        return None


def put_errors_at_fields(form: Any, error: BaseException) -> None:
    """Put a facility's refusal beside the fields it is about, as far as it names them; the rest stands above the form."""
    _ready_for_errors(form)
    cause = error.__cause__
    texts = list(cause.messages) if isinstance(cause, ValidationError) else [str(error)]
    for text in texts:
        found = _json_in(text) if isinstance(cause, ValidationError) else None
        if found is None:
            form.add_error(None, redact(text) if text != str(error) else text)
        for path, leaf in _leaves(found) if found is not None else ():
            name = next((part for part in reversed(path) if part in form.fields and not form[part].is_hidden), None)
            words = ' '.join(label(part) for part in path[-1:] if part != 'non_field_errors')
            form.add_error(name, redact(leaf if name or not words else f'{words}: {leaf}'))


def _ready_for_errors(form: Any) -> None:
    """A form whose own clean() raised has nowhere to put an error yet."""
    if form._errors is None:
        form._errors = ErrorDict()
    if not hasattr(form, 'cleaned_data'):
        form.cleaned_data = {}


def _json_in(text: str) -> Any:
    start, end = text.find('{'), text.rfind('}')
    try:
        return json.loads(text[start : end + 1]) if start >= 0 else None
    except ValueError:
        return None


def _leaves(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _leaves(value, path)
    elif found:
        yield path, str(found)


def put_errors_at_labels(form: Any, text: str) -> None:
    """Put a sentence of refusals, each after its field's label, beside those fields; above the form where none is named."""
    labels = {str(form[name].label): name for name in form.fields if not form[name].is_hidden and form[name].label}
    longest_first = '|'.join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    found = list(re.finditer(rf'(?:^|\s)({longest_first}): ', text)) if labels else []
    if not found:
        form.add_error(None, text)
        return
    for match, following in zip(found, [*found[1:], None], strict=True):
        said = text[match.end() : following.start() if following else len(text)]
        form.add_error(labels[match[1]], said.strip())
