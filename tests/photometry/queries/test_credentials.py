"""Users' own credentials: whose account a question goes out with, what becomes of it without one, and that nobody reads a value."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from tom_dataproducts.models import PhotometryReducedDatum

from tests.photometry.conftest import DAY, HOUR, MINUTE, Hands, configure
from tests.support.asking import ask, ask_many, ended, fresh, until
from tom_forced_phot import queries, registry, subscriptions
from tom_forced_phot.exceptions import Credentials, Refused
from tom_forced_phot.models import PhotometrySubscription, RemoteJob, ServiceCredential
from tom_forced_phot.queries import accounts as queries_accounts
from tom_forced_phot.services import ForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)
ACCOUNT = {'email': 'jerry@example.org', 'userpass': 'look-down'}


@pytest.fixture
def edwin(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user('edwin', password='hubble')


@pytest.fixture
def jerry(atlas: Any) -> str:
    """The token of the server's second user; the settings hold that of the first, tom."""
    return list(atlas.service.accounts.tokens)[1]


@pytest.fixture
def zfps(clock: Hands, settings: Any, data_folder: Any) -> Iterator[Any]:
    from simulators.zfps import ZfpsServer, serve_zfps

    with serve_zfps(ZfpsServer(seed=3)) as server:
        clock.follow(server.service)
        configure(settings, 'ZTF', url=server.url, email='tom@example.org', userpass='look-up')
        yield server


@pytest.fixture
def no_site(atlas: Any, settings: Any) -> None:
    configure(settings, 'ATLAS', api_key='')


def who(server: Any) -> set[str]:
    """The users with whose token requests of any kind came."""
    return {entry.partition(' ')[2] for entry in server.service.seen}


def accounts() -> list[str]:
    return list(RemoteJob.objects.order_by('pk').values_list('credential', flat=True))


def everything() -> str:
    """Every column of every row, as the database holds it."""
    found = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')  # noqa: S608 - names of our own tables
            found += [repr(row) for row in cursor.fetchall()]
    return '\n'.join(found)


def spoil(user: Any) -> None:
    """As if SECRET_KEY had been changed without keeping the old one."""
    with connection.cursor() as cursor:
        junk = Fernet(Fernet.generate_key()).encrypt(b'something')
        cursor.execute('UPDATE tom_forced_phot_servicecredential SET value = %s WHERE user_id = %s', [junk, user.pk])


def run_for(clock: Hands, minutes: int) -> None:
    for _ in range(minutes):
        queries.run(clock)
        clock.move(MINUTE)


def test_without_own_credentials_everything_goes_out_with_the_sites(atlas: Any, clock: Hands, target: Any, astronomer: Any) -> None:
    ask(target, clock, astronomer)
    until(clock, 'done')
    assert (accounts(), who(atlas)) == (['site'], {'tom'})


@pytest.mark.parametrize('site', [True, False], ids=['the own first', 'own only'])
def test_the_users_own_account_sends_polls_fetches_and_cleans(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, jerry: str, settings: Any, site: bool
) -> None:
    if not site:
        configure(settings, 'ATLAS', api_key='')
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': f' {jerry}\n'})
    query = ask(target, clock, astronomer)
    until(clock, 'done')
    assert fresh(query).new == PhotometryReducedDatum.objects.count() > 0
    assert accounts() == [f'user:{astronomer.pk}']
    assert who(atlas) == {'jerry'}
    assert {entry.partition(' ')[0] for entry in atlas.service.seen} == {'submit', 'status', 'result', 'delete'}


def test_two_users_at_once_make_two_jobs_each_with_its_own_account_and_the_others_share_the_sites(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, edwin: Any, django_user_model: Any, settings: Any, jerry: str
) -> None:
    from simulators.accounts import token_of

    atlas.service.set_users({'tom': 'a', 'jerry': 'b', 'spike': 'c'})
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    queries_accounts.save(edwin, 'ATLAS', {'api_key': token_of('spike')})
    plain = [django_user_model.objects.create_user(name) for name in ('henrietta', 'annie')]
    for user in (astronomer, edwin, *plain, None):
        ask_many([make_target() for _ in range(2)], clock, user)
    until(clock, 'done')
    assert sorted(accounts()) == sorted(['site', f'user:{astronomer.pk}', f'user:{edwin.pk}'])
    sent = {(entry['user'], entry['post']) for entry in atlas.service.log()}
    assert len(sent) == 3, 'no request mixes two accounts'
    assert [entry['user'] for entry in atlas.service.log()].count('tom') == 6
    for job in RemoteJob.objects.exclude(credential='site'):
        assert {query.asked_by_id for query in job.queries.all()} == {int(job.credential.removeprefix('user:'))}


def test_a_lost_reply_is_looked_up_and_a_query_cancelled_with_the_account_that_sent_it(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, edwin: Any, jerry: str
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    atlas.service.configure(held=True)
    atlas.service.fault('submit', '500-after')
    query = ask(target, clock, astronomer)
    run_for(clock, 3)
    assert fresh(query).state == 'submitted'
    assert queries.cancel(query.pk, edwin, clock())
    assert (atlas.service.seen['list jerry'] > 0, atlas.service.seen['delete jerry']) == (True, 1)
    assert who(atlas) == {'jerry'}
    assert len(atlas.service.log()) == 1


def test_ztf_takes_an_own_account_of_two_parts_and_half_of_one_is_not_filled_up_from_the_sites(
    zfps: Any, clock: Hands, make_target: Any, astronomer: Any
) -> None:
    queries_accounts.save(astronomer, 'ZTF', {'email': ACCOUNT['email'], 'userpass': ''})
    ask(make_target(), clock, astronomer, service='ZTF')
    queries.run(clock)
    assert [entry['user'] for entry in zfps.service.log()] == ['tom@example.org']
    queries_accounts.save(astronomer, 'ZTF', {'email': '', 'userpass': ACCOUNT['userpass']})
    ask(make_target(), clock, astronomer, service='ZTF')
    until(clock, 'done')
    assert [entry['user'] for entry in zfps.service.log()] == ['tom@example.org', 'jerry@example.org']
    assert zfps.service.seen['status jerry@example.org'] > 0


def test_a_subscription_asks_with_its_owners_account(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, jerry: str, no_site: None
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    PhotometrySubscription.objects.create(service='ATLAS', target=target, owner=astronomer)
    subscriptions.ask_due(clock())
    until(clock, 'done')
    assert who(atlas) == {'jerry'}


def test_the_same_question_of_two_users_stays_one_query_with_the_first_ones_account(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, edwin: Any, jerry: str
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    assert ask(target, clock, astronomer).pk == ask(target, clock, edwin).pk
    until(clock, 'done')
    assert who(atlas) == {'jerry'}


def test_who_has_no_account_at_all_reads_where_to_enter_one(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, no_site: None
) -> None:
    with pytest.raises(Credentials, match='or enter your own on your profile page'):
        ask(target, clock, astronomer)
    assert 'profile page' in queries_accounts.usable('ATLAS', astronomer)
    assert 'profile page' not in queries_accounts.usable('ATLAS', None)
    assert "'Hubble' is not in" in queries_accounts.usable('Hubble', astronomer)
    assert not atlas.service.requests


def test_removed_while_the_service_works_it_waits_says_for_whom_and_goes_on_when_they_are_entered_again(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, jerry: str
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    atlas.service.configure(held=True)
    query = ask(target, clock, astronomer)
    queries.run(clock)
    assert queries_accounts.remove(astronomer, 'ATLAS')
    atlas.service.configure(held=False)
    before = atlas.service.requests.total()
    run_for(clock, 60)
    assert fresh(query).state == 'submitted'
    assert fresh(query).message.startswith('vera removed the own credentials for ATLAS')
    assert atlas.service.requests.total() == before, "nobody is asked with the site's account about what it does not know"
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    until(clock, 'done')
    assert who(atlas) == {'jerry'}


@pytest.mark.parametrize('state', ['submitted', 'result'])
def test_removed_for_good_it_fails_after_its_deadline(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, jerry: str, state: str
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    if state == 'submitted':
        atlas.service.configure(held=True)
    atlas.service.fault('result', '503', count=-1)
    query = ask(target, clock, astronomer)
    until(clock, state)
    queries_accounts.remove(astronomer, 'ATLAS')
    clock.move(6 * DAY)
    queries.run(clock)
    assert fresh(query).state == state
    clock.move(DAY + (HOUR if state == 'submitted' else DAY))
    queries.run(clock)
    assert (fresh(query).state, fresh(query).problem) == ('failed', 'Credentials')
    assert fresh(query).message.startswith('vera removed')
    assert RemoteJob.objects.get().state == 'closed'


def test_removed_before_it_was_sent_the_sites_account_is_used(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, jerry: str
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    ask(target, clock, astronomer)
    queries_accounts.remove(astronomer, 'ATLAS')
    until(clock, 'done')
    assert who(atlas) == {'tom'}


def test_removed_before_it_was_sent_and_the_site_has_none_it_waits_and_holds_up_nobody(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, edwin: Any, jerry: str, no_site: None
) -> None:
    for user in (astronomer, edwin):
        queries_accounts.save(user, 'ATLAS', {'api_key': jerry})
    query, other = ask(make_target(), clock, astronomer), ask(make_target(), clock, edwin)
    queries_accounts.remove(astronomer, 'ATLAS')
    run_for(clock, 30)
    assert fresh(other).state == 'done'
    assert fresh(query).state == 'queued'
    assert 'enter your own on your profile page' in fresh(query).message
    assert who(atlas) == {'jerry'}
    clock.move(8 * DAY)
    ended(clock, hours=1)
    assert 'enter your own' in fresh(query).message
    assert fresh(query).problem == 'Deadline'


def test_after_the_user_was_deleted_the_query_fails_at_once(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, jerry: str
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    atlas.service.configure(held=True)
    query = ask(target, clock, astronomer)
    queries.run(clock)
    spoil(astronomer)
    astronomer.delete()
    assert not ServiceCredential.objects.exists()
    clock.move(HOUR)
    queries.run(clock)
    assert (fresh(query).state, fresh(query).problem) == ('failed', 'Credentials')
    assert 'was deleted' in fresh(query).message


@pytest.mark.parametrize('sent', [True, False])
def test_what_cannot_be_decrypted_is_said_and_never_silently_the_sites(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, jerry: str, sent: bool
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    atlas.service.configure(held=True)
    query = ask(make_target(), clock, astronomer)
    if sent:
        queries.run(clock)
    spoil(astronomer)
    atlas.service.configure(held=False)
    run_for(clock, 30)
    assert fresh(query).state == ('submitted' if sent else 'queued')
    assert fresh(query).message.startswith('The own credentials of vera for ATLAS cannot be read any more: SECRET_KEY was changed.')
    assert 'tom' not in who(atlas)
    with pytest.raises(Credentials, match='cannot be read any more'):
        ask(make_target(), clock, astronomer)
    assert [(own.service, own.complete, own.readable) for own in queries_accounts.own(astronomer) if own.given] == [
        ('ATLAS', True, False)
    ]
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    until(clock, 'done')
    assert who(atlas) == {'jerry'}


def test_a_rotated_key_is_no_trouble_while_the_old_one_is_a_fallback(
    atlas: Any, clock: Hands, target: Any, astronomer: Any, jerry: str, settings: Any
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = 'another-key-of-the-site'
    call_command('rotate_encryption_key', verbosity=0)
    settings.SECRET_KEY_FALLBACKS = []
    ask(target, clock, astronomer)
    until(clock, 'done')
    assert who(atlas) == {'jerry'}


def test_a_secret_of_a_user_stands_in_no_row_message_log_or_repr(
    atlas: Any, clock: Hands, make_target: Any, astronomer: Any, caplog: Any, monkeypatch: Any
) -> None:
    from tom_forced_phot import http

    caplog.set_level(logging.DEBUG)
    secret = 'sesame-of-vera-4711'
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': secret})
    refused = ask(make_target(), clock, astronomer)
    until(clock, 'failed')
    assert 'does not accept the credentials' in fresh(refused).message
    real = http.send

    def broken(request: Any, base: str, secrets: Any) -> Any:
        raise ValueError(f'cannot encode {dict(secrets.headers)!r}')

    monkeypatch.setattr(http, 'send', broken)
    broken_off = ask(make_target(), clock, astronomer)
    run_for(clock, 60)
    assert '…' in fresh(broken_off).message
    monkeypatch.setattr(http, 'send', real)
    bound = queries_accounts.of_query(registry.service(fresh(refused).service), fresh(refused))
    row = ServiceCredential.objects.get()
    shown = [
        repr(bound),
        repr(bound.secrets()),
        repr(row),
        str(row),
        repr(queries_accounts.own(astronomer)),
        caplog.text,
        everything(),
    ]
    assert [text for text in shown if secret in text] == []
    assert row.value == secret


def test_a_blank_field_keeps_what_is_there_and_what_makes_no_sense_is_refused_without_being_shown(
    atlas: Any, zfps: Any, astronomer: Any, db: Any, clock: Hands
) -> None:
    queries_accounts.save(astronomer, 'ZTF', ACCOUNT)
    clock.move(DAY)
    queries_accounts.save(astronomer, 'ZTF', {'email': '', 'userpass': 'newer'})
    kept = dict(ServiceCredential.objects.values_list('key', 'value'))
    assert kept == {'email': 'jerry@example.org', 'userpass': 'newer'}
    for service, values, why in [
        ('ATLAS', {'api_key': 'your atlas account api token'}, 'placeholder'),
        ('ATLAS', {'api_key': 'two\nlines'}, 'line break'),
        ('ATLAS', {'api_key': 'x' * 501}, 'longer than 500'),
        ('ATLAS', {'api_key': 'price-in-€'}, 'cannot be sent'),
        ('ATLAS', {'password': 'x'}, 'takes no password'),
        ('Hubble', {'api_key': 'x'}, 'not in FORCED_PHOTOMETRY_SERVICES'),
    ]:
        with pytest.raises(Refused, match=why) as caught:
            queries_accounts.save(astronomer, service, values)
        assert not [value for value in values.values() if len(value) > 1 and value in str(caught.value)]
    shown = {own.service: own for own in queries_accounts.own(astronomer)}
    assert {'ATLAS', 'PanSTARRS', 'ZTF'} <= set(shown)
    assert (shown['ZTF'].given, shown['ZTF'].complete, shown['ZTF'].changed) == ({'email', 'userpass'}, True, clock())
    assert (shown['ATLAS'].given, shown['ATLAS'].needed, shown['ATLAS'].complete) == (frozenset(), ('api_key',), False)
    assert (shown['PanSTARRS'].needed, shown['PanSTARRS'].optional) == ((), ('api_key',))
    assert queries_accounts.remove(astronomer, 'ZTF')
    assert not queries_accounts.remove(astronomer, 'ZTF')


def test_a_service_that_is_not_configured_any_more_can_still_be_removed(
    atlas: Any, astronomer: Any, jerry: str, settings: Any
) -> None:
    queries_accounts.save(astronomer, 'ATLAS', {'api_key': jerry})
    settings.FORCED_PHOTOMETRY_SERVICES = {}
    assert [(own.service, own.needed, own.complete) for own in queries_accounts.own(astronomer)] == [('ATLAS', (), False)]
    assert queries_accounts.remove(astronomer, 'ATLAS')


class Eager(ForcedPhotometryService):
    """Of the tutorial's kind: reads its settings when it is made."""

    name = 'Eager'
    credentials = {'api_key': 'EAGER_KEY'}
    optional_credentials = {'group': 'EAGER_GROUP'}
    used: list[Any] = []

    def __init__(self) -> None:
        super().__init__()
        self.key = self.config['api_key']

    def query_service(self, query_parameters: Any) -> Any:
        Eager.used.append((self.key, self.config['group'], self.credential('api_key'), self.credential('group')))
        raise RuntimeError(f'no entry for {self.key}')


def test_a_service_of_the_tutorials_kind_finds_the_users_account_in_its_settings_and_nothing_of_the_sites(
    clock: Hands, target: Any, astronomer: Any, settings: Any, monkeypatch: Any
) -> None:
    entry = {'class': f'{__name__}.Eager', 'api_key': 'key-of-the-site', 'group': 'group-of-the-site'}
    settings.FORCED_PHOTOMETRY_SERVICES = {'EAGER': entry}
    monkeypatch.setenv('EAGER_GROUP', 'group-of-the-machine')
    Eager.used.clear()
    queries_accounts.save(astronomer, 'Eager', {'api_key': 'key-of-vera'})
    query = queries.ask('Eager', target, {}, astronomer, clock()).query
    queries.run(clock)
    assert Eager.used == [('key-of-vera', '', 'key-of-vera', '')]
    assert fresh(query).message == 'Eager: no entry for ***'
    queries.ask('Eager', target, {}, None, clock())
    queries.run(clock)
    assert Eager.used[-1] == ('key-of-the-site', 'group-of-the-site') * 2
    site = registry.service('Eager')
    assert site.credential('api_key') == 'key-of-the-site'
