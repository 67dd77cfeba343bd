"""Asking on the page: from the form over its preview to the simulated services, which count what reached them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm
from tom_targets.models import Target, TargetList

from simulators.atlas import AtlasServer, serve_atlas
from simulators.mast import MastServer, serve_mast
from simulators.zfps import USERS, ZfpsServer, serve_zfps
from tests.photometry.conftest import Hands, configure, hands
from tests.support.asking import ended
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries import accounts

pytestmark = pytest.mark.django_db(transaction=True)
ASK = '/forced-photometry/ask/'
THREE = ['ATLAS', 'PanSTARRS', 'ZTF']
EMAIL, PASSWORD = next(iter(USERS.items()))


@pytest.fixture
def clock(settings: Any, tmp_path: Any) -> Hands:
    """The clock of the pages, of the engine and of all services."""
    hands.__init__()  # type: ignore[misc]
    settings.TOM_FORCED_PHOT = {
        **{'CLOCK': 'tests.photometry.conftest.present', 'CONNECT_TIMEOUT': 2, 'READ_TIMEOUT': 2, 'SYNCHRONOUS_TIME': 1},
    }
    settings.MEDIA_ROOT = tmp_path / 'data'
    return hands


@pytest.fixture
def servers(clock: Hands, settings: Any) -> Iterator[dict[str, Any]]:
    """The three services, as the settings name them."""
    with serve_atlas(AtlasServer(seed=3)) as atlas, serve_zfps(ZfpsServer(seed=3)) as zfps, serve_mast(MastServer(seed=3)) as mast:
        found = {'ATLAS': atlas.service, 'ZTF': zfps.service, 'PanSTARRS': mast.service}
        for server in found.values():
            clock.follow(server)
        configure(settings, 'ATLAS', url=atlas.url, api_key=atlas.service.token)
        configure(settings, 'ZTF', url=zfps.url, email=EMAIL, userpass=PASSWORD)
        configure(settings, 'PANSTARRS', url=mast.url, api_key='MAST_API_TOKEN not set')
        yield found


@pytest.fixture
def many(db: Any) -> Callable[..., list[Any]]:
    """Make so many targets, far from each other, that anybody may see and change."""

    def build(number: int = 1, **more: Any) -> list[Any]:
        before = Target.objects.count()
        return [
            Target.objects.create(
                **{
                    'name': f'SN {each}',
                    'type': 'SIDEREAL',
                    'ra': 10.0 + 3 * each,
                    'dec': 20.0 + each,
                    'permissions': 'PUBLIC',
                    **more,
                }
            )
            for each in range(before, before + number)
        ]

    return build


@pytest.fixture
def vera(client: Any, astronomer: Any) -> Any:
    client.force_login(astronomer)
    return client


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return ' '.join(str(answer.content.decode()).split())


def filled(targets: list[Any], services: list[str], **more: Any) -> dict[str, Any]:
    return {'targets': [each.pk for each in targets], 'services': services, 'when': 'last', **more}


def preview(client: Any, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The page with the preview, and what its button "Ask" would send."""
    page = text_of(client.post(ASK, {**given, 'step': 'preview'}))
    hidden = {name: re.search(rf'name="{name}" value="([^"]*)"', page) for name in ('moment', 'seen')}
    return page, {**given, 'step': 'ask', **{name: found[1] for name, found in hidden.items() if found}}


def ask(client: Any, given: dict[str, Any]) -> Any:
    """From the form through the preview to the asking."""
    return client.post(ASK, preview(client, given)[1])


def said(answer: Any) -> str:
    return ' '.join(str(each) for each in get_messages(answer.wsgi_request))


# --- asking ----------------------------------------------------------------------------------------------------------------------


def test_three_services_are_asked_about_one_target_and_each_once(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    (target,) = many()
    page, sent = preview(vera, filled([target], THREE, when='range', first='2026-09-18', last='61340'))
    assert page.count('1 position in 1 request<') == 3
    assert 'from 2026-09-18 00:00 UTC (MJD 61301) until 2026-10-27 00:00 UTC (MJD 61340)' in page
    assert not PhotometryQuery.objects.exists()
    assert [sum(each.requests.values()) for each in servers.values()] == [0, 0, 0]
    answer = vera.post(ASK, sent)
    assert answer.status_code == 302
    assert answer.url == f'/forced-photometry/?mine=on&of={target.pk}'
    assert 'Asked: ATLAS about 1 target, PanSTARRS about 1 target, ZTF about 1 target.' in said(answer)
    assert 'manage.py runforcedphotometry' in said(answer)
    assert {query.asked_by.username for query in PhotometryQuery.objects.all()} == {'vera'}
    ended(clock)
    assert set(PhotometryQuery.objects.values_list('service', 'state')) == {(name, 'done') for name in THREE}
    assert servers['ATLAS'].requests['submit'] == 1
    assert len(servers['ZTF'].log()) == 1


def test_twenty_five_targets_go_out_in_as_few_requests_as_the_preview_says(
    vera: Any, servers: Any, many: Any, clock: Hands, settings: Any
) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'SYNCHRONOUS_TIME': 60}  # however busy this machine is
    targets = many(25)
    page, sent = preview(vera, filled(targets, ['ATLAS', 'ZTF']))
    assert page.count('25 positions in 1 request<') == 2
    assert 'Ask 50 questions' in page
    answer = vera.post(ASK, sent)
    assert answer.url == '/forced-photometry/?mine=on'
    assert 'Asked: ATLAS about 25 targets, ZTF about 25 targets.' in said(answer)
    # the first step is taken by the web request itself, the rest by the command
    assert (servers['ATLAS'].requests['submit'], len(servers['ATLAS'].log())) == (1, 25)
    assert len(servers['ZTF'].log()) == 25
    assert set(PhotometryQuery.objects.values_list('state', flat=True)) == {'submitted'}
    queries.run(clock)
    assert servers['ATLAS'].requests['submit'] == 1


def test_a_service_that_takes_one_position_a_request_is_said_to_get_as_many(vera: Any, servers: Any, many: Any) -> None:
    page, _ = preview(vera, filled(many(7), ['PanSTARRS']))
    assert '7 positions in 7 requests<' in page


def test_a_list_of_targets_is_asked_about_as_a_whole(vera: Any, servers: Any, many: Any, astronomer: Any) -> None:
    group, other = TargetList.objects.create(name='Supernovae'), many()
    group.targets.add(*many(3))
    assign_perm('tom_targets.view_targetlist', astronomer, group)
    assert f'<option value="{group.pk}" selected>Supernovae' in text_of(vera.get(f'{ASK}?target_list={group.pk}'))
    ask(vera, {'target_list': group.pk, 'services': ['ATLAS'], 'when': 'all'})
    assert set(PhotometryQuery.objects.values_list('target__name', flat=True)) == {'SN 1', 'SN 2', 'SN 3'}
    assert other[0].pk not in PhotometryQuery.objects.values_list('target_id', flat=True)


def test_all_means_from_the_services_first_date(vera: Any, servers: Any, many: Any) -> None:
    ask(vera, filled(many(), ['ATLAS', 'ZTF'], when='all'))
    asked = dict(PhotometryQuery.objects.values_list('service', 'parameters'))
    assert {name: each['mjd_min'] for name, each in asked.items()} == {'ATLAS': 57200.0, 'ZTF': 58194.0}
    assert all('mjd_max' not in each for each in asked.values())


def test_since_the_last_point_begins_for_each_target_where_its_points_end(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    old, new = many(2)
    ask(vera, filled([old], ['ATLAS'], when='range', first='61300', last='61340'))
    ended(clock)
    clock.move(timedelta(days=1))
    page, sent = preview(vera, filled([old, new], ['ATLAS'], when='since'))
    assert '2 positions in 2 requests<' in page
    assert '1 target: from 2015-06-27' in page
    vera.post(ASK, sent)
    begins = dict(PhotometryQuery.objects.order_by('pk').values_list('target__name', 'parameters__mjd_min'))
    # the last point lies before MJD 61340, the overlap is 14 days, and ten days are rounded down
    assert begins == {'SN 0': 61320.0, 'SN 1': 57200.0}


def test_reduced_points_do_not_say_where_difference_points_end(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    (target,) = many()
    ask(vera, filled([target], ['ATLAS'], **{'when': 'range', 'first': '61300', 'last': '61340', 'atlas-use_reduced': 'on'}))
    ended(clock)
    page, _ = preview(vera, filled([target], ['ATLAS'], when='since'))
    assert 'from 2015-06-27' in page


def test_the_options_of_a_service_go_with_the_question(vera: Any, servers: Any, many: Any) -> None:
    options = {'atlas-use_reduced': 'on', 'panstarrs-radius': '5', 'panstarrs-add_mean': 'on', 'panstarrs-min_detections': '3'}
    ask(vera, filled(many(), ['ATLAS', 'PanSTARRS'], **options))
    asked = dict(PhotometryQuery.objects.values_list('service', 'parameters'))
    assert asked['ATLAS']['reduction'] == 'reduced'
    assert (asked['PanSTARRS']['radius'], asked['PanSTARRS']['tables']) == (5.0, ['detection', 'mean'])
    assert asked['PanSTARRS']['min_detections'] == 3


def test_asking_again_begins_with_what_was_asked(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    (target,) = many()
    ask(vera, filled([target], ['PanSTARRS'], **{'panstarrs-radius': '5', 'panstarrs-add_forced_mean': 'on'}))
    page = text_of(vera.get(f'{ASK}?again={PhotometryQuery.objects.get().pk}'))
    assert re.search(r'name="services" value="PanSTARRS"[^>]* checked', page)
    assert not re.search(r'name="services" value="ATLAS"[^>]* checked', page)
    assert re.search(r'name="panstarrs-radius" value="5.0"', page)
    assert re.search(r'name="panstarrs-add_forced_mean"[^>]* checked', page)
    assert not re.search(r'name="panstarrs-add_mean"[^>]* checked', page)
    assert f'name="targets" value="{target.pk}"' in page
    ask(vera, filled([target], ['ATLAS'], **{'when': 'range', 'first': '61300', 'atlas-use_reduced': 'on'}))
    page = text_of(vera.get(f'{ASK}?again={PhotometryQuery.objects.filter(service="ATLAS").get().pk}'))
    assert 'name="first" value="61300"' in page
    assert re.search(r'name="atlas-use_reduced"[^>]* checked', page)


def test_the_usual_wait_is_that_of_the_latest_answers(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    targets = many(4)
    assert 'Nothing is known yet about how long answers take' in preview(vera, filled(targets, ['ATLAS']))[0]
    for target, minutes in zip(targets, (10, 20, 400), strict=False):
        ask(vera, filled([target], ['ATLAS']))
        rows = PhotometryQuery.objects.filter(target_id=target.pk)
        rows.update(state='done', closed=clock() + timedelta(minutes=minutes), next_step=None)
    page, _ = preview(vera, filled(targets, ['ATLAS']))
    assert 'Usually 20 minutes: the median of the last 3 answers.' in page


# --- nothing twice ---------------------------------------------------------------------------------------------------------------


def test_two_clicks_ask_once(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    _, sent = preview(vera, filled(many(3), ['ATLAS', 'ZTF']))
    answers = [vera.post(ASK, sent) for _ in range(2)]
    assert [each.status_code for each in answers] == [302, 302]
    assert 'Joined questions that were open already' in said(answers[1])
    assert PhotometryQuery.objects.count() == 6
    ended(clock)
    assert (servers['ATLAS'].requests['submit'], len(servers['ATLAS'].log())) == (1, 3)
    assert len(servers['ZTF'].log()) == 3


@pytest.mark.parametrize('when', ['last', 'since', 'all'])
def test_the_second_click_after_the_answer_asks_nothing_either(vera: Any, servers: Any, many: Any, clock: Hands, when: str) -> None:
    given = filled(many(), ['ATLAS'], when=when)
    _, sent = preview(vera, given)
    vera.post(ASK, sent)
    ended(clock)
    assert servers['ATLAS'].requests['submit'] == 1
    answer = vera.post(ASK, sent)
    assert 'Answered since you looked, so not asked again: ATLAS about 1 target.' in said(answer)
    assert PhotometryQuery.objects.count() == 1
    queries.run(clock)
    assert servers['ATLAS'].requests['submit'] == 1
    # who previews again wants it again
    clock.move(timedelta(minutes=1))
    ask(vera, given)
    assert PhotometryQuery.objects.count() == 2


def test_across_midnight_two_clicks_are_one_question(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    _, sent = preview(vera, filled(many(), ['ATLAS']))
    vera.post(ASK, sent)
    clock.move(timedelta(hours=11))
    clock.move(timedelta(minutes=50))
    vera.post(ASK, sent)
    assert PhotometryQuery.objects.count() == 1


def test_what_somebody_else_asks_is_followed(client: Any, servers: Any, many: Any, astronomer: Any, django_user_model: Any) -> None:
    targets = many(2)
    client.force_login(django_user_model.objects.create_user('edwin'))
    ask(client, filled(targets[:1], ['ATLAS']))
    client.force_login(astronomer)
    page, sent = preview(client, filled(targets, ['ATLAS']))
    assert '1 position in 1 request<' in page
    assert 'you will follow the open question' in page
    answer = client.post(ASK, sent)
    assert 'Asked: ATLAS about 1 target. Joined' in said(answer)
    assert list(PhotometryQuery.objects.get(target_id=targets[0].pk).followers.all()) == [astronomer]
    assert PhotometryQuery.objects.count() == 2


def test_what_was_changed_after_the_preview_is_previewed_again(vera: Any, servers: Any, many: Any) -> None:
    _, sent = preview(vera, filled(many(), ['ATLAS']))
    page = text_of(vera.post(ASK, {**sent, 'services': ['ATLAS', 'ZTF']}))
    assert 'You changed something after the preview. Nothing was sent' in page
    assert not PhotometryQuery.objects.exists()


def test_a_stale_moment_and_nonsense_in_its_place_count_as_now(vera: Any, servers: Any, many: Any, clock: Hands) -> None:
    for moment in ('', 'yesterday', '2020-01-01T00:00:00+00:00', '2031-01-01T00:00:00+00:00', '2026-13-45T00:00+00:00', '2' * 99):
        PhotometryQuery.objects.all().delete()
        _, sent = preview(vera, filled(many(), ['ATLAS']))
        vera.post(ASK, {**sent, 'moment': moment})
        assert PhotometryQuery.objects.get().parameters['mjd_min'] == 61335.0


def test_with_workers_each_question_becomes_one_message(vera: Any, servers: Any, many: Any, monkeypatch: Any) -> None:
    sent: list[int] = []
    monkeypatch.setattr(queries.background, 'has_workers', lambda: True)
    monkeypatch.setattr(queries, 'has_workers', lambda: True)
    monkeypatch.setattr(queries.background, 'enqueue', lambda pks: sent.extend(pks) or '')
    ask(vera, filled(many(3), ['ATLAS', 'ZTF']))
    assert sorted(sent) == sorted(PhotometryQuery.objects.values_list('pk', flat=True))
    assert servers['ATLAS'].requests['submit'] == 0


def test_the_web_request_stops_taking_steps_when_its_time_is_over(vera: Any, servers: Any, many: Any, settings: Any) -> None:
    settings.TOM_FORCED_PHOT = {**settings.TOM_FORCED_PHOT, 'SYNCHRONOUS_TIME': 0}
    answer = ask(vera, filled(many(3), ['PanSTARRS']))
    assert sum(servers['PanSTARRS'].requests.values()) == 0
    assert '3 of them are still open. It is carried on by manage.py runforcedphotometry.' in said(answer)


# --- refusals --------------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_asked_is_said_of_each_target_and_the_others_are_asked(vera: Any, servers: Any, many: Any) -> None:
    (fine,), (eros,) = many(), many(name='(433) Eros', type='NON_SIDEREAL', ra=None, dec=None)
    (south,), (nowhere,) = many(name='SN 1987A', dec=-69.3), many(name='Nowhere', ra=None, dec=None)
    (wordy,) = many(name='A' * 95)
    page, sent = preview(vera, filled([fine, eros, south, nowhere, wordy], ['ATLAS', 'PanSTARRS']))
    for shown in (
        'PanSTARRS measures only fixed positions: (433) Eros is a moving target.',
        'PanSTARRS sees nothing south of declination -31; SN 1987A is at -69.30.',
        'Nowhere has no coordinates.',
    ):
        assert shown in page
    assert 'is too long: its result would be kept as a file' in page
    answer = vera.post(ASK, sent)
    asked = set(PhotometryQuery.objects.values_list('service', 'target__name'))
    assert asked == {('ATLAS', 'SN 0'), ('ATLAS', '(433) Eros'), ('ATLAS', 'SN 1987A'), ('PanSTARRS', 'SN 0')}
    assert 'Not asked: ' in said(answer)


def test_where_nothing_can_be_asked_there_is_nothing_to_press(vera: Any, servers: Any, many: Any) -> None:
    (eros,) = many(name='(433) Eros', type='NON_SIDEREAL', ra=None, dec=None)
    page, _ = preview(vera, filled([eros], ['ZTF']))
    assert 'Nothing of this can be asked' in beside(page, 'services')
    assert 'value="ask"' not in page


def beside(page: str, key: str) -> str:
    """What stands in the place for errors of a field."""
    found = re.search(rf'id="ask-error-{key}" role="alert">(.*?)</div></div>', page)
    return found[1] if found else ''


@pytest.mark.parametrize(
    ('given', 'key', 'words'),
    [
        ({'targets': []}, 'targets', 'Choose at least one target'),
        ({'targets': [999999]}, 'targets', 'There is no such target, or you may not see it: 1 of those'),
        ({'services': []}, 'services', 'Tick at least one service.'),
        ({'services': ['HST']}, 'services', 'HST cannot be asked here: it is not configured.'),
        ({'when': 'range'}, 'first', 'Write from when or until when'),
        ({'when': 'range', 'first': 'yesterday'}, 'first', 'yesterday&#x27; is no date'),
        ({'when': 'range', 'last': '12'}, 'last', 'is not between 1900 and 2200'),
        ({'when': 'range', 'first': '61300', 'last': '61200'}, 'last', 'The end must be later than the beginning.'),
        ({'when': 'soon'}, 'when', 'soon'),
        ({'target_list': 999}, 'list', 'There is no such list, or you may not see it.'),
    ],
)
def test_an_error_stands_beside_its_field(vera: Any, servers: Any, many: Any, given: Any, key: str, words: str) -> None:
    page, sent = preview(vera, {**filled(many(), ['ATLAS']), **given})
    assert words in beside(page, key)
    assert 'Nothing was sent.' in page
    assert 'value="ask"' not in page
    assert vera.post(ASK, sent).status_code == 200
    assert not PhotometryQuery.objects.exists()


@pytest.mark.parametrize(
    ('services', 'given', 'words'),
    [
        (['ATLAS'], {'when': 'range', 'first': '61400'}, 'The beginning asked for, MJD 61400, is in the future.'),
        (['ZTF'], {'when': 'range', 'last': '57000'}, 'ZTF has measured since MJD 58194; the end asked for is MJD 57000.'),
    ],
)
def test_dates_that_a_service_cannot_serve_are_refused_by_it(
    vera: Any, servers: Any, many: Any, services: list[str], given: Any, words: str
) -> None:
    page, _ = preview(vera, filled(many(), services, **given))
    assert words in page
    assert 'value="ask"' not in page


def test_an_error_in_the_options_of_a_service_stands_there_and_unfolds_them(vera: Any, servers: Any, many: Any) -> None:
    options = {'panstarrs-radius': '500', 'panstarrs-release': 'dr1', 'panstarrs-add_forced_mean': 'on'}
    page, _ = preview(vera, filled(many(), ['PanSTARRS'], **options))
    assert 'Ensure this value is less than or equal to 30' in page
    assert 'DR1 has no forced photometry; choose DR2.' in page
    assert '<details class="ask-options" open>' in page
    assert 'value="500"' in page


def test_a_service_without_credentials_cannot_be_ticked_and_says_why(vera: Any, servers: Any, many: Any, settings: Any) -> None:
    configure(settings, 'ZTF', email='', userpass='')
    page = text_of(vera.get(ASK))
    assert re.search(r'value="ZTF"[^>]* disabled', page)
    assert 'Not configured:</strong> ZTF needs email and userpass' in page
    assert '/users/profile/#photometry-credentials' in page
    page, sent = preview(vera, filled(many(), ['ZTF']))
    assert 'ZTF cannot be asked here' in beside(page, 'services')
    vera.post(ASK, sent)
    assert not PhotometryQuery.objects.exists()


def test_with_credentials_of_ones_own_it_can(vera: Any, servers: Any, many: Any, settings: Any, astronomer: Any) -> None:
    configure(settings, 'ZTF', email='', userpass='')
    accounts.save(astronomer, 'ZTF', {'email': EMAIL, 'userpass': PASSWORD})
    ask(vera, filled(many(), ['ZTF']))
    assert len(servers['ZTF'].log()) == 1


def test_a_type_that_the_settings_lack_is_said_before_asking(vera: Any, servers: Any, settings: Any) -> None:
    kinds = {name: kind for name, kind in settings.DATA_PRODUCT_TYPES.items() if name != 'atlas_photometry'}
    settings.DATA_PRODUCT_TYPES = kinds
    assert 'the result could not be kept' in text_of(vera.get(ASK))


def test_an_entry_that_cannot_be_loaded_costs_no_other_service(vera: Any, servers: Any, settings: Any) -> None:
    settings.FORCED_PHOTOMETRY_SERVICES = {**settings.FORCED_PHOTOMETRY_SERVICES, 'BROKEN': {'class': 'no.such.Thing'}}
    page = text_of(vera.get(ASK))
    assert 'BROKEN' in page
    assert 'no.such.Thing' not in page
    assert not re.search(r'value="ATLAS"[^>]* disabled', page)


def test_without_any_service_the_page_says_what_to_do(vera: Any, settings: Any) -> None:
    settings.FORCED_PHOTOMETRY_SERVICES = {}
    assert 'No photometry service is configured in this TOM.' in text_of(vera.get(ASK))


def test_more_targets_than_the_page_takes_are_refused(vera: Any, servers: Any, many: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr('tom_forced_phot.pages.ask.forms.MOST_TARGETS', 3)
    page, _ = preview(vera, filled(many(4), ['ATLAS']))
    assert 'These are more than 3 targets' in beside(page, 'targets')


@pytest.mark.parametrize('when', ['last', 'since'])
def test_a_preview_costs_the_same_questions_to_the_database_however_many_targets(
    vera: Any, servers: Any, many: Any, when: str
) -> None:
    targets, costs = many(40), []
    for number in (2, 40):
        with CaptureQueriesContext(connection) as caught:
            preview(vera, filled(targets[:number], THREE, when=when))
        costs.append(len(caught))
    assert costs[0] == costs[1] < 60


def test_more_targets_than_a_form_has_fields_for_are_previewed_and_asked(vera: Any, servers: Any) -> None:
    rows = [Target(name=f'T {each}', type='SIDEREAL', ra=each / 10, dec=each / 50, permissions='PUBLIC') for each in range(1000)]
    pks = ','.join(str(each.pk) for each in Target.objects.bulk_create(rows))
    page = text_of(vera.get(f'{ASK}?targets={pks}'))
    assert 'and 900 more' in page
    fields = re.findall(r'name="targets" value="([\d,]+)"', page)
    assert len(fields) == 101
    page, sent = preview(vera, {'targets': fields, 'services': ['ATLAS'], 'when': 'last'})
    assert '1000 positions in 10 requests<' in page
    assert vera.post(ASK, sent).status_code == 302
    assert PhotometryQuery.objects.count() == 1000
