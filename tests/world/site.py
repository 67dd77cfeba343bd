"""What a site has of its own in a world: facilities and strategies that are as good and as bad as real ones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from smtplib import SMTPServerDisconnected
from typing import Any, ClassVar

import requests
from django.core.mail.backends.base import BaseEmailBackend
from tom_observations.models import ObservationRecord

from custom_code.observatory import SimulatedObservatoryFacility
from tests.support.cadences import parameters
from tom_cadence import conf
from tom_cadence.core.decisions import Decision
from tom_cadence.core.history import History
from tom_cadence.strategies import ResumeCadenceAfterFailureStrategy

HERE = __name__
RETRYING = 'Retrying observatory'


AFTER_SENDING = 'after sending'
#: Where a class of a site may make a mistake: what the product calls of it, and what comes after it has booked.
HOOKS = (
    'set_user',
    'get_form',
    'get_observation_status',
    'get_observation_statuses',
    'get_terminal_observing_states',
    'get_failed_observing_states',
    'submit_observation',
    AFTER_SENDING,
)


def mistake(*_: Any, **__: Any) -> Any:
    """What a hook of a site does that has one."""
    raise ZeroDivisionError('a mistake of the site')


class RetryingFacility(SimulatedObservatoryFacility):
    """Asks again by itself where a connection broke, as many a class does; ``mistaken`` names what raises for some hours."""

    name = RETRYING
    mistaken: ClassVar[str] = ''

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return mistake if name == RetryingFacility.mistaken else found

    def submit_observation(self, observation_payload: dict[str, Any]) -> list[str]:
        """Three times at most."""
        booked = self._ask_again(observation_payload)
        return mistake() if RetryingFacility.mistaken == AFTER_SENDING else booked

    def _ask_again(self, observation_payload: dict[str, Any]) -> list[str]:
        for _ in range(2):
            try:
                return super().submit_observation(observation_payload)
            except requests.ConnectionError:
                continue
            except requests.Timeout:
                continue
        return super().submit_observation(observation_payload)


class Mail(BaseEmailBackend):
    """A mail server that keeps the numbers of what it took."""

    taken: ClassVar[set[str]] = set()
    refuses: ClassVar[bool] = False

    def send_messages(self, email_messages: Any) -> int:
        """Take them all, or none."""
        if Mail.refuses:
            raise SMTPServerDisconnected('the mail server is full')
        Mail.taken.update(message.extra_headers['Message-ID'] for message in email_messages)
        return len(email_messages)


class Moody(ResumeCadenceAfterFailureStrategy):
    """Resume, but of a site that made mistakes: it raises for days."""

    name = 'Moody'
    raises: ClassVar[bool] = False

    def decide(self, history: History, now: datetime) -> Decision:
        """Now and then an error nobody foresaw."""
        if Moody.raises:
            raise ZeroDivisionError('a mistake of the site')
        return super().decide(history, now)


class Tutorial(ResumeCadenceAfterFailureStrategy):
    """Calls the facility in a run() of its own, as the toolkit's tutorial shows."""

    name = 'Tutorial'

    def run(self) -> list[ObservationRecord] | None:
        """Ask for one more where the last one is over."""
        newest = self.dynamic_cadence.observation_group.observation_records.order_by('-pk').first()
        if newest is None or newest.status not in ('COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED'):
            return None
        due = datetime.fromisoformat(newest.parameters['start']).replace(tzinfo=timezone.utc) + timedelta(hours=72)
        start = max(due, conf.utc_now() + timedelta(minutes=10))
        asked = parameters(newest.target, start, 5)
        facility = SimulatedObservatoryFacility()
        place = {'target': newest.target.name, 'ra': newest.target.ra, 'dec': newest.target.dec}
        [number] = facility.submit_observation({**asked, **place})
        return [
            ObservationRecord.objects.create(
                target=newest.target, user=newest.user, facility=newest.facility, parameters=asked, observation_id=number
            )
        ]


def all_is_well() -> None:
    """Nothing of the site makes a mistake."""
    Moody.raises, Mail.refuses, RetryingFacility.mistaken = False, False, ''


FACILITIES = [
    'custom_code.observatory.SimulatedObservatoryFacility',
    'custom_code.observatory.PlainObservatoryFacility',
    f'{HERE}.RetryingFacility',
]
STRATEGIES = [
    'tom_cadence.strategies.ResumeCadenceAfterFailureStrategy',
    'tom_cadence.strategies.RetryFailedObservationsStrategy',
    f'{HERE}.Moody',
    f'{HERE}.Tutorial',
]
