"""A site whose every hook can be made to raise or to answer something odd: facility, form, strategy, mail, storage, signals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

from django import forms
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, default_storage
from django.core.mail.backends.base import BaseEmailBackend
from tom_observations.facility import BaseRoboticObservationFacility, BaseRoboticObservationForm
from tom_observations.models import ObservationRecord

from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy

HERE = __name__
#: hook -> what happens where it is passed
armed: dict[str, Callable[[], Any]] = {}


def passes(hook: str, otherwise: Any = None) -> Any:
    """What a hook answers: as it is armed, or ``otherwise``."""
    return armed[hook]() if hook in armed else otherwise


class SiteForm(BaseRoboticObservationForm):
    """A window and a name."""

    name = forms.CharField(max_length=50)
    start = forms.CharField()
    end = forms.CharField()

    def observation_payload(self) -> dict[str, Any]:
        """What is sent."""
        return {'name': self.cleaned_data['name'], 'start': self.cleaned_data['start'], 'end': self.cleaned_data['end']}


class OddForm(SiteForm):
    """The same, with hooks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """The form's constructor is a hook."""
        passes('form.__init__')
        super().__init__(*args, **kwargs)

    def is_valid(self) -> bool:
        """And so is its validation."""
        return bool(passes('form.is_valid', super().is_valid()))

    def observation_payload(self) -> Any:
        """And what it makes."""
        return passes('form.observation_payload', super().observation_payload())

    def serialize_parameters(self) -> Any:
        """And what is kept."""
        return passes('form.serialize_parameters', super().serialize_parameters())


class Good(BaseRoboticObservationFacility):
    """Books in memory."""

    name = 'Good observatory'
    observation_forms: ClassVar[Any] = {'IMAGING': SiteForm}
    booked: ClassVar[list[tuple[str, str]]] = []
    states: ClassVar[dict[str, str]] = {}
    numbers: ClassVar[Any] = itertools.count(1)

    def get_form(self, observation_type: Any) -> Any:
        """One form."""
        return SiteForm

    def submit_observation(self, observation_payload: Any) -> Any:
        """Book."""
        number = str(next(Good.numbers))
        Good.booked.append((observation_payload['name'], number))
        Good.states[number] = 'PENDING'
        return [number]

    def validate_observation(self, observation_payload: Any) -> Any:
        """Nothing is wrong."""
        return {}

    def get_observation_url(self, observation_id: Any) -> str:
        """Nowhere."""
        return ''

    def get_observation_status(self, observation_id: Any) -> Any:
        """As the test says."""
        return {'state': Good.states[observation_id], 'scheduled_start': None, 'scheduled_end': None}

    def get_terminal_observing_states(self) -> Any:
        """Two."""
        return ['COMPLETED', 'WINDOW_EXPIRED']

    def get_failed_observing_states(self) -> Any:
        """One."""
        return ['WINDOW_EXPIRED']

    def get_observing_sites(self) -> Any:
        """La Palma."""
        return {'La Palma': {'sitecode': 'lp', 'latitude': 28.76, 'longitude': -17.88, 'elevation': 2396}}

    def data_products(self, observation_id: Any, product_id: Any = None) -> Any:
        """None."""
        return []

    def get_start_end_keywords(self) -> Any:
        """The usual."""
        return 'start', 'end'


def _hooked(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if f'facility.{name}' in armed:
            return armed[f'facility.{name}']()
        return getattr(super(Odd, self), name)(*args, **kwargs)

    return method


FACILITY_HOOKS = (
    'get_form',
    'submit_observation',
    'get_observation_status',
    'get_terminal_observing_states',
    'get_failed_observing_states',
    'get_observing_sites',
    'get_start_end_keywords',
    'set_user',
)


class Odd(Good):
    """The same, with hooks; it marks what it books, so that it can be looked up."""

    name = 'Odd observatory'

    def __init__(self) -> None:
        """The constructor is a hook."""
        passes('facility.__init__')
        super().__init__()

    get_form = _hooked('get_form')
    submit_observation = _hooked('submit_observation')
    get_observation_status = _hooked('get_observation_status')
    get_terminal_observing_states = _hooked('get_terminal_observing_states')
    get_failed_observing_states = _hooked('get_failed_observing_states')
    get_observing_sites = _hooked('get_observing_sites')
    get_start_end_keywords = _hooked('get_start_end_keywords')
    set_user = _hooked('set_user')

    def get_observation_statuses(self, ids: Any) -> Any:
        """Of many at once."""
        return passes('facility.get_observation_statuses', {each: Good.get_observation_status(self, each) for each in ids})

    def mark_observation(self, payload: Any, token: str) -> Any:
        """The token in the payload."""
        return passes('facility.mark_observation', {**payload, 'token': token})

    def find_observations(self, token: str, created_after: datetime) -> Any:
        """Nothing was ever lost."""
        return passes('facility.find_observations', [])


class Formal(Odd):
    """Its form has hooks."""

    name = 'Formal observatory'

    def get_form(self, observation_type: Any) -> Any:
        """The odd form."""
        return OddForm


class Remembering(Good):
    """It can be asked for what it booked; the mark of each booking, by its number."""

    name = 'Observatory that remembers'
    marks: ClassVar[dict[str, str]] = {}

    def mark_observation(self, payload: Any, token: str) -> Any:
        """The mark in the payload."""
        return {**payload, 'token': token}

    def submit_observation(self, observation_payload: Any) -> Any:
        """Book, and remember."""
        [number] = super().submit_observation(observation_payload)
        Remembering.marks[number] = observation_payload.get('token', '')
        return [number]

    def find_observations(self, token: str, created_after: datetime) -> Any:
        """Those with the mark."""
        return [number for number, mark in Remembering.marks.items() if mark == token]


class Itself(Odd):
    """Saves states in its own way."""

    name = 'Observatory that saves itself'

    def update_observation_status(self, observation_id: Any) -> Any:
        """Hooked."""
        passes('facility.update_observation_status')
        state = Good.states[observation_id]
        ObservationRecord.objects.filter(facility=self.name, observation_id=observation_id).update(status=state)


class OddStrategy(ResumeCadenceAfterFailureStrategy):
    """Resume, with hooks."""

    name = 'Odd'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """The constructor is a hook."""
        passes('strategy.__init__')
        super().__init__(*args, **kwargs)

    def decide(self, history: Any, now: datetime) -> Any:
        """Hooked."""
        return armed['strategy.decide']() if 'strategy.decide' in armed else super().decide(history, now)

    def update_observation_payload(self, observation_payload: Any) -> Any:
        """Hooked."""
        return passes('strategy.update_observation_payload', observation_payload)

    @property
    def needs_parameters(self) -> Any:  # type: ignore[override]
        """Hooked."""
        return passes('strategy.needs_parameters', False)

    @property
    def waits_for_unfinished(self) -> Any:  # type: ignore[override]
        """Hooked."""
        return passes('strategy.waits_for_unfinished', True)

    @property
    def needs_photometry(self) -> Any:  # type: ignore[override]
        """Hooked."""
        return passes('strategy.needs_photometry', True)

    @property
    def answers_each_failure(self) -> Any:  # type: ignore[override]
        """Hooked."""
        return passes('strategy.answers_each_failure', False)

    def photometry_span(self) -> Any:
        """Hooked."""
        return passes('strategy.photometry_span', timedelta(days=30))

    def asks_service(self) -> Any:
        """Hooked."""
        return passes('strategy.asks_service', '')


class RunsItself(ResumeCadenceAfterFailureStrategy):
    """Calls the facility in its own run()."""

    name = 'Runs itself'

    def run(self) -> Any:
        """Hooked."""
        return passes('strategy.run')


def on_change(record: ObservationRecord, previous_status: Any) -> None:
    """The host's hook of states, which keeps a file of the cadence in the middle."""
    if 'victim' in str(record.parameters):
        passes('hook.observation_change_state')
        default_storage.save('state.txt', ContentFile(record.status.encode()))


class OddStorage(InMemoryStorage):
    """A storage with hooks."""

    def _save(self, name: str, content: Any) -> str:
        """Hooked."""
        passes('storage.save')
        return str(super()._save(name, content))


class OddMail(BaseEmailBackend):
    """A mail server with hooks."""

    sent: ClassVar[list[Any]] = []

    def send_messages(self, email_messages: Any) -> int:
        """Hooked."""
        passes('mail.send_messages')
        OddMail.sent.extend(email_messages)
        return len(email_messages)


STRATEGY_HOOKS = (
    '__init__',
    'decide',
    'update_observation_payload',
    'needs_parameters',
    'waits_for_unfinished',
    'needs_photometry',
    'answers_each_failure',
    'photometry_span',
    'asks_service',
)
#: hook -> (facility, strategy) of the cadence that passes it
HOOKS: dict[str, tuple[type, str]] = {f'facility.{name}': (Odd, 'OddStrategy') for name in FACILITY_HOOKS}
HOOKS |= {
    f'facility.{name}': (Odd, 'OddStrategy')
    for name in ('__init__', 'get_observation_statuses', 'mark_observation', 'find_observations')
}
HOOKS |= {
    f'form.{name}': (Formal, 'OddStrategy') for name in ('__init__', 'is_valid', 'observation_payload', 'serialize_parameters')
}
HOOKS |= {f'strategy.{name}': (Odd, 'OddStrategy') for name in STRATEGY_HOOKS}
HOOKS['facility.update_observation_status'] = (Itself, 'OddStrategy')
HOOKS['strategy.run'] = (Odd, 'RunsItself')
HOOKS |= dict.fromkeys(('mail.send_messages', 'hook.observation_change_state', 'storage.save'), (Odd, 'OddStrategy'))
FACILITIES = [f'{HERE}.{each.__name__}' for each in (Good, Odd, Formal, Itself, Remembering)]
STRATEGIES = ['tom_cadence.strategies.ResumeCadenceAfterFailureStrategy', f'{HERE}.OddStrategy', f'{HERE}.RunsItself']
UTC = timezone.utc
