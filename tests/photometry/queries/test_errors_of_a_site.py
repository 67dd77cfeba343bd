"""Whatever a hook of a service's class raises is told in a short sentence: no row, mail or output has a secret, NUL or a book."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.db.models import Model

from tests.photometry.conftest import HOUR, Hands
from tests.support.asking import ask, fresh
from tom_forced_phot import exceptions, http, queries
from tom_forced_phot.core import redaction
from tom_forced_phot.exceptions import ForcedPhotometryError, Refused, Throttled, UnexpectedReply
from tom_forced_phot.models import PhotometryNotice, PhotometryQuery, PhotometrySubscription, RemoteJob
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService
from tom_forced_phot.services.protocol import Secrets

LONGEST = 4000
"""Of all that a row says, or a mail."""
HOOKS = ('fixed', 'objection', 'with_credentials', 'submit', 'submitted', 'progress', 'results', 'read', 'belongs', 'secrets')


class Mute(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError('no words')

    __repr__ = __str__


ERRORS: list[Callable[[], Exception]] = [
    lambda: RuntimeError(f'token=hush4711 nul \0 and \ud800 {"x" * 200_000}'),
    lambda: Refused(f'token=hush4711 nul \0 and \ud800 {"x" * 200_000}'),
    lambda: Mute(),
]


@pytest.fixture(autouse=True)
def silent_log() -> Iterator[None]:
    """A log with half a character cannot be passed from one test process to another."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def texts() -> Iterator[str]:
    """All that rows and mails say."""
    kinds: tuple[type[Model], ...] = (PhotometryQuery, RemoteJob, PhotometryNotice, PhotometrySubscription)
    for kind in kinds:
        for row in kind._default_manager.values():
            yield repr(row)
    for each in mail.outbox:
        yield f'{each.subject}\n{each.body}'


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize('make', ERRORS, ids=['foreign', 'ours', 'mute'])
@pytest.mark.parametrize('hook', HOOKS)
def test_what_a_hook_raises_is_told_in_a_sentence(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any, capsys: Any, hook: str, make: Callable[[], Exception]
) -> None:
    query = ask(target, clock)

    def hooked(*_: Any, **__: Any) -> Any:
        raise make()

    monkeypatch.setattr(AtlasForcedPhotometryService, hook, hooked)
    for _ in range(3):
        queries.run(clock)
        clock.move(HOUR)
    assert fresh(query).message, 'something is said'
    said = [*texts(), *capsys.readouterr()]
    assert max(map(len, said)) < LONGEST
    assert not any('hush4711' in text or '\0' in text or '\\x00' in text or '\\ud800' in text for text in said)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize('make', ERRORS, ids=['foreign', 'ours', 'mute'])
def test_a_subscription_whose_service_raises_says_so_in_a_sentence(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any, make: Callable[[], Exception]
) -> None:
    other = PhotometrySubscription.objects.create(service='ATLAS', target=target)

    def hooked(*_: Any, **__: Any) -> Any:
        raise make()

    monkeypatch.setattr(queries, 'ask', hooked)
    out, err = io.StringIO(), io.StringIO()
    with suppress(SystemExit):
        call_command('runforcedphotometry', stdout=out, stderr=err)
    other.refresh_from_db()
    assert other.reason
    said = [*texts(), out.getvalue(), err.getvalue()]
    assert max(map(len, said)) < LONGEST
    assert not any('hush4711' in text or '\0' in text or '\\ud800' in text for text in said)


@pytest.mark.parametrize(
    'kind', [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, ForcedPhotometryError)]
)
def test_an_error_of_ours_is_clean_whoever_it_quotes(kind: type[ForcedPhotometryError]) -> None:
    text = f'token=hush4711 \0 \ud800 {"x" * 200_000}'
    said = str(kind(text, 3.0)) if issubclass(kind, Throttled) else str(kind(text))
    assert len(said) <= exceptions.LONGEST
    assert 'hush4711' not in said
    said.encode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize('kind', [Refused, ValueError])
def test_why_a_class_of_the_site_makes_no_request_is_read_at_the_query(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any, kind: type[Exception]
) -> None:
    query = ask(target, clock)

    def unmade(*_: Any, **__: Any) -> Any:
        raise kind('The archive has no plates of the south.')

    monkeypatch.setattr(AtlasForcedPhotometryService, 'submit', unmade)
    queries.run(clock)
    said = f'The request could not be made. {kind.__name__}: The archive has no plates of the south.'
    assert (fresh(query).state, fresh(query).message) == ('failed', said)


PASSWORD = 'tulip,azalea&crocus'
QUOTED = (f'You sent userpass={PASSWORD} and nothing else.', f'{"x" * (exceptions.LONGEST - 8)} {PASSWORD}')


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize('kind', [Refused, UnexpectedReply, RuntimeError])
@pytest.mark.parametrize('text', QUOTED, ids=['signs in it', 'where a text is cut off'])
def test_no_half_of_a_password_stays_where_a_service_repeats_it(
    atlas: Any, clock: Hands, target: Any, monkeypatch: Any, kind: type[Exception], text: str
) -> None:
    query = ask(target, clock)

    def repeated(*_: Any, **__: Any) -> Any:
        raise kind(text)

    monkeypatch.setattr(AtlasForcedPhotometryService, 'secrets', lambda self: Secrets(parameters={'userpass': PASSWORD}))
    monkeypatch.setattr(AtlasForcedPhotometryService, 'submit', repeated)
    for _ in range(3):
        queries.run(clock)
        clock.move(HOUR)
    assert fresh(query).message
    assert not any(part in said for said in texts() for part in ('tulip', 'azalea', 'crocus'))
    assert 'tulip' not in http.redacted_message(kind(text), Secrets(parameters={'userpass': PASSWORD}))


def test_an_error_without_words_of_its_own_is_told_by_its_class() -> None:
    assert redaction.error_text(Mute()) == 'Mute: it cannot be shown'
    assert redaction.error_text(UnexpectedReply()) == 'UnexpectedReply'
