"""What a cadence does and where its limits are, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tom_cadence import conf, registry
from tom_cadence.facilities.exposure import exposure_seconds
from tom_cadence.history import Outcome
from tom_cadence.observation_templates import in_words
from tom_cadence.parameters import OWN_FIELDS, Parameters
from tom_cadence.runner.report import Line
from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy, RetryFailedObservationsStrategy
from tom_cadence.views.page_data import Cadence
from tom_cadence.windows import show


@dataclass(frozen=True)
class Said:
    """One line of a list of parameters."""

    label: str
    value: str


def sentence(cadence: Cadence) -> str:
    """What the cadence does, in one sentence."""
    name, where = cadence.target_name, cadence.managed.facility or 'a facility'
    strategy, parameters = cadence.looked.strategy, cadence.looked.parameters
    if cadence.managed.cadence is None:
        return f'Observed {name} at {where}; the cadence was deleted.'
    every = hours(parameters.cadence_frequency) if parameters.cadence_frequency else ''
    decides = getattr(type(strategy), 'decide', None)
    if every and decides is ResumeCadenceAfterFailureStrategy.decide:
        again = f'{hours(parameters.retry_backoff)} after it' if parameters.retry_backoff else 'as soon as possible'
        return f'Observes {name} at {where} every {every}; a failed observation is asked for again {again}.'
    if every and decides is RetryFailedObservationsStrategy.decide:
        return f'Asks {where} for every failed observation of {name} again, {every} later, until one succeeds.'
    called = _strategy_name(cadence)
    described = str(getattr(strategy, 'description', '') or '').strip().rstrip('.')
    return f'{called} for {name} at {where}{f", every {every}" if every else ""}{f": {described}" if described else ""}.'


def _strategy_name(cadence: Cadence) -> str:
    found: Any = registry.strategies().get(cadence.managed.strategy)
    return str(getattr(found, 'name', '') or 'A strategy of this TOM') if found else 'A strategy that is not configured any more'


def hours(number: float) -> str:
    """A number of hours as people say it: ``30 min``, ``24 h``, ``3 days``."""
    if number < 1:
        return f'{number * 60:g} min'
    if number >= 48 and number % 24 == 0:
        return f'{number / 24:g} days'
    return f'{number:g} h'


def limits(cadence: Cadence) -> list[Said]:
    """Parameters and limits with their units, and how far they are used up."""
    parameters, history = cadence.looked.parameters, cadence.looked.history
    if cadence.managed.cadence is None or cadence.looked.trouble:
        return []
    done = history.count(Outcome.SUCCEEDED) + history.count(Outcome.WAITING)
    failures = f'{history.consecutive_failures} of {parameters.max_consecutive_failures}'
    most, end = parameters.max_observations, parameters.end_date
    lines = [
        Said('Repeat every', hours(parameters.cadence_frequency) if parameters.cadence_frequency else 'not set'),
        Said('End date', show(end) if end else 'none'),
        Said('Observations in all', f'{done} of {most} done or booked' if most else f'no limit ({done} done or booked)'),
        Said('Exposure time in all', _exposure(cadence)),
        Said('Failures in a row', f'{failures}, then a person is asked'),
        Said('Next window counts from', f'the {_COUNT_FROM[parameters.count_from]}'),
        Said('Pause after a failure', hours(parameters.retry_backoff) if parameters.retry_backoff else 'none'),
        Said('A cancelled observation', _cancelled(parameters)),
    ]
    return lines + _others(cadence)


_COUNT_FROM = {'requested': 'requested start', 'observed': 'real observation'}


def _cancelled(parameters: Parameters) -> str:
    again = conf.get('RESUBMIT_CANCELLED') if parameters.on_cancel == 'default' else parameters.on_cancel == 'resubmit'
    return 'is asked for again' if again else 'is not asked for again'


def _exposure(cadence: Cadence) -> str:
    most = cadence.looked.parameters.max_exposure_time
    if most is None:
        return 'no limit'
    counted = [a for a in cadence.looked.history.attempts if a.outcome in (Outcome.SUCCEEDED, Outcome.WAITING)]
    spent = [exposure_seconds(attempt.parameters) for attempt in counted]
    known = sum(seconds for seconds in spent if seconds is not None)
    return f'{known:g} s of {most:g} s used' if None not in spent else f'{most:g} s; what is used cannot be read'


def _others(cadence: Cadence) -> list[Said]:
    """Parameters that only this strategy has, by the labels of its form."""
    stored = cadence.managed.host.cadence_parameters
    fields: Mapping[str, Any] = getattr(getattr(cadence.looked.strategy, 'form', None), 'base_fields', {})
    lines = []
    for name, value in stored.items() if isinstance(stored, Mapping) else ():
        if name in OWN_FIELDS or name not in fields or isinstance(value, (dict, list)):
            continue
        words = dict(getattr(fields[name], 'choices', ())).get(value, value)
        label = fields[name].label or name.replace('_', ' ').capitalize()
        lines.append(Said(str(label), 'not set' if words in (None, '') else str(words)))
    return lines


def plain(text: str) -> str:
    """A reason without the names of classes, and without what a facility's answer has for machines."""
    text = in_words(text)
    for name, strategy in registry.strategies().items():
        text = text.replace(name, str(getattr(strategy, 'name', '') or 'of this TOM'))
    return text.replace('cadence_frequency', 'repeat interval').replace('update_observation_payload', 'its own changes')


WOULD = {
    'submit': 'It would ask for an observation.',
    'wait': 'It would wait.',
    'stop': 'It would end, or ask for a person.',
}


def in_future(line: Line) -> str:
    """A line of a rehearsal as a sentence."""
    return f'{WOULD.get(line.decision, "It cannot be said what it would do.")} {plain(line.reason)}'
