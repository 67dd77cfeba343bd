"""Mails of notices: written with what they tell of, sent after the work, never lost, and one mail however often it is tried."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models.functions import Now

from tests.conftest import NIGHT, at
from tests.support.cadences import records, settle
from tom_cadence import journal
from tom_cadence.engine import mail as sending
from tom_cadence.engine.mail import send_mails
from tom_cadence.engine.run import run_cadences
from tom_cadence.journal import notices
from tom_cadence.journal.notices import take_mails, write_mail
from tom_cadence.models import ManagedCadence, OutgoingMail
from tom_followup.mails import Message, mail_to

pytestmark = pytest.mark.django_db(transaction=True)
HERE = __name__


class Server(BaseEmailBackend):
    """A mail server that does what a test says."""

    taken: ClassVar[list[Any]] = []
    does: ClassVar[Any] = None

    def send_messages(self, email_messages: Any) -> int:
        if type(self).does is not None:
            type(self).does(email_messages)
        self.taken.extend(email_messages)
        return len(email_messages)


@pytest.fixture
def server(settings: Any) -> Iterator[type[Server]]:
    settings.EMAIL_BACKEND = f'{HERE}.Server'
    Server.taken.clear()
    Server.does = None
    yield Server
    Server.does = None


@pytest.fixture
def silent(settings: Any, monkeypatch: Any) -> Iterator[None]:
    """A real socket that accepts, and says nothing."""
    monkeypatch.setattr(sending, 'TIMEOUT', 0.4)
    with socket.create_server(('127.0.0.1', 0)) as listening:
        settings.EMAIL_BACKEND = 'django.core.mail.backends.smtp.EmailBackend'
        settings.EMAIL_HOST, settings.EMAIL_PORT = listening.getsockname()[:2]
        yield


def now_due() -> None:
    OutgoingMail.objects.filter(sent=None).update(not_before=Now() - timedelta(seconds=1))


def test_a_mail_server_that_accepts_and_stays_silent_holds_up_no_run_and_loses_no_mail(
    observatory: Any, make_cadence: Any, silent: None, settings: Any
) -> None:
    for _ in range(3):
        ended = make_cadence(book=observatory, max_observations=1)
        settle(observatory, records(ended)[0], 'COMPLETED')
    due = make_cadence(book=observatory)
    settle(observatory, records(due)[0], 'COMPLETED')
    before = time.monotonic()
    run_cadences(now=at(5))
    assert time.monotonic() - before < 30
    assert len(records(due)) == 2
    assert OutgoingMail.objects.filter(sent=None).count() == 3
    settings.EMAIL_BACKEND = f'{HERE}.Server'
    Server.taken.clear()
    OutgoingMail.objects.update(taken=None)
    now_due()
    run_cadences(now=at(6))
    run_cadences(now=at(7))
    assert len(Server.taken) == 3
    assert len({message.extra_headers['Message-ID'] for message in Server.taken}) == 3


def test_a_server_that_never_ends_is_left_alone_until_the_next_run(astronomer: Any, server: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sending, 'TIMEOUT', 0.2)
    gate = threading.Event()
    server.does = staticmethod(lambda _: gate.wait(20))
    for number in range(3):
        write_mail(astronomer, Message(subject=f'Mail {number}', text='Text'), NIGHT)
    before = time.monotonic()
    assert send_mails() == 0
    assert time.monotonic() - before < 5
    gate.set()
    assert OutgoingMail.objects.filter(tries=1).count() == 1, 'the others were not even begun'


def test_what_is_being_sent_elsewhere_is_not_sent_again(astronomer: Any, server: Any) -> None:
    write_mail(astronomer, Message(subject='Once', text='Text'), NIGHT)
    assert len(list(take_mails(9))) == 1
    assert send_mails() == 0
    assert server.taken == []


def test_who_is_killed_while_sending_loses_no_mail(astronomer: Any, server: Any) -> None:
    write_mail(astronomer, Message(subject='Once', text='Text'), NIGHT)
    [mail] = take_mails(9)
    OutgoingMail.objects.update(taken=Now() - timedelta(minutes=16))
    assert send_mails() == 1
    assert [message.extra_headers['Message-ID'] for message in server.taken] == [mail.message_id]
    assert send_mails() == 0


def test_a_mail_that_fails_is_tried_again_later_and_holds_up_no_other(astronomer: Any, server: Any, django_user_model: Any) -> None:
    def refuses(messages: Any) -> None:
        if messages[0].to == ['bad@example.org']:
            raise RuntimeError('no such mailbox: password=hush4711')

    server.does = staticmethod(refuses)
    write_mail(
        django_user_model.objects.create_user('bad', 'bad@example.org'), Message(subject='To a bad address', text='Text'), NIGHT
    )
    write_mail(astronomer, Message(subject='To a good one', text='Text'), NIGHT)
    assert send_mails() == 1
    assert [message.to for message in server.taken] == [['vera@example.org']]
    failed = OutgoingMail.objects.get(sent=None)
    assert (failed.tries, 'hush4711' in failed.problem) == (1, False)
    assert send_mails() == 0
    assert OutgoingMail.objects.get(sent=None).tries == 1, 'it is not due yet'
    server.does = None
    now_due()
    assert send_mails() == 1


def test_a_mail_that_cannot_be_put_together_holds_up_no_other(astronomer: Any, server: Any, monkeypatch: Any) -> None:
    def writes(recipient: str, message: Message, **kept: Any) -> Any:
        if message.subject == 'Odd':
            raise RuntimeError('the address of this TOM is no address')
        return mail_to(recipient, message, **kept)

    monkeypatch.setattr(sending, 'mail_to', writes)
    write_mail(astronomer, Message(subject='Odd', text='Text'), NIGHT)
    write_mail(astronomer, Message(subject='Plain', text='Text'), NIGHT)
    assert send_mails() == 1
    odd = OutgoingMail.objects.get(sent=None)
    assert (odd.tries, 'no address' in odd.problem) == (1, True)


def test_what_is_rolled_back_is_not_told(observatory: Any, make_cadence: Any, server: Any) -> None:
    managed = ManagedCadence.objects.select_related('owner').get(cadence=make_cadence())
    try:
        with transaction.atomic():
            journal.stop(managed, 'attention', 'It broke.', NIGHT)
            raise ValueError
    except ValueError:
        pass
    assert send_mails() == 0
    assert server.taken == []


@pytest.mark.parametrize('reason', ['two\nlines', 'Bcc: eve@example.org\r\nBcc: eve@example.org', 'nul \x00', 'x' * 100_000, ''])
def test_any_reason_makes_a_mail_with_a_subject_of_one_line(make_cadence: Any, observatory: Any, server: Any, reason: str) -> None:
    managed = ManagedCadence.objects.select_related('owner').get(cadence=make_cadence())
    ManagedCadence.objects.update(target_name='SN\r\nBcc: eve@example.org')
    managed.refresh_from_db()
    notices.tell_owner(managed, 'attention', reason)
    assert send_mails() == 1
    [message] = server.taken
    assert '\n' not in message.subject
    assert message.recipients() == ['vera@example.org']
    assert b'\nBcc:' not in message.message().as_bytes().split(b'\n\n')[0]


def test_mails_are_kept_for_a_while_only(astronomer: Any, server: Any) -> None:
    write_mail(astronomer, Message(subject='Old', text='Text'), NIGHT)
    send_mails()
    OutgoingMail.objects.update(sent=Now() - timedelta(days=91))
    write_mail(astronomer, Message(subject='New', text='Text'), NIGHT)
    send_mails()
    assert [mail.subject for mail in OutgoingMail.objects.all()] == ['New']


def test_nobody_inactive_gets_a_mail(astronomer: Any, server: Any) -> None:
    write_mail(astronomer, Message(subject='Later', text='Text'), NIGHT)
    astronomer.is_active = False
    astronomer.save()
    assert send_mails() == 0
    astronomer.is_active = True
    astronomer.save()
    now_due()
    assert send_mails() == 1
