"""``manage.py steercadence``: what a person decides about a cadence, from a terminal."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from tom_cadence import conf, journal
from tom_cadence.exceptions import CadenceError
from tom_cadence.flows import outcomes, steer
from tom_cadence.models import ManagedCadence

BY = 'Somebody at a terminal'


class Command(BaseCommand):
    """Pause, resume, or say what became of a request whose reply was lost, or of an observation whose facility cannot be asked."""

    help = 'Pause or resume a cadence, or say what became of a request without a reply, or of an observation.'

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One word for each thing to do."""
        actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
        for name, text in (
            ('pause', 'send nothing more until it is resumed'),
            ('resume', 'go on; failures and cancellations so far count no more'),
            ('send-again', 'the facility does not have the request whose reply was lost: send it again'),
        ):
            actions.add_parser(name, help=text).add_argument('cadence', type=int, metavar='PK')
        booked = actions.add_parser('booked', help='the facility has the request whose reply was lost: record it')
        booked.add_argument('cadence', type=int, metavar='PK')
        booked.add_argument('observation', nargs='+', metavar='ID')
        for word, label in outcomes.WORDS.items():
            text = f'{label.lower()}: what became of an observation whose facility cannot be asked'
            said = actions.add_parser(word, help=text)
            said.add_argument('cadence', type=int, metavar='PK')
            said.add_argument('observation', metavar='ID')
        together = actions.add_parser('resume-facility', help='resume what refused credentials paused')
        together.add_argument('facility', metavar='NAME')
        together.add_argument('owner', metavar='USERNAME')

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what was done."""
        try:
            self.stdout.write(self._act(options))
        except CadenceError as error:
            raise CommandError(str(error)) from error

    def _act(self, options: dict[str, Any]) -> str:
        now, action = conf.utc_now(), options['action']
        if action == 'resume-facility':
            return self._resume_facility(options['facility'], options['owner'])
        managed = steer.cadence_of(options['cadence'])
        if action in outcomes.WORDS:
            return self._say_outcome(managed, options['observation'], action)
        if action == 'pause':
            steer.pause(managed, BY, now)
        elif action == 'resume':
            steer.resume(managed, BY, now)
        elif action == 'send-again':
            return f'{managed}: {steer.confirm_not_booked(managed, BY, now)}'
        else:
            records = journal.confirm_booked(journal.open_request_of(managed), options['observation'], BY, now)
            return f'{managed}: {len(records)} observation{"" if len(records) == 1 else "s"} recorded. {steer.stands(managed)}'
        return f'{managed}: {"paused" if action == "pause" else "active again"}.'

    def _say_outcome(self, managed: ManagedCadence, observation_id: str, word: str) -> str:
        record = managed.host.observation_group.observation_records.filter(observation_id=observation_id).last()
        if record is None:
            raise CommandError(f'{managed} has no observation {observation_id}.')
        return f'{managed}: {outcomes.say(record, word, BY, conf.utc_now())}'

    def _resume_facility(self, facility: str, username: str) -> str:
        owner = get_user_model().objects.filter(username=username).first()
        if owner is None:
            raise CommandError(f'There is no user {username!r}.')
        number = journal.resume_after_credentials(facility, owner, conf.utc_now())
        return f'{number} cadence{"" if number == 1 else "s"} of {username} at {facility}: active again.'
