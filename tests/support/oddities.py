"""Strategies and facilities as sites write them, some of them badly."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import requests
from django.core.exceptions import ValidationError
from tom_common.exceptions import ImproperCredentialsException
from tom_observations.cadence import BaseCadenceForm, CadenceForm
from tom_observations.cadence import CadenceStrategy as ToolkitStrategy
from tom_observations.facility import get_service_class
from tom_observations.models import ObservationRecord

from custom_code.observatory import ObservatoryImagingForm, PlainObservatoryFacility, SimulatedObservatoryFacility
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.windows import Window
from tom_cadence.strategies import CadenceStrategy, ResumeCadenceAfterFailureStrategy

HERE = __name__


def paths(*classes: type) -> list[str]:
    """For TOM_CADENCE_STRATEGIES: ours and these."""
    ours = [f'tom_cadence.strategies.{name}' for name in ('RetryFailedObservationsStrategy', 'ResumeCadenceAfterFailureStrategy')]
    return [*ours, *(f'{HERE}.{each.__name__}' for each in classes)]


class Oracle(CadenceStrategy):
    """Says what a test puts into ``answer``: a value, or something to call with history and now."""

    name = 'Oracle'
    answer: ClassVar[Any] = None

    def decide(self, history: Any, now: datetime) -> Any:
        return type(self).answer(history, now) if callable(type(self).answer) else type(self).answer


def window(now: datetime) -> Window:
    return Window(start=now, end=now + timedelta(hours=4))


def submit(history: Any, now: datetime, **given: Any) -> Submit:
    last = history.newest.newest.record
    return Submit(**{'reason': 'due', 'window': window(now), 'like': last, 'follows': (last,), **given})


def raises(history: Any, now: datetime) -> Any:
    raise KeyError('magnitude')


# what the strategy returns -> a word that its reason must hold
NONSENSE: dict[str, tuple[Any, str]] = {
    'raises': (raises, 'Oracle failed'),
    'returns None': (None, 'Oracle returned None'),
    'returns a word': ('submit', "Oracle returned 'submit'"),
    'returns True': (True, 'Oracle returned True'),
    'copies a record of somebody else': (lambda h, n: submit(h, n, like=987654), '987654'),
    'follows nothing': (lambda h, n: submit(h, n, follows=()), 'follows'),
    'follows None': (lambda h, n: submit(h, n, follows=None, cause='gap'), 'follows'),
    'follows a record of somebody else': (lambda h, n: submit(h, n, follows=(987654,)), '987654'),
    'follows a text': (lambda h, n: submit(h, n, follows='12'), 'follows'),
    'has no window': (lambda h, n: submit(h, n, window=None), 'window'),
    'has a tuple for a window': (lambda h, n: submit(h, n, window=(n, n + timedelta(hours=1))), 'window'),
    'changes nothing into None': (lambda h, n: submit(h, n, changes=None), 'changes'),
    'changes a list': (lambda h, n: submit(h, n, changes=['filter']), 'changes'),
    'changes to NaN': (lambda h, n: submit(h, n, changes={'exposure_time': math.nan}), 'exposure_time'),
    'changes a time to something masked': (lambda h, n: submit(h, n, changes={'exposure_time': np.ma.masked}), 'exposure_time'),
    'changes with an object': (lambda h, n: submit(h, n, changes={'filter': object()}), 'filter'),
    'changes a name of NUL': (lambda h, n: submit(h, n, changes={'a\x00': 1}), 'changes'),
    'follows a number with a fraction': (lambda h, n: submit(h, n, follows=(1.5,)), 'follows'),
    'has a window for ever': (lambda h, n: submit(h, n, window=Window(start=n, end=datetime.max.replace(tzinfo=n.tzinfo))), '2200'),
    'has a hundred thousand windows': (lambda h, n: submit(h, n, alternatives=(window(n),) * 100_000), 'alternatives'),
    'gives an endless cause': (lambda h, n: submit(h, n, cause='x' * 5000), 'cause'),
    'wishes a word': (Wait(reason='Look.', wish='ATLAS'), 'wishes'),  # type: ignore[arg-type]
    'has a reversed window': (lambda h, n: submit(h, n, window=Window(start=n, end=n)), 'before it starts'),
    'gives no reason': (lambda h, n: submit(h, n, reason=None), 'reason'),
    'waits without a reason': (Wait(reason=None), 'reason'),  # type: ignore[arg-type]
    'waits with a number': (Wait(reason=7), 'reason'),  # type: ignore[arg-type]
    'ends without a reason': (Stop(reason=None), 'reason'),  # type: ignore[arg-type]
    'ends in an unknown way': (Stop(reason='enough', kind='tired'), 'tired'),  # type: ignore[arg-type]
}


class Unmakeable(CadenceStrategy):
    """Its constructor raises."""

    def __init__(self, dynamic_cadence: Any, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError('no magnitude service')


class BadHook(ResumeCadenceAfterFailureStrategy):
    """Its payload hook does what a test says."""

    hook: ClassVar[Any] = staticmethod(lambda payload: payload)

    def update_observation_payload(self, observation_payload: dict[str, Any]) -> Any:
        return type(self).hook(observation_payload)


class Tutorial(ToolkitStrategy):
    """The toolkit's tutorial, ported to ``record.parameters``: only run() is there, and it calls the facility itself."""

    name = 'Tutorial'
    description = 'Asks for the last observation once more when it is done.'
    form = BaseCadenceForm
    before: ClassVar[Any] = None
    after: ClassVar[Any] = None
    runs: ClassVar[int] = 0
    user: ClassVar[Any] = None
    into_group: ClassVar[bool] = True

    def run(self) -> list[ObservationRecord] | None:
        type(self).runs += 1
        last = self.dynamic_cadence.observation_group.observation_records.order_by('-created').first()
        facility = get_service_class(last.facility)()
        facility.update_observation_status(last.observation_id)
        last.refresh_from_db()
        if not last.terminal:
            return None
        _call(type(self).before)
        payload = dict(last.parameters)
        form = facility.get_form(payload['observation_type'])(payload)
        form.is_valid()
        made = []
        for observation_id in facility.submit_observation(form.observation_payload()):
            _call(type(self).after)
            record = ObservationRecord.objects.create(
                target=last.target,
                facility=facility.name,
                parameters=form.serialize_parameters(),
                observation_id=observation_id,
                user=type(self).user,
            )
            if self.into_group:
                self.dynamic_cadence.observation_group.observation_records.add(record)
            made.append(record)
        return made


def _call(something: Any) -> None:
    if something is not None:
        something()


class OurTutorial(Tutorial, CadenceStrategy):
    """The same from this app's base class."""

    name = 'Our tutorial'


class OddFacility(SimulatedObservatoryFacility):
    """The simulated observatory; ``submit``, ``states`` and ``form`` do what a test says."""

    name = 'Simulated observatory'
    submit: ClassVar[Any] = None
    state: ClassVar[Any] = None
    terminal: ClassVar[Any] = None
    many: ClassVar[Any] = None
    form: ClassVar[Any] = None

    def get_form(self, observation_type: Any) -> Any:
        return self.form() if self.form else super().get_form(observation_type)

    def submit_observation(self, observation_payload: Any) -> Any:
        return type(self).submit(self, observation_payload) if self.submit else super().submit_observation(observation_payload)

    def get_observation_status(self, observation_id: Any) -> Any:
        return type(self).state(observation_id) if self.state else super().get_observation_status(observation_id)

    def get_observation_statuses(self, ids: Any) -> Any:
        return type(self).many(ids) if self.many else super().get_observation_statuses(ids)

    def get_terminal_observing_states(self) -> Any:
        return type(self).terminal() if self.terminal else super().get_terminal_observing_states()


class OddForm(ObservatoryImagingForm):
    """A form whose validation raises, as the toolkit's own do when a field is missing or the portal is down."""

    problem: ClassVar[Any] = None

    def is_valid(self) -> bool:
        super().is_valid()
        raise type(self).problem


class TwoParts(PlainObservatoryFacility):
    """Sends in two calls, as facilities do that book first and add the calibrations afterwards."""

    name = 'Two parts'
    refusals = (ValidationError,)
    second: ClassVar[Any] = None

    def submit_observation(self, observation_payload: Any) -> list[str]:
        booked = super().submit_observation(observation_payload)
        type(self).second(self)
        return booked


def nobody_listens(facility: Any) -> None:
    requests.post('http://127.0.0.1:9/calibrations', timeout=5)


def refused(facility: Any) -> None:
    raise ValidationError('no arc lamps')


def locked_out(facility: Any) -> None:
    raise ImproperCredentialsException('calibrations: key')


class PersonalFacility(SimulatedObservatoryFacility):
    """Every user needs a key of their own."""

    name = 'Personal observatory'
    users: ClassVar[list[Any]] = []
    keys: ClassVar[set[str]] = set()

    def set_user(self, user: Any) -> None:
        super().set_user(user)
        type(self).users.append(user.username)
        if user.username not in self.keys:
            raise ImproperCredentialsException(f'{user.username} has no key')


class Silent(PlainObservatoryFacility):
    """Has no word for what failed."""

    name = 'Silent observatory'
    get_failed_observing_states = None


class Renamed(PlainObservatoryFacility):
    """The same ids, other states: nothing of it may reach records of another facility."""

    name = 'Other observatory'


class FieldlessForm(CadenceForm):
    """A cadence form that does not say which fields belong to the cadence."""


class Fieldless(ResumeCadenceAfterFailureStrategy):
    """Its form is a plain CadenceForm."""

    form = FieldlessForm


class RetryFailedObservationsStrategy(ResumeCadenceAfterFailureStrategy):
    """A site's own class with a name that is taken."""


class Sleepless(SimulatedObservatoryFacility):
    """Saves states in its own way, sooner or later; every observation has failed."""

    name = 'Sleepless observatory'
    sleep: ClassVar[Any] = None

    def update_observation_status(self, observation_id: str) -> None:
        _call(type(self).sleep)
        ObservationRecord.objects.filter(facility=self.name, observation_id=observation_id).update(status='WINDOW_EXPIRED')
