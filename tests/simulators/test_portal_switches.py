"""The stand-in of an observation portal does what real portals were seen to do, over real HTTP, one switch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from simulators.portal import Portal
from simulators.portal_requests import NOT_VISIBLE, REFUSALS
from simulators.server import serve

NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
SINISTRO, SBIG = '1M0-SCICAM-SINISTRO', '0M4-SCICAM-SBIG'
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def iso(hours: float) -> str:
    return (NOON + hours * HOUR).isoformat()


def request(start: float = 6, end: float = 12, instrument: str = SINISTRO, exposure: float = 30) -> dict[str, Any]:
    """One request; its window in hours from noon."""
    configuration = {
        'type': 'EXPOSE',
        'instrument_type': instrument,
        'target': {'name': 'SN', 'type': 'ICRS', 'ra': 10.0, 'dec': 10.0},
        'constraints': {'max_airmass': 1.6},
        'instrument_configs': [{'exposure_time': exposure, 'exposure_count': 2, 'optical_elements': {'filter': 'rp'}}],
        'acquisition_config': {},
        'guiding_config': {},
    }
    windows = [{'start': iso(start), 'end': iso(end)}]
    return {'location': {'telescope_class': '1m0'}, 'configurations': [configuration], 'windows': windows}


def group(*asked: dict[str, Any], name: str = 'SN follow-up', proposal: str = 'TOM2026B-001') -> dict[str, Any]:
    wanted = list(asked) or [request()]
    operator = 'MANY' if len(wanted) > 1 else 'SINGLE'
    common = {'name': name, 'proposal': proposal, 'ipp_value': 1.05, 'observation_type': 'NORMAL'}
    return common | {'operator': operator, 'requests': wanted}


@pytest.fixture
def portal() -> Iterator[Portal]:
    with serve(Portal()) as server:
        server.service.set_clock(NOON, frozen=True)
        yield server.service


Call = Callable[..., requests.Response]


@pytest.fixture
def call(portal: Portal) -> Iterator[Call]:
    with requests.Session() as session:

        def ask(method: str, path: str, token: str | None = None, timeout: float = 10, **more: Any) -> requests.Response:
            headers = {'Authorization': f'Token {token or portal.token}'}
            return session.request(method, f'{portal.url}/api/{path}', headers=headers, timeout=timeout, **more)

        yield ask


@pytest.fixture
def submit(call: Call) -> Callable[..., list[int]]:
    """Submit a request group; the numbers of its requests."""

    def post(*asked: dict[str, Any], token: str | None = None, **more: Any) -> list[int]:
        reply = call('POST', 'requestgroups/', token, json=group(*asked, **more))
        assert reply.status_code == 201, reply.text
        return [each['id'] for each in reply.json()['requests']]

    return post


def names(call: Call, query: str) -> list[str]:
    reply = call('GET', f'requestgroups/?{query}')
    assert reply.status_code == 200, reply.text
    return [each['name'] for each in reply.json()['results']]


class TestList:
    def test_one_retired_instrument_breaks_the_page_that_shows_it_while_single_requests_are_answered(
        self, portal: Portal, call: Call, submit: Any
    ) -> None:
        [mine] = submit()
        [theirs] = portal.add_colleagues(1, instrument=SBIG)
        portal.add_colleagues(20)
        assert call('GET', 'requestgroups/?limit=50').status_code == 200
        portal.retire(SBIG)
        broken = call('GET', 'requestgroups/?limit=50')
        assert (broken.status_code, broken.headers['Content-Type']) == (500, 'text/html')
        assert [call('GET', f'requestgroups/?limit=10&offset={offset}').status_code for offset in (0, 10, 20)] == [200, 200, 500]
        assert call('GET', 'requestgroups/?limit=50&user=observer').status_code == 200
        assert [call('GET', f'requests/{number}/').status_code for number in (mine, theirs)] == [200, 500]
        assert call('GET', f'requests/{theirs}/observations/').status_code == 200
        refused = call('POST', 'requestgroups/', json=group(request(instrument=SBIG)))
        assert (refused.status_code, 'Invalid instrument type' in refused.text) == (400, True)

    def test_three_thousand_requests_of_colleagues_stand_before_ours_and_modified_after_passes_them_by(
        self, portal: Portal, call: Call, submit: Any
    ) -> None:
        [mine] = submit(name='SN ours')
        portal.advance(3600)
        portal.add_colleagues(3000)
        first = call('GET', 'requestgroups/?limit=200').json()
        assert (first['count'], first['results'][0]['submitter'], len(first['results'])) == (3001, 'colleague', 200)
        pages, following = 1, first['next']
        while following:
            page = call('GET', following.partition('/api/')[2]).json()
            pages, following = pages + 1, page['next']
        assert (pages, page['results'][-1]['name']) == (16, 'SN ours')
        portal.advance(3600)
        portal.set_state(mine, 'COMPLETED')
        assert names(call, f'limit=200&modified_after={(NOON + 2 * HOUR):%Y-%m-%dT%H:%M:%S}') == ['SN ours']
        assert names(call, f'limit=200&modified_after={(NOON + 3 * HOUR):%Y-%m-%dT%H:%M:%S}') == []
        assert portal.requests['list'] == 18

    def test_what_was_modified_is_a_request_and_not_its_schedule(self, portal: Portal, call: Call, submit: Any) -> None:
        first, second = submit(request(), request(24, 30))
        portal.advance(60)
        portal.schedule(second, NOON + 25 * HOUR, NOON + 26 * HOUR)
        assert names(call, 'modified_after=2026-11-21T12:01:00') == []
        portal.set_state(first, 'WINDOW_EXPIRED')
        assert names(call, 'modified_after=2026-11-21T12:01:00') == ['SN follow-up']
        assert names(call, 'modified_before=2026-11-21T11:59:00') == []

    @pytest.mark.parametrize(
        'query', ['modified_after=yesterday', 'created_before=soon', 'state=DONE', 'exclude_state=x', 'request_id=one']
    )
    def test_a_filter_that_cannot_be_read_is_refused(self, call: Call, query: str) -> None:
        reply = call('GET', f'requestgroups/?{query}')
        assert (reply.status_code, list(reply.json())) == (400, [query.partition('=')[0]])

    def test_filters_of_name_user_proposal_state_and_order(self, portal: Portal, call: Call, submit: Any) -> None:
        portal.set_proposal('Other', current=True)
        submit(name='B one')
        [done] = submit(name='A two', proposal='Other')
        portal.add_colleagues(1, state='CANCELED')
        portal.set_state(done, 'COMPLETED')
        assert names(call, 'name=TWO') == names(call, 'proposal=Other') == names(call, 'state=COMPLETED') == ['A two']
        assert names(call, f'request_id={done}&unheard=of') == ['A two']
        assert names(call, 'user=colleague') == ['RR Lyrae 00000']
        assert names(call, 'exclude_state=COMPLETED&exclude_state=CANCELED') == ['B one']
        assert names(call, 'order=name') == ['A two', 'B one', 'RR Lyrae 00000']

    @pytest.mark.parametrize('limit', [1, 3, 7, 50])
    def test_pages_hold_each_request_once(self, portal: Portal, call: Call, limit: int) -> None:
        numbers = portal.add_colleagues(21)
        seen, path = [], f'requestgroups/?limit={limit}'
        while path:
            page = call('GET', path).json()
            seen += [each['requests'][0]['id'] for each in page['results']]
            path = (page['next'] or '').partition('/api/')[2]
        assert seen == numbers[::-1]

    def test_a_slow_page_is_slow_alone(self, portal: Portal, call: Call) -> None:
        portal.add_colleagues(30)
        portal.fault('list', 'hang', count=-1, match='offset=10')
        assert call('GET', 'requestgroups/?limit=10').status_code == 200
        with pytest.raises(requests.Timeout):
            call('GET', 'requestgroups/?limit=10&offset=10', timeout=0.2)
        assert call('GET', 'requestgroups/?limit=10&offset=20').status_code == 200


class TestThrottle:
    def test_each_user_may_create_so_many_a_day(self, portal: Portal, call: Call, submit: Any) -> None:
        portal.configure(create_rate=2)
        other = portal.add_user('other')
        submit(), submit(request(24, 30)), submit(token=other)
        refused = call('POST', 'requestgroups/', json=group())
        assert (refused.status_code, refused.headers['Retry-After']) == (429, '86400')
        assert refused.json() == {'detail': 'Request was throttled. Expected available in 86400 seconds.'}
        assert call('POST', 'requestgroups/validate/', json=group()).status_code == 200
        assert len(portal.submissions) == 3
        portal.advance(86400)
        submit(request(30, 36))

    def test_any_minute_counts_whatever_is_asked(self, portal: Portal, call: Call) -> None:
        portal.configure(minute_rate=3)
        codes = [call('GET', 'profile/').status_code for _ in range(5)]
        portal.advance(60)
        assert (codes, call('GET', 'profile/').status_code) == ([200, 200, 200, 429, 429], 200)

    def test_a_portal_that_is_closed_says_until_when(self, portal: Portal, call: Call) -> None:
        portal.close_until(NOON + HOUR)
        reply = call('GET', 'profile/')
        assert (reply.status_code, reply.headers['Retry-After'], reply.headers['Content-Type']) == (503, '3600', 'text/html')
        portal.advance(3600)
        assert call('GET', 'profile/').status_code == 200

    @pytest.mark.parametrize(('kind', 'status'), [('429', 429), ('503', 503)])
    def test_one_request_is_put_off(self, portal: Portal, call: Call, kind: str, status: int) -> None:
        portal.fault('submit', kind, seconds=120)
        reply = call('POST', 'requestgroups/', json=group())
        assert (reply.status_code, reply.headers['Retry-After'], portal.submissions) == (status, '120', [])


class TestSeasons:
    @pytest.fixture(autouse=True)
    def semesters(self, portal: Portal) -> None:
        portal.set_semesters(**{'2026B': ('2026-08-01', iso(240)), '2027A': (iso(240), iso(4800))})

    @pytest.mark.parametrize(('start', 'end', 'fits'), [(6, 240, True), (240, 246, True), (239, 241, False), (4799, 4801, False)])
    def test_a_window_lies_within_one_semester(self, call: Call, start: float, end: float, fits: bool) -> None:
        reply = call('POST', 'requestgroups/', json=group(request(start, end)))
        checked = call('POST', 'requestgroups/validate/', json=group(request(start, end))).json()['errors']
        errors = {'windows': [{'non_field_errors': ['The observation window does not fit within any defined semester.']}]}
        assert (reply.status_code, checked) == ((201, {}) if fits else (400, {'requests': [errors]}))

    def test_windows_of_one_request_lie_in_the_same_semester(self, call: Call) -> None:
        asked = request()
        asked['windows'].append({'start': iso(250), 'end': iso(260)})
        errors = call('POST', 'requestgroups/', json=group(asked)).json()
        assert errors == {'requests': [{'windows': ['The observation windows must all be in the same semester']}]}

    def test_the_semesters_are_told(self, call: Call) -> None:
        assert [each['id'] for each in call('GET', 'semesters/').json()['results']] == ['2026B', '2027A']
        now = call('GET', f'semesters/?semester_contains={NOON:%Y-%m-%dT%H:%M:%S}').json()['results']
        assert now == [{'id': '2026B', 'start': '2026-08-01T00:00:00Z', 'end': '2026-12-01T12:00:00Z'}]

    def test_a_proposal_without_time_is_refused_until_it_has_some(self, portal: Portal, call: Call, submit: Any) -> None:
        portal.set_proposal('TOM2026B-001', hours=0, semester='2026B')
        text = f'Proposal TOM2026B-001 does not have any time left allocated in semester 2026B on {SINISTRO} instruments'
        assert call('POST', 'requestgroups/', json=group()).json() == {'non_field_errors': [text]}
        submit(request(250, 260))
        portal.set_proposal('TOM2026B-001', hours=0.05, semester='2026B')
        [done] = submit()
        long = call('POST', 'requestgroups/', json=group(request(exposure=300)))
        assert long.json() == {'non_field_errors': ['Proposal TOM2026B-001 does not have enough time allocated in semester 2026B']}
        portal.set_state(done, 'COMPLETED')
        assert portal.proposals['TOM2026B-001'].hours['2026B'] == pytest.approx(0.05 - 150 / 3600)

    def test_a_proposal_that_is_over_is_no_choice_any_more(self, portal: Portal, call: Call) -> None:
        portal.set_proposal('TOM2026B-001', current=False)
        portal.set_proposal('TOM2027A-001')
        current = [each['id'] for each in call('GET', 'profile/').json()['proposals'] if each['current']]
        assert current == ['TOM2027A-001']
        assert 'sufficient time' in call('POST', 'requestgroups/', json=group()).text
        assert call('POST', 'requestgroups/', json=group(proposal='TOM2027A-001')).status_code == 201

    def test_who_is_no_member_neither_asks_nor_sees(self, portal: Portal, call: Call, submit: Any) -> None:
        portal.set_proposal('TOM2026B-001', members=['observer'])
        stranger = portal.add_user('stranger')
        [number] = submit()
        text = 'You do not belong to the proposal you are trying to submit'
        assert call('POST', 'requestgroups/', stranger, json=group()).json() == {'non_field_errors': [text]}
        assert call('GET', 'requestgroups/', stranger).json()['count'] == 0
        assert [call('GET', f'requests/{number}/', token).status_code for token in (stranger, None)] == [404, 200]


class TestOutcomes:
    def test_a_request_can_be_completed_though_nothing_was_observed(self, portal: Portal, call: Call, submit: Any) -> None:
        [number] = submit()
        portal.set_state(number, 'COMPLETED', observation='NOT_ATTEMPTED')
        assert call('GET', f'requests/{number}/').json()['state'] == 'COMPLETED'
        assert [each['state'] for each in call('GET', f'requests/{number}/observations/').json()] == ['NOT_ATTEMPTED']

    def test_a_cancel_leaves_what_was_completed(self, portal: Portal, call: Call, submit: Any) -> None:
        done, waiting, expired = submit(request(), request(24, 30), request(48, 54))
        portal.set_state(done, 'COMPLETED')
        portal.set_state(expired, 'WINDOW_EXPIRED')
        number = portal.submissions[0].group_id
        assert call('GET', f'requestgroups/{number}/').json()['state'] == 'PENDING'
        reply = call('POST', f'requestgroups/{number}/cancel/').json()
        assert (reply['state'], [each['state'] for each in reply['requests']]) == (
            'CANCELED',
            ['COMPLETED', 'CANCELED', 'WINDOW_EXPIRED'],
        )
        assert portal.log()[0]['states'] == ['COMPLETED', 'CANCELED', 'WINDOW_EXPIRED']
        assert portal.state(waiting) == 'CANCELED'

    def test_what_is_completed_cannot_be_cancelled(self, portal: Portal, call: Call, submit: Any) -> None:
        [number] = submit()
        portal.set_state(number, 'COMPLETED')
        refused = call('POST', f'requestgroups/{portal.submissions[0].group_id}/cancel/')
        assert (refused.status_code, 'Cannot transition' in refused.json()['errors'][0]) == (400, True)

    def test_several_requests_are_one_group_and_one_is_not_many(self, call: Call, submit: Any) -> None:
        assert len(submit(request(), request(24, 30))) == 2
        single = group(request(), request(24, 30)) | {'operator': 'SINGLE'}
        many = group() | {'operator': 'MANY'}
        texts = [call('POST', 'requestgroups/', json=each).json()['non_field_errors'][0] for each in (single, many)]
        assert texts == [
            "'Single' type requestgroups must have exactly one child request.",
            "'Many' type requestgroups must have more than one child request.",
        ]

    @pytest.mark.parametrize(('length', 'status'), [(50, 201), (51, 400)])
    def test_a_name_has_fifty_characters_at_most(self, call: Call, length: int, status: int) -> None:
        assert call('POST', 'requestgroups/', json=group(name='x' * length)).status_code == status


class TestPatterns:
    @pytest.mark.parametrize(
        ('asked', 'points'),
        [
            ({'pattern': 'line', 'num_points': 3, 'center': True}, [(0, -10), (0, 0), (0, 10)]),
            ({'pattern': 'line', 'num_points': 2, 'orientation': 90}, [(0, 0), (-10, 0)]),
            ({'pattern': 'grid', 'num_rows': 2, 'num_columns': 2, 'line_spacing': 5}, [(0, 0), (0, 10), (5, 10), (5, 0)]),
        ],
    )
    def test_a_dither_repeats_the_exposures_and_counts_them(
        self, portal: Portal, call: Call, asked: dict[str, Any], points: list[tuple[float, float]]
    ) -> None:
        wanted = request()
        [configuration] = wanted['configurations']
        given = call('POST', 'configurations/dither/', json={'configuration': configuration, 'point_spacing': 10} | asked).json()
        offsets = [(each['extra_params']['offset_ra'], each['extra_params']['offset_dec']) for each in given['instrument_configs']]
        assert offsets == [pytest.approx(point) for point in points]
        wanted['configurations'] = [given]
        durations = call('POST', 'requestgroups/validate/', json=group(wanted)).json()['request_durations']
        assert durations['duration'] == 90 + 60 * len(points)

    def test_a_mosaic_has_a_target_each(self, call: Call) -> None:
        asked = {'request': request(), 'pattern': 'line', 'num_points': 2, 'point_overlap_percent': 50}
        targets = [each['target'] for each in call('POST', 'requests/mosaic/', json=asked).json()['configurations']]
        assert [each['dec'] for each in targets] == pytest.approx([10.0, 10.0 + 780 / 3600])

    def test_a_spiral_begins_at_the_target_and_a_pattern_needs_its_fields(self, call: Call) -> None:
        asked = {'configuration': request()['configurations'][0], 'pattern': 'spiral', 'point_spacing': 10, 'num_points': 5}
        places = [each['extra_params'] for each in call('POST', 'configurations/dither/', json=asked).json()['instrument_configs']]
        assert (len(places), places[0]) == (5, {'offset_ra': 0, 'offset_dec': 0})
        refused = call('POST', 'configurations/dither/', json=asked | {'pattern': 'grid'})
        assert (refused.status_code, set(refused.json())) == (400, {'num_rows', 'num_columns'})
        assert call('POST', 'requests/mosaic/', json=asked | {'request': request(), 'point_overlap_percent': 1}).status_code == 400

    def test_repeats_are_counted(self, call: Call) -> None:
        asked = request() | {'configuration_repeats': 3}
        assert call('POST', 'requestgroups/validate/', json=group(asked)).json()['request_durations']['duration'] == 90 + 180


class TestRefusals:
    @pytest.mark.parametrize('kind', REFUSALS)
    @pytest.mark.parametrize('verb', ['validate', 'submit'])
    def test_refuses_in_a_shape_of_its_own_and_books_nothing(self, portal: Portal, call: Call, verb: str, kind: str) -> None:
        portal.fault(verb, kind)
        path = 'requestgroups/' + 'validate/' * (verb == 'validate')
        reply = call('POST', path, json=group())
        status, body = REFUSALS[kind]
        assert reply.status_code == status
        assert portal.submissions == []
        if reply.headers['Content-Type'] == 'application/json':
            assert reply.json() == body
        else:
            assert reply.text == body
        assert call('POST', path, json=group()).status_code in (200, 201)

    def test_the_words_can_be_chosen(self, portal: Portal, call: Call) -> None:
        portal.fault('validate', 'requests-text', text='The dome is shut.')
        errors = call('POST', 'requestgroups/validate/', json=group()).json()['errors']
        assert errors == {'requests': 'The dome is shut.'} != {'requests': NOT_VISIBLE}


class TestLog:
    def test_knows_doubles_orphans_and_lost_replies(self, portal: Portal, call: Call, submit: Any) -> None:
        [first] = submit()
        portal.fault('submit', '500-after')
        assert call('POST', 'requestgroups/', json=group(request(11, 17))).status_code == 500
        [other] = submit(request(12, 18, exposure=60))
        [later] = submit(request(36, 42))
        lost = portal.submissions[1].request_ids[0]
        assert portal.doubles() == [lost]
        assert portal.orphans([first, str(other), later]) == [lost]
        assert [each['lost'] for each in portal.log()] == ['', '500-after', '', '']
        assert portal.log(since=3)[0]['request_ids'] == [later]
        portal.set_state(first, 'WINDOW_EXPIRED')
        assert portal.doubles() == []

    def test_what_is_typed_in_at_the_portal_is_booked_and_what_is_forgotten_is_gone(self, portal: Portal, call: Call) -> None:
        first, second = (portal.book(group(name=name)) for name in ('by hand', 'gone'))
        portal.forget(second['id'])
        assert names(call, '') == ['by hand']
        assert call('GET', f'requests/{second["requests"][0]["id"]}/').status_code == 404
        third = portal.book(group(name='third'))
        assert [first['id'], third['id']] == [second['id'] - 1, second['id'] + 1]

    def test_colleagues_are_not_in_it(self, portal: Portal) -> None:
        portal.add_colleagues(3)
        assert (portal.log(), portal.request_ids(), portal.doubles()) == ([], [], [])


class TestControl:
    def test_every_switch_is_there_over_http_too(self, portal: Portal, call: Call, submit: Any) -> None:
        def tell(name: str, /, **said: Any) -> Any:
            reply = requests.post(f'{portal.url}/control/{name}', json=said, timeout=5)
            assert reply.status_code == 200, reply.text
            return reply.json()

        [number] = submit()
        assert tell('colleagues', count=2, age=60) == [70001, 70002]
        tell('schedule', id=number, start=iso(7), end=iso(8))
        assert call('GET', f'requests/{number}/observations/').json()[0]['state'] == 'PENDING'
        tell('state', id=number, state='COMPLETED')
        assert tell('orphans', known=[]) == [number]
        assert tell('doubles') == []
        assert tell('settle', state='WINDOW_EXPIRED') == []
        tell('proposal', id='New', hours=3, semester='2026B')
        tell('semesters', **{'2026B': [iso(0), iso(100)]})
        tell('reply', verb='profile', status=418, body='no')
        assert call('GET', 'profile/').text == 'no'
        assert call('GET', 'profile/', tell('user', name='other')['token']).json()['username'] == 'other'
        tell('retire', code=SBIG)
        tell('offer', codes=[SINISTRO])
        assert list(call('GET', 'instruments/').json()) == [SINISTRO]
        tell('close', until=iso(1))
        assert call('GET', 'profile/').status_code == 503
        assert [verb for verb, _ in portal.asked][-3:] == ['profile', 'instruments', 'profile']
        tell('reset')
        portal.set_clock(NOON, frozen=True)
        assert call('GET', 'requestgroups/').json()['count'] == 0
