"""No web request waits longer than SYNCHRONOUS_TIME, whatever the service does, and no run for a mail server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.photometry.conftest import Hands, configure
from tests.support.asking import ask, fresh
from tests.support.asking import ended as all_ended
from tom_forced_phot import http, queries
from tom_forced_phot.exceptions import Temporary
from tom_forced_phot.models import PhotometryNotice, PhotometryQuery
from tom_forced_phot.pages.ask import preview
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService
from tom_forced_phot.services.protocol import Request, Secrets

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT = 2.0
#: Of a busy machine.
SLACK = 10.0


@contextmanager
def server(greeting: bytes, each: bytes, pause: float) -> Iterator[int]:
    """Accepts, says ``greeting``, and then ``each`` again and again after a pause; never more. Its port."""
    listening, done, lines = socket.create_server(('127.0.0.1', 0)), threading.Event(), []

    def serve(line: socket.socket) -> None:
        with line:
            try:
                line.sendall(greeting)
                while not done.wait(pause):
                    line.sendall(each)
            except OSError:
                return

    def accept() -> None:
        while not done.is_set():
            try:
                line, _ = listening.accept()
            except OSError:
                return
            lines.append(threading.Thread(target=serve, args=(line,), daemon=True))
            lines[-1].start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        done.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for each_thread in (thread, *lines):
            each_thread.join(5)


WAYS = {
    'is silent': (b'', b'', 0.1),
    'trickles headers': (b'HTTP/1.1 201 Created\r\nX-Slow: ', b'x', 0.1),
    'trickles a body': (b'HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n', b'x', 0.1),
}


@pytest.fixture(params=WAYS)
def slow(request: Any, clock: Hands, settings: Any, data_folder: Any) -> Iterator[None]:
    with server(*WAYS[request.param]) as port:
        configure(settings, 'ATLAS', url=f'http://127.0.0.1:{port}', api_key='x' * 40)
        settings.TOM_FORCED_PHOT = {
            'SYNCHRONOUS_TIME': LIMIT, 'READ_TIMEOUT': 30, 'CALL_TIMEOUT': 60,
        }  # fmt: skip
        yield


def took(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def now() -> Any:
    from tom_forced_phot import conf

    return conf.utc_now()


def test_asking_one_question(slow: None, target: Any) -> None:
    query = queries.ask('ATLAS', target, {'min_date': 61300.0}, None, now()).query
    assert took(lambda: queries.start([query.pk])) < LIMIT + SLACK
    assert fresh(query).state == 'queued'


def test_asking_several_questions(slow: None, make_target: Any) -> None:
    pks = [queries.ask('ATLAS', make_target(), {'min_date': 61300.0 + n}, None, now()).query.pk for n in range(5)]
    assert took(lambda: preview.first_steps(pks, LIMIT)) < LIMIT + SLACK


def test_looking_now(slow: None, target: Any) -> None:
    query = queries.ask('ATLAS', target, {'min_date': 61300.0}, None, now()).query
    assert took(lambda: queries.look_now(query.pk, now())) < LIMIT + SLACK


def test_cancelling(slow: None, target: Any) -> None:
    from tom_forced_phot.models import RemoteJob

    query = queries.ask('ATLAS', target, {'min_date': 61300.0}, None, now()).query
    job = RemoteJob.objects.create(
        service='ATLAS', mark='m', state='open', created=now(), positions=[{'name': 'x', 'ra': 1.0, 'dec': 1.0}]
    )
    PhotometryQuery.objects.filter(pk=query.pk).update(state='submitted', job=job, remote={'id': 1})
    assert took(lambda: queries.cancel(query.pk, None, now())) < LIMIT + SLACK
    assert fresh(query).state == 'cancelled'


def test_with_no_time_left_nothing_is_sent(db: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(http, 'LEAST_TIME', 0.0)
    with http.time_limit(0.0), pytest.raises(Temporary, match='no time left'):
        http.send(Request('POST', 'queue/', changes=True), 'http://127.0.0.1:9', Secrets())


def test_limits_inside_of_limits_keep_the_shorter(db: Any) -> None:
    with http.time_limit(3.0), http.time_limit(60.0) as left:
        assert left() <= 3.0
    with http.time_limit(60.0) as left:
        assert left() > 50


# --- a mail server that accepts and stays silent ---


@pytest.mark.parametrize(('greeting', 'each'), [(b'', b''), (b'220 ', b'x'), (b'220 ready\r\n', b'')])
def test_no_run_waits_for_a_mail_server(
    atlas: Any, clock: Hands, make_target: Any, settings: Any, greeting: bytes, each: bytes
) -> None:
    users = [User.objects.create_user(f'user{n}', f'user{n}@example.org') for n in range(4)]
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'MAIL_TIMEOUT': LIMIT}
    asked = [ask(make_target(), clock, user) for user in users]
    with server(greeting, each, 0.1) as port:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = (
            'django.core.mail.backends.smtp.EmailBackend',
            '127.0.0.1',
            port,
        )
        settings.EMAIL_TIMEOUT = None
        queries.run(clock)
        for query in asked:
            PhotometryQuery.objects.filter(pk=query.pk).update(state='done', closed=clock(), next_step=None, to_clean=False)
        assert took(lambda: queries.run(clock)) < LIMIT + SLACK
    assert PhotometryNotice.objects.count() == 4
    assert PhotometryNotice.objects.filter(mail_due=True).count() == 4


def test_an_address_that_no_mail_can_go_to_holds_up_no_others_mail(atlas: Any, clock: Hands, make_target: Any) -> None:
    from django.core import mail

    users = [User.objects.create_user(f'user{n}', f'user{n}@example.org') for n in range(3)]
    User.objects.filter(pk=users[0].pk).update(email='a@example.org\nBcc: b@example.org')
    for user in users:
        ask(make_target(), clock, user)
    all_ended(clock)
    assert {message.to[0] for message in mail.outbox} == {'user1@example.org', 'user2@example.org'}


def test_a_notice_that_cannot_be_worded_is_told_plainly_and_the_others_as_ever(
    atlas: Any, clock: Hands, make_target: Any, monkeypatch: Any
) -> None:
    import sys

    notices = sys.modules['tom_forced_phot.queries.notices']
    alice, bob = (User.objects.create_user(name, f'{name}@example.org') for name in ('alice', 'bob'))
    odd, real = ask(make_target(), clock, alice), notices.words  # type: ignore[attr-defined]
    ask(make_target(), clock, bob)

    def words(ended: Any, user: str, *rest: Any) -> Any:
        if user == 'alice':
            raise ValueError('odd')
        return real(ended, user, *rest)

    monkeypatch.setattr(notices, 'words', words)
    all_ended(clock)
    assert 'A query has ended' in PhotometryNotice.objects.get(user=alice).text
    assert 'with' not in PhotometryNotice.objects.get(user=bob).text.partition(':')[0]
    assert fresh(odd).announcement is not None


# --- a service that does all itself ---


class Sleeper(AtlasForcedPhotometryService):
    """As the toolkit's tutorial writes one: it waits for its answer itself."""

    name = 'Sleeper'
    credentials = {}
    woken = threading.Event()

    def query_service(self, query_parameters: Any) -> Any:
        """Wait."""
        self.woken.wait(20)


WAITING = {
    'asking': lambda pk, clock: queries.start([pk]),
    'asking about several': lambda pk, clock: preview.first_steps([pk], LIMIT),
    'looking': lambda pk, clock: queries.look_now(pk, clock()),
}


@pytest.mark.parametrize('how', WAITING)
def test_a_service_that_does_all_itself_goes_on_without_the_web_request(
    clock: Hands, target: Any, settings: Any, data_folder: Any, how: str
) -> None:
    Sleeper.woken.clear()
    settings.FORCED_PHOTOMETRY_SERVICES = {'Sleeper': {'class': f'{__name__}.Sleeper'}}
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'SYNCHRONOUS_TIME': LIMIT}
    query = ask(target, clock, service='Sleeper')
    try:
        assert took(lambda: WAITING[how](query.pk, clock)) < LIMIT + SLACK
        assert fresh(query).state == 'running'
    finally:
        Sleeper.woken.set()
    for thread in threading.enumerate():
        if thread.name == 'bounded work':
            thread.join(20)
    assert fresh(query).state == 'no_data'
