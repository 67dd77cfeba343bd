"""What ZTF's service is told, and what its pages mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators import zfps_pages
from tests.support.published import sample
from tom_followup.units import mjd_of
from tom_forced_phot import http
from tom_forced_phot.exceptions import BadFile, Credentials, Refused, Temporary, Throttled, Uncertain, UnexpectedReply
from tom_forced_phot.services import ztf as pages
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Reply
from tom_forced_phot.services.ztf import ZtfForcedPhotometryService, ZtfForm

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
HERE, THERE = Position('SN 1', 150.0, 20.0), Position('SN 2', 359.999999, -30.5)
DATES = {'reduction': 'difference', 'mjd_min': 61300.0, 'mjd_max': 61340.25}
JDS = (2461300.5, 2461340.75)
ACCOUNT = {'email': 'vera@example.org', 'userpass': 'ztf-secret'}
ZTF = ZtfForcedPhotometryService(ACCOUNT)
PATH = '/ztf/ops/forcedphot/lc/0/15/req15274/cksumabc/forcedphotometry_req00015274_lc.txt'
NAMES = ['reqid', 'ra', 'dec', 'startJD', 'endJD', 'created', 'started', 'ended', 'exitcode', 'cksum', 'lightcurve']


def job(*positions: Position, **more: Any) -> Job:
    return Job('tf-1', positions or (HERE,), DATES, last_sent=more.get('last_sent', NOW))


def part(index: int = 0, position: Position = HERE, **remote: Any) -> Part:
    return Part(index, position, DATES, remote)


def row(position: Position = HERE, **more: Any) -> list[str]:
    known = {'ra': f'{position.ra:.6f}', 'dec': f'{position.dec:.6f}', 'startJD': f'{JDS[0]:.6f}', 'endJD': f'{JDS[1]:.6f}'}
    cells = {'reqid': '15274', **known, 'created': '2026-11-21 08:00:05', **more}
    return [str(cells.get(name, '')) for name in NAMES]


def page(*rows: Sequence[str], names: Sequence[str] = NAMES, status: int = 200) -> Reply:
    return Reply(status, zfps_pages.page(zfps_pages.table(names, rows)).encode())


def text(words: str, status: int = 200) -> Reply:
    return Reply(status, zfps_pages.error(words).encode())


def one(**cells: Any) -> Any:
    return ZTF.progress(job(), [part()], page(row(**cells)), Answer()).parts[0]


# --- asking ----------------------------------------------------------------------------------------------------------------------


def test_one_position_is_a_signed_get_that_does_something() -> None:
    request = ZTF.submit(job())
    assert (request.method, request.path) == ('GET', 'cgi-bin/requestForcedPhotometry.cgi')
    assert (request.changes, request.signed) == (True, True)
    expected = {'ra': '150.0000000', 'dec': '20.0000000', 'jdstart': '2461300.50000', 'jdend': '2461340.75000'}
    assert dict(request.query) == expected


def test_several_positions_are_two_lists_and_two_numbers() -> None:
    request = ZTF.submit(job(Position('a', 12.123456789, 3.0), THERE))
    assert (request.method, request.path) == ('POST', 'cgi-bin/batchfp.py/submit')
    assert (request.changes, request.signed) == (True, True)
    form = {name: json.loads(value) for name, value in request.form}
    assert form == {'ra': [12.1234568, 359.999999], 'dec': [3.0, -30.5], 'jdstart': JDS[0], 'jdend': JDS[1]}


def test_the_account_goes_as_parameters_and_the_public_login_with_everything() -> None:
    secrets = ZTF.secrets()
    assert (secrets.basic, dict(secrets.parameters)) == (('ztffps', 'dontgocrazy!'), ACCOUNT)
    other = ZtfForcedPhotometryService({**ACCOUNT, 'basic_user': 'new', 'basic_password': 'login'})
    assert other.secrets().basic == ('new', 'login')
    for request in (ZTF.submit(job()), ZTF.submit(job(HERE, THERE)), ZTF.status(job(), [])):
        assert 'ztf-secret' not in repr(request)


def test_credentials_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('EMAIL', 'USERPASS'):
        monkeypatch.delenv(f'ZTF_FORCED_PHOTOMETRY_{name}', raising=False)
    bare = ZtfForcedPhotometryService({})
    assert bare.missing_credentials() == ['email', 'userpass']
    monkeypatch.setenv('ZTF_FORCED_PHOTOMETRY_EMAIL', 'a@example.org')
    monkeypatch.setenv('ZTF_FORCED_PHOTOMETRY_USERPASS', 'word')
    assert bare.missing_credentials() == []
    assert dict(bare.secrets().parameters) == {'email': 'a@example.org', 'userpass': 'word'}


@pytest.mark.parametrize(
    ('given_dates', 'expected'),
    [
        ({}, (58194.0, round(mjd_of(NOW), 5))),
        ({'min_date': 61300.1234567, 'max_date': 61310.0}, (61300.12346, 61310.0)),
        # the service would move the beginning by itself, and the request would not be found by its dates
        ({'min_date': 50000.0, 'max_date': 61310.0}, (58194.0, 61310.0)),
    ],
)
def test_both_dates_are_fixed_when_it_is_sent(given_dates: dict[str, float], expected: tuple[float, float]) -> None:
    found = ZTF.fixed(ZTF.parameters(given_dates, NOW), NOW)
    assert (found['mjd_min'], found['mjd_max']) == expected
    assert found['reduction'] == 'difference'
    assert ZTF.objection(HERE, found, NOW) == ''


@pytest.mark.parametrize(
    ('position', 'dates', 'words'),
    [
        (THERE, {}, ''),
        (Position('South', 10.0, -31.5), {}, 'sees nothing south of declination -31; South is at -31.50'),
        (Position('Ceres', moving=True, mpc_name='Ceres'), {}, 'Ceres is a moving target'),
        (Position('X'), {}, 'X has no coordinates'),
        (HERE, {'min_date': 61340.0, 'max_date': 61330.0}, 'later than the beginning'),
        (HERE, {'max_date': 58000.0}, 'has measured since MJD 58194'),
        (HERE, {'min_date': 57000.0, 'max_date': 58000.0}, 'has measured since MJD 58194'),
        (HERE, {'min_date': 62000.0}, 'is in the future'),
        (HERE, {'min_date': 62000.0, 'max_date': 63000.0}, 'is in the future'),
    ],
)
def test_what_cannot_be_asked_is_said_before(position: Position, dates: dict[str, float], words: str) -> None:
    found = ZTF.objection(position, ZTF.parameters(dates, NOW), NOW)
    assert words in found
    assert bool(found) is bool(words)


def test_equal_dates_go_together() -> None:
    assert ZTF.together(HERE, DATES) == ZTF.together(THERE, dict(DATES)) is not None
    assert ZTF.together(HERE, DATES) != ZTF.together(HERE, {**DATES, 'mjd_max': 61340.5})
    assert ZTF.batch_size == 1500


def test_the_form_takes_dates() -> None:
    form = ZtfForm({'service': 'ZTF', 'target_id': '1', 'min_date': '2026-11-01'})
    assert form.is_valid()
    assert form.cleaned_data['min_date'] == 61345.0


# --- being accepted, or not ------------------------------------------------------------------------------------------------------


def test_the_recorded_page_confirms_a_request() -> None:
    reply = Reply(200, sample('replies/zfps_requestForcedPhotometry_200.html'))
    asked = {'mjd_min': 60023.878186, 'mjd_max': 60083.878186}
    answer = ZTF.submitted(Job('tf-1', (Position('X', 123.45, 67.89),), asked), reply)
    assert str(answer.parts[0].state) == 'submitted'
    assert dict(answer.parts[0].remote) == {}
    with pytest.raises(UnexpectedReply, match='another request than ours'):
        ZTF.submitted(job(), reply)


def test_the_account_that_a_page_repeats_is_not_shown() -> None:
    confirmed = Reply(200, zfps_pages.submitted(1.0, 2.0, *JDS, 'vera@example.org ztf-secret').encode())
    with pytest.raises(UnexpectedReply) as caught:
        ZTF.submitted(job(), confirmed)
    assert 'vera' not in str(caught.value)
    assert 'secret' not in str(caught.value)


@pytest.mark.parametrize('body', [b'', b'OK', zfps_pages.batch_accepted(2).encode()])
def test_a_batch_is_accepted_by_its_status(body: bytes) -> None:
    answer = ZTF.submitted(job(HERE, THERE), Reply(200, body))
    assert [str(progress.state) for progress in answer.parts.values()] == ['submitted', 'submitted']


@pytest.mark.parametrize('positions', [(HERE,), (HERE, THERE)])
@pytest.mark.parametrize(
    ('reply', 'error'),
    [
        (text('Error: invalid email or userpass'), Credentials),
        (text('Your password is incorrect; try again.'), Credentials),
        (text('Error: invalid ra, dec, jdstart or jdend'), Refused),
        (text('Error: ra and dec must be lists'), Refused),
        (text('Error: too many pending requests'), Throttled),
        (text('Down for maintenance'), UnexpectedReply),
        (text('Error: database is busy; try again a minute later.'), UnexpectedReply),
        (text('Error: database is busy; try again a minute later.', 503), Uncertain),
        (text('401 Unauthorized', 401), Credentials),
        (text('oh', 500), Uncertain),
        (text('slowly', 429), Throttled),
        (text('not here', 404), Refused),
    ],
)
def test_a_page_that_says_no(positions: tuple[Position, ...], reply: Reply, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        ZTF.submitted(job(*positions), reply)
    assert type(caught.value) is error
    assert 'ZTF' in str(caught.value)
    assert '<' not in str(caught.value)


@pytest.mark.parametrize('body', [b'', b'OK', b'{"url": "http', b'<table><tr><th>a</th></tr></table>'])
def test_what_is_no_confirmation_of_one_position_is_looked_up(body: bytes) -> None:
    with pytest.raises(UnexpectedReply, match='no confirmation'):
        ZTF.submitted(job(), Reply(200, body))


# --- the status page -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('positions', 'path'),
    [((HERE,), 'getForcedPhotometryRequests.cgi'), ((HERE, THERE), 'getBatchForcedPhotometryRequests.cgi')],
)
def test_the_page_of_its_kind_is_asked(positions: tuple[Position, ...], path: str) -> None:
    for request in (ZTF.status(job(*positions), []), ZTF.look_up(job(*positions))):
        assert (request.method, request.path, request.changes, request.signed) == ('GET', f'cgi-bin/{path}', False, True)
        assert dict(request.query) == {'option': 'All recent jobs', 'action': 'Query Database'}


ENDED = {'started': '2026-11-21 08:10:00', 'ended': '2026-11-21 10:00:00'}


@pytest.mark.parametrize(
    ('cells', 'state', 'words'),
    [
        ({}, 'submitted', 'queue'),
        ({'exitcode': '0'}, 'submitted', 'queue'),
        ({'started': '2026-11-21 08:10:00'}, 'running', 'measuring'),
        ({'ended': 'null', 'lightcurve': 'None'}, 'submitted', 'queue'),
        ({**ENDED, 'exitcode': '0', 'lightcurve': PATH}, 'result', 'ready.'),
        ({**ENDED, 'exitcode': '62', 'lightcurve': PATH}, 'result', 'moved to 2018-03-17'),
        ({**ENDED, 'lightcurve': PATH}, 'result', 'ready.'),
        ({**ENDED, 'exitcode': '63'}, 'no_data', 'no images were found (exit code 63)'),
        ({**ENDED, 'exitcode': '65.0'}, 'no_data', 'before the survey'),
        ({**ENDED, 'exitcode': '64'}, 'failed', 'the processing failed (exit code 64)'),
        ({**ENDED, 'exitcode': '255'}, 'failed', 'the database failed'),
        ({**ENDED, 'exitcode': '255', 'lightcurve': PATH}, 'failed', 'the database failed'),
        ({**ENDED, 'exitcode': '0'}, 'failed', 'no warning (exit code 0)'),
        ({**ENDED, 'exitcode': '99'}, 'failed', 'not documented (exit code 99)'),
        (ENDED, 'failed', 'does not say why'),
    ],
)
def test_how_a_request_is(cells: dict[str, str], state: str, words: str) -> None:
    found = one(**cells)
    assert str(found.state) == state
    assert words in found.message
    assert found.remote['reqid'] == 15274
    assert found.remote.get('lightcurve') == (PATH if state == 'result' else None)


@pytest.mark.parametrize(
    'names',
    [
        ['reqId', 'RA', 'Dec', 'jdstart', 'jdend', 'created', 'started', 'ended', 'exitcode', 'cksum', 'lightcurve'],
        ['request id', 'ra ', ' dec', 'start JD', 'end JD', 'created', 'started', 'ended', 'exit code', 'x', 'light curve'],
    ],
)
def test_columns_are_known_in_any_spelling_and_order(names: list[str]) -> None:
    cells = row(**ENDED, exitcode='0', lightcurve=PATH)
    for step in (1, -1):
        found = ZTF.progress(job(), [part()], page(cells[::step], names=names[::step]), Answer()).parts[0]
        assert (str(found.state), found.remote['lightcurve']) == ('result', PATH)


def test_the_batch_table_has_fewer_columns() -> None:
    names = ['ra', 'dec', 'jdstart', 'jdend', 'lightcurve', 'exitcode']
    rows = [['150.0000000', '20.0000000', *map(str, JDS), PATH, '0'], ['359.9999990', '-30.5000000', *map(str, JDS), '', '0']]
    answer = ZTF.progress(job(HERE, THERE), [part(0), part(1, THERE)], page(*rows, names=names), Answer())
    assert {index: str(each.state) for index, each in answer.parts.items()} == {0: 'result', 1: 'submitted'}


def test_cells_that_are_not_closed_links_and_other_tables_are_read_as_a_browser_does() -> None:
    lines = [
        '<table><tr><td>menu</table><TABLE><TR>' + ''.join(f'<TH>{name}' for name in NAMES),
        '<tr>'
        + ''.join(f'<td> {cell}' for cell in row(**ENDED, exitcode='0', lightcurve=''))
        + f'<a href="{PATH}">light curve</a>',
        '<tr><td colspan=11>----</td></tr>',
    ]
    found = ZTF.progress(job(), [part()], Reply(200, '\n'.join(lines).encode()), Answer()).parts[0]
    assert (str(found.state), found.remote['lightcurve']) == ('result', PATH)


def test_a_position_is_found_across_the_first_meridian_and_among_others() -> None:
    other = Position('o', 0.0000005, -30.5000004)
    assert str(one(ra='150.000030').state) == 'submitted'
    assert one(ra='150.000030').message.startswith('Not on the status page')
    rows = [row(HERE), row(other, **ENDED, exitcode='63')]
    found = ZTF.progress(job(THERE), [part(0, THERE)], page(*rows), Answer()).parts[0]
    assert str(found.state) == 'no_data'


@pytest.mark.parametrize('cells', [{'startJD': '2461300.502'}, {'endJD': '2461340.7'}, {'dec': '20.00002'}, {'ra': 'x'}])
def test_other_questions_are_not_ours(cells: dict[str, str]) -> None:
    found = one(**ENDED, exitcode='63', **cells)
    assert str(found.state) == 'submitted'
    assert 'refreshed every hour' in found.message


def test_of_several_rows_the_newest_counts() -> None:
    rows = [row(**ENDED, exitcode='64'), row(reqid='15300'), row(reqid='15299', **ENDED, exitcode='63')]
    for order in (rows, rows[::-1]):
        answer = ZTF.progress(job(), [part()], page(*order), Answer())
        assert (str(answer.parts[0].state), answer.parts[0].remote) == ('submitted', {'reqid': 15300})


BATCH = ['reqid', 'ra', 'dec', 'created', 'exitcode', 'lightcurve']


def batch_row(position: Position = HERE, **more: Any) -> list[str]:
    return [cell for name, cell in zip(NAMES, row(position, **more), strict=True) if name in BATCH]


@pytest.mark.parametrize('names', [BATCH, ['ra', 'dec', 'exitcode', 'lightcurve']])
def test_a_page_of_batches_that_names_no_dates_is_read_by_position_and_time(names: list[str]) -> None:
    cells = [dict(zip(BATCH, batch_row(each, exitcode='0', lightcurve=PATH), strict=True)) for each in (HERE, THERE)]
    listed = page(*[[each[name] for name in names] for each in cells], names=names)
    found = ZTF.progress(job(HERE, THERE), [part(0, HERE), part(1, THERE)], listed, Answer()).parts
    assert [str(found[index].state) for index in (0, 1)] == ['result', 'result']
    assert found[0].remote['lightcurve'] == PATH


def test_without_dates_what_was_made_before_is_not_ours_and_of_several_the_newest_counts() -> None:
    old = batch_row(reqid='15000', created='2026-11-20 12:00:00', exitcode='63')
    ours = [batch_row(reqid='15300', exitcode='0', lightcurve=PATH), batch_row(reqid='15299', exitcode='63')]
    assert str(ZTF.progress(job(), [part()], page(old, names=BATCH), Answer()).parts[0].state) == 'submitted'
    for rows in ([old, *ours], [*ours[::-1], old]):
        found = ZTF.progress(job(), [part()], page(*rows, names=BATCH), Answer()).parts[0]
        assert (str(found.state), found.remote['reqid']) == ('result', 15300)


def test_a_table_of_positions_only_is_no_list_of_requests() -> None:
    with pytest.raises(UnexpectedReply):
        ZTF.progress(job(), [part()], page(['150.0', '20.0'], names=['ra', 'dec']), Answer())


@pytest.mark.parametrize(
    ('created', 'ours'),
    [
        ('2026-11-21 08:00:00', True),
        # the page does not say in which zone: this may be 07:55 in UTC, or in Pasadena
        ('2026-11-20 23:55:00', True),
        ('2026-11-20 20:55:00', False),
        ('2026-11-20', True),
        ('2026-11-21T07:55:00Z', True),
        ('2026-11-21 04:55:00+00', False),
        ('2026-11-20 23:55:00.123-08', True),
        ('2026-11-20 20:55:00-0800', False),
        ('2026-99-20 23:45:00', True),
    ],
)
def test_what_was_certainly_there_before_is_not_ours(created: str, ours: bool) -> None:
    found = one(created=created, **ENDED, exitcode='63')
    assert str(found.state) == ('no_data' if ours else 'submitted')
    listed = ZTF.found(job(), page(row(created=created)), Answer())
    assert bool(listed.parts) is ours


def test_a_page_without_records_means_not_yet() -> None:
    nothing = Reply(200, zfps_pages.page(zfps_pages.NOTHING).encode())
    assert str(ZTF.progress(job(), [part()], nothing, Answer()).parts[0].state) == 'submitted'
    assert ZTF.found(job(), nothing, Answer()).parts == {}
    assert str(ZTF.progress(job(), [part()], page(), Answer()).parts[0].state) == 'submitted'


@pytest.mark.parametrize(
    ('reply', 'error'),
    [
        (Reply(503, zfps_pages.BUSY.encode()), Temporary),
        (Reply(404, zfps_pages.BUSY.encode()), Temporary),
        (text('oh', 500), Temporary),
        (text('401 Unauthorized', 401), Credentials),
        (text('Error: invalid email or userpass'), Credentials),
        (text('Error: no such option'), Refused),
        (text('Down for maintenance'), UnexpectedReply),
        (text('Welcome'), UnexpectedReply),
        (Reply(200, b''), UnexpectedReply),
        (Reply(200, b'{"url": "http'), UnexpectedReply),
    ],
)
def test_what_is_no_status_page(reply: Reply, error: type[Exception]) -> None:
    for ask in (ZTF.found, lambda job, reply, answer: ZTF.progress(job, [part()], reply, answer)):
        with pytest.raises(error) as caught:
            ask(job(), reply, Answer())
        assert type(caught.value) is error


# --- after a lost reply ----------------------------------------------------------------------------------------------------------


def test_a_lost_request_is_found_by_position_and_dates() -> None:
    answer = ZTF.found(job(), page(row(THERE), row()), Answer())
    assert {index: str(each.state) for index, each in answer.parts.items()} == {0: 'submitted'}
    assert ZTF.settle_time == 7200


def test_a_batch_of_which_most_is_there_is_there() -> None:
    three = job(HERE, THERE, Position('c', 10.0, 5.0))
    assert set(ZTF.found(three, page(row()), Answer()).parts) == {0}
    answer = ZTF.found(three, page(row(), row(THERE)), Answer())
    assert set(answer.parts) == {0, 1, 2}
    assert answer.more is None


# --- the result ------------------------------------------------------------------------------------------------------------------


def test_the_result_is_a_path_of_the_configured_origin_only() -> None:
    (request,) = ZTF.results(job(), part(lightcurve=PATH))
    assert (request.method, request.changes, request.signed) == ('GET', False, False)
    assert http.address_of(request.path, ZTF.url) == f'https://ztfweb.ipac.caltech.edu{PATH}'
    for foreign in ('http://evil.example/ztf/lc.txt', '//evil.example/ztf/lc.txt', 'https://ztfweb.ipac.caltech.edu:8443/lc.txt'):
        (request,) = ZTF.results(job(), part(lightcurve=foreign))
        with pytest.raises(UnexpectedReply, match='not at https://ztfweb'):
            http.address_of(request.path, ZTF.url)


REAL = 'ztf/forcedphotometry_req00381106_lc.txt'
ASKED = Part(0, Position('X', 332.955, 38.7004167), {'mjd_min': 58194.0, 'mjd_max': 60508.0})


def test_a_real_file_belongs_to_its_own_question_only() -> None:
    content = sample(REAL)
    assert ZTF.belongs(content, ASKED) == ''
    assert len(ZTF.read(content)) > 100
    far = replace(ASKED, position=Position('Y', 332.955, 38.7024))
    assert ZTF.belongs(content, far) == 'ZTF sent the light curve of another position, 332.95500 38.70042: 7 arcsec away.'
    later = replace(ASKED, parameters={'mjd_min': 58194.0, 'mjd_max': 60509.0})
    assert ZTF.belongs(content, later) == 'ZTF sent a light curve of other dates: JD 2460508.5000 instead of 2460509.5000.'


def test_a_page_in_the_place_of_a_file_is_told_by_the_reader() -> None:
    content = zfps_pages.error('Down').encode()
    assert ZTF.belongs(content, ASKED) == ''
    with pytest.raises(BadFile):
        ZTF.read(content)


def test_there_is_nothing_to_clean_up_or_to_stop() -> None:
    assert ZTF.clean_up(job(), part(reqid=1)) is None
    assert ZTF.cancel(job(), part(reqid=1)) is None


@given(st.text() | st.text(alphabet='<>/tabledhr radec012 ="', max_size=200))
def test_no_page_is_too_strange(html: str) -> None:
    found = pages.rows(html)
    assert found is None or isinstance(found, list)


@given(st.floats(0, 360, exclude_max=True), st.floats(-31, 90), st.timedeltas(timedelta(0), timedelta(days=3000)))
def test_what_was_asked_is_found_again_as_the_page_prints_it(ra: float, dec: float, back: timedelta) -> None:
    position = Position('X', ra, dec)
    asked = ZTF.fixed(ZTF.parameters({'max_date': mjd_of(NOW - back)}, NOW), NOW)
    sent = dict(ZTF.submit(Job('m', (position,), asked)).query)
    cells = {'ra': f'{float(sent["ra"]):.6f}', 'dec': f'{float(sent["dec"]):.6f}'}
    dates = {'startJD': f'{float(sent["jdstart"]):.6f}', 'endJD': f'{float(sent["jdend"]):.6f}'}
    answer = ZTF.found(Job('m', (position,), asked), page(row(**cells, **dates)), Answer())
    assert set(answer.parts) == {0}
