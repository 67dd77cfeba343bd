"""What ATLAS is told, and what its replies mean."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.support.published import sample
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import Credentials, Refused, Throttled, Uncertain, UnexpectedReply
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService, AtlasForm
from tom_forced_phot.services.protocol import Answer, Job, Part, Position, Progress, Reply, Split

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
HERE = Position('SN 1', 150.0, -20.0)
THERE = Position('SN 2', 359.99999, 45.0)
MOVING = Position('Ceres', moving=True, mpc_name='(1)')
DATES = {'reduction': 'difference', 'mjd_min': 61300.0, 'mjd_max': 61340.0}
ATLAS = AtlasForcedPhotometryService({'api_key': 'secret-token'})


def job(*positions: Position, **more: Any) -> Job:
    return Job('tf-1', positions or (HERE,), DATES, last_sent=more.pop('last_sent', NOW), **more)


def task(number: int = 7, position: Position = HERE, **more: Any) -> dict[str, Any]:
    known = {'id': number, 'ra': position.ra, 'dec': position.dec, 'mpc_name': position.mpc_name or None, 'comment': 'tf-1'}
    states = {'starttimestamp': None, 'finishtimestamp': None, 'error_msg': None, 'result_url': None, 'queuepos': None}
    return {**known, **states, 'timestamp': NOW.isoformat(), **more}


def said(body: Any, status: int = 200) -> Reply:
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode())


def page(*tasks: dict[str, Any], following: str | None = None) -> Reply:
    return said({'next': following, 'previous': None, 'results': list(tasks)})


def part(index: int = 0, position: Position = HERE, **remote: Any) -> Part:
    return Part(index, position, DATES, remote or {'id': 7 + index})


def states(answer: Answer) -> dict[int, str]:
    return {index: str(progress.state) for index, progress in answer.parts.items()}


# --- asking ----------------------------------------------------------------------------------------------------------------------


def test_one_position_is_a_form_with_our_mark_and_both_dates() -> None:
    request = ATLAS.submit(job())
    assert (request.method, request.path, request.changes) == ('POST', 'queue/', True)
    assert dict(request.form) == {
        'send_email': 'False',
        'comment': 'tf-1',
        'use_reduced': 'False',
        'mjd_min': '61300.00000',
        'mjd_max': '61340.00000',
        'ra': '150.0000000',
        'dec': '-20.0000000',
    }


def test_several_positions_are_a_list() -> None:
    form = dict(ATLAS.submit(job(HERE, THERE)).form)
    assert form['radeclist'] == '150.0000000,-20.0000000\n359.9999900,45.0000000'
    assert 'ra' not in form


def test_a_list_may_hold_designations() -> None:
    form = dict(ATLAS.submit(job(HERE, MOVING)).form)
    assert form['radeclist'] == '150.0000000,-20.0000000\nmpc (1)'
    assert ATLAS.together(HERE, DATES) == ATLAS.together(MOVING, DATES)


def test_dates_that_were_not_given_are_not_sent() -> None:
    form = dict(ATLAS.submit(Job('tf-1', (HERE,), {'reduction': 'reduced'})).form)
    assert form['use_reduced'] == 'True'
    assert not {'mjd_min', 'mjd_max'} & set(form)


@pytest.mark.parametrize(
    ('position', 'fields'),
    [
        (MOVING, {'mpc_name': '(1)'}),
        (
            Position('near', 150.0, -20.0, pm_ra=-500.25, pm_dec=1000.0, epoch=2016.0),
            {'propermotion_ra': '-500.25', 'propermotion_dec': '1000', 'radec_epoch_year': '2016.0'},
        ),
        (
            Position('slow', 150.0, -20.0, pm_dec=3.0),
            {'propermotion_ra': '0', 'propermotion_dec': '3', 'radec_epoch_year': '2000.0'},
        ),
    ],
)
def test_what_moves_is_said_so_and_goes_alone(position: Position, fields: dict[str, str]) -> None:
    form = dict(ATLAS.submit(job(position)).form)
    assert {name: form[name] for name in fields} == fields
    assert ('ra' in form) is not position.moving
    assert (ATLAS.together(position, DATES) is None) is position.proper_motion


def test_equal_questions_go_together() -> None:
    assert ATLAS.together(HERE, DATES) == ATLAS.together(THERE, dict(DATES))
    assert ATLAS.together(HERE, DATES) != ATLAS.together(HERE, {**DATES, 'reduction': 'reduced'})
    assert ATLAS.batch_size == 100


def test_what_was_asked_is_kept_as_plain_values() -> None:
    assert ATLAS.parameters({'min_date': 61300.123456789}, NOW) == {'reduction': 'difference', 'mjd_min': 61300.12346}
    assert ATLAS.parameters({'use_reduced': True}, NOW) == {'reduction': 'reduced'}


@pytest.mark.parametrize(
    ('position', 'parameters', 'text'),
    [
        (HERE, DATES, ''),
        (MOVING, DATES, ''),
        (Position('X', moving=True), DATES, 'Minor Planet Center'),
        (Position('X'), DATES, 'X has no coordinates.'),
        (HERE, {'mjd_min': 3.0, 'mjd_max': 2.0}, 'later than the beginning'),
        (HERE, {'mjd_max': 50000.0}, 'has measured since MJD 57200'),
        (HERE, {'mjd_min': 70000.0}, 'in the future'),
    ],
)
def test_what_cannot_be_asked_is_said_before(position: Position, parameters: dict[str, Any], text: str) -> None:
    found = ATLAS.objection(position, parameters, NOW)
    assert text in found
    assert bool(found) is bool(text)


def test_the_form_knows_both_notations() -> None:
    form = AtlasForm({'service': 'ATLAS', 'target_id': '1', 'min_date': '2026-11-01', 'max_date': '61360'})
    assert form.is_valid()
    assert (form.cleaned_data['min_date'], form.cleaned_data['max_date']) == (61345.0, 61360.0)


def test_the_token_is_a_header_and_a_placeholder_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', raising=False)
    assert ATLAS.secrets().headers == {'Authorization': 'Token secret-token'}
    assert 'secret-token' not in repr(ATLAS.secrets())
    without = AtlasForcedPhotometryService({'api_key': 'your atlas account api token'})
    assert (without.secrets().headers, without.missing_credentials()) == ({}, ['api_key'])
    monkeypatch.setenv('ATLAS_FORCED_PHOTOMETRY_API_KEY', 'other')
    assert without.secrets().headers == {'Authorization': 'Token other'}


# --- being accepted, or not ------------------------------------------------------------------------------------------------------


def test_one_task() -> None:
    answer = ATLAS.submitted(job(), said(task(queuepos=2), 201))
    assert states(answer) == {0: 'submitted'}
    assert answer.parts[0].remote == {'id': 7, 'place': 2}


def test_a_list_of_tasks_keeps_the_order_of_the_positions() -> None:
    answer = ATLAS.submitted(job(HERE, THERE), said([task(7), task(8, THERE, ra=0.00001)], 201))
    assert {index: each.remote['id'] for index, each in answer.parts.items()} == {0: 7, 1: 8}


def test_the_recorded_reply_is_understood() -> None:
    reply = Reply(201, sample('replies/atlas_post_queue_201_skyportal_2022.json'))
    answer = ATLAS.submitted(job(Position('X', 0.0, 0.0)), reply)
    assert answer.parts[0] == Progress(QueryState.SUBMITTED, 'Waiting in the queue of ATLAS.', {'id': 152047})


@pytest.mark.parametrize(
    ('body', 'text'),
    [
        ({'non_field_errors': ['Either an mpc_name or (ra, dec) must be specified.']}, 'Either an mpc_name or (ra, dec) must be'),
        ({'dec': ['ra was set but dec is missing.']}, 'dec: ra was set but dec is missing.'),
        ({'ra': {'ra': 'ra must be a finite floating-point number.'}}, 'ra: ra must be a finite floating-point number.'),
        ({'mjd_max': ['mjd_max must be greater than mjd_min (5.0 was applied).']}, 'greater than mjd_min (5.0 was applied).'),
        ({'non_field_errors': 'a plain text'}, 'a plain text.'),
        (b'<html><body><h1>Bad Request</h1></body></html>', 'Bad Request'),
        (b'', 'no explanation.'),
    ],
)
def test_every_shape_of_a_refusal_is_one_sentence(body: Any, text: str) -> None:
    with pytest.raises(Refused) as caught:
        ATLAS.submitted(job(), said(body, 400))
    assert str(caught.value).startswith('ATLAS refused it (400): ')
    assert text in str(caught.value)
    assert '\n' not in str(caught.value)
    assert '{' not in str(caught.value)


@pytest.mark.parametrize('positions', [(HERE,), (HERE, THERE)])
def test_a_full_queue_is_waited_for(positions: tuple[Position, ...]) -> None:
    with pytest.raises(Throttled, match='too many queued tasks') as caught:
        ATLAS.submitted(job(*positions), said({'non_field_errors': 'ERROR: You have too many queued tasks (500).'}, 400))
    assert caught.value.seconds == 300


def test_of_a_list_only_the_wrong_positions_are_refused() -> None:
    with pytest.raises(Split) as caught:
        ATLAS.submitted(job(HERE, THERE), said([{}, {'dec': {'dec': 'dec must be finite'}}], 400))
    assert caught.value.refused == {1: 'dec: dec must be finite.'}


@pytest.mark.parametrize(
    'body', [{'radeclist': 'Could not read two coordinates.'}, {'radeclist': 'Error on line 9'}, [{}], [{}, {}], b'<html>no</html>']
)
def test_where_nobody_says_which_position_is_wrong_none_is_blamed(body: Any) -> None:
    with pytest.raises(Split) as caught:
        ATLAS.submitted(job(HERE, THERE), said(body, 400))
    assert caught.value.refused == {}
    assert str(caught.value).startswith('ATLAS refused it (400): ')


@pytest.mark.parametrize(
    'body',
    [
        {'radeclist': 'Error on line 2: Could not read two coordinates.'},
        {'radeclist': ['Error on line 2: Could not read two coordinates.']},
        {'non_field_errors': ['Error on line 2: Could not read two coordinates.']},
        ['Error on line 2: Could not read two coordinates.'],
        b'<html><p>Error on Line 2:\nCould not read two coordinates.</p>',
    ],
)
def test_a_line_that_is_named_is_refused_and_no_other(body: Any) -> None:
    with pytest.raises(Split) as found:
        ATLAS.submitted(job(HERE, THERE), said(body, 400))
    assert list(found.value.refused) == [1]
    assert 'Could not read two coordinates' in found.value.refused[1]


def test_several_lines_that_are_named_are_each_refused_with_their_own_words() -> None:
    text = 'Error on line 1: no declination. Error on line 3: RA 400 is too large.'
    with pytest.raises(Split) as found:
        ATLAS.submitted(job(HERE, THERE, HERE), said({'radeclist': text}, 400))
    assert set(found.value.refused) == {0, 2}
    assert ('no declination' in found.value.refused[0], 'RA 400' in found.value.refused[2]) == (True, True)


def test_the_poles_are_not_asked_about() -> None:
    assert 'pole' in ATLAS.objection(Position('Polar', 10.0, 90.0), DATES, NOW)
    assert 'pole' in ATLAS.objection(Position('Octans', 10.0, -90.0), DATES, NOW)
    assert ATLAS.objection(Position('Near', 10.0, 89.99), DATES, NOW) == ''


@pytest.mark.parametrize('speed', [float('nan'), float('inf'), 1e6])
def test_a_motion_that_no_star_has_is_refused_in_words(speed: float) -> None:
    assert 'no sensible proper motion' in ATLAS.objection(Position('X', 10.0, 10.0, pm_ra=speed), DATES, NOW)
    assert 'no sensible epoch' in ATLAS.objection(Position('X', 10.0, 10.0, epoch=speed), DATES, NOW)


def test_what_is_wrong_with_all_positions_is_wrong_with_each() -> None:
    with pytest.raises(Refused, match='mjd_max'):
        ATLAS.submitted(job(HERE, THERE), said({'mjd_max': ['mjd_max must be a positive MJD.']}, 400))


@pytest.mark.parametrize(
    ('reply', 'error', 'text'),
    [
        (said({'detail': 'Invalid token.'}, 401), Credentials, 'Invalid token.'),
        (said({'detail': 'Request was throttled. Expected available in 1 second.'}, 429), Throttled, 'in 1 s'),
        (said({'detail': 'oh'}, 500), Uncertain, 'oh'),
        (said(b'<html>Down</html>'), UnexpectedReply, 'no JSON'),
        (said(b'{"url": "http'), UnexpectedReply, 'no JSON'),
        (said(b''), UnexpectedReply, 'an empty body'),
        (said([task(), task(8)], 201), UnexpectedReply, '2 tasks of 1'),
        (said({'detail': 'fine'}, 201), UnexpectedReply, 'without a number'),
        (said('fine', 201), UnexpectedReply, 'without a number'),
        (said(task(7, THERE), 201), UnexpectedReply, 'another position'),
        (said(task(7, ra='x'), 201), UnexpectedReply, 'another position'),
        (said({'id': 7, 'ra': 150, 'dec': -20}, 201), UnexpectedReply, 'no task'),
    ],
)
def test_other_replies_to_a_submission(reply: Reply, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ATLAS.submitted(job(), reply)


# --- after a lost reply ----------------------------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_mark_over_pages() -> None:
    wanted = job(HERE, THERE)
    request = ATLAS.look_up(wanted)
    assert (request.method, request.path, dict(request.query)) == ('GET', 'queue/', {'pagesize': '100'})
    first = ATLAS.found(wanted, page(task(9, comment='other'), task(8, THERE), following='http://x/queue/?cursor=2'), Answer())
    assert states(first) == {1: 'submitted'}
    assert first.more is not None
    assert first.more.path == 'http://x/queue/?cursor=2'
    second = ATLAS.found(wanted, page(task(7), following='http://x/queue/?cursor=3'), first)
    assert {index: each.remote['id'] for index, each in second.parts.items()} == {0: 7, 1: 8}
    assert second.more is None


def test_two_targets_at_one_position_are_two_tasks() -> None:
    answer = ATLAS.found(job(HERE, HERE), page(task(8), task(7)), Answer())
    assert {each.remote['id'] for each in answer.parts.values()} == {7, 8}


def test_a_moving_target_is_found_by_its_name() -> None:
    assert states(ATLAS.found(job(MOVING), page(task(7, MOVING)), Answer())) == {0: 'submitted'}
    assert states(ATLAS.found(job(MOVING), page(task(7, Position('Eros', moving=True, mpc_name='Eros'))), Answer())) == {}


@pytest.mark.parametrize(
    ('made', 'more'), [(NOW - timedelta(days=3), False), (NOW - timedelta(hours=26), True), ('yesterday', True)]
)
def test_pages_of_older_tasks_are_not_read(made: Any, more: bool) -> None:
    text = made if isinstance(made, str) else made.isoformat()
    answer = ATLAS.found(job(), page(task(comment='x', timestamp=text), following='http://x/2'), Answer())
    assert answer.parts == {}
    assert (answer.more is not None) is more


def test_times_without_a_zone_are_utc() -> None:
    old = task(comment='x', timestamp='2026-11-19T07:59:00')
    assert ATLAS.found(job(), page(old, following='http://x/2'), Answer()).more is None


@pytest.mark.parametrize('body', [{'detail': 'x'}, [], {'results': None}])
def test_a_list_that_is_none(body: Any) -> None:
    with pytest.raises(UnexpectedReply, match='no list of tasks'):
        ATLAS.found(job(), said(body), Answer())


# --- how it is -------------------------------------------------------------------------------------------------------------------

DONE = {'finishtimestamp': '2026-11-21T09:00:00+00:00', 'starttimestamp': '2026-11-21T08:59:00+00:00'}


@pytest.mark.parametrize(
    ('fields', 'state', 'text'),
    [
        ({}, 'submitted', 'Waiting in the queue of ATLAS.'),
        ({'queuepos': 0}, 'submitted', 'Number 1 in the queue of ATLAS.'),
        ({'queuepos': 41}, 'submitted', 'Number 42 in the queue of ATLAS.'),
        ({'starttimestamp': '2026-11-21T08:59:00+00:00'}, 'running', 'ATLAS is measuring.'),
        ({**DONE, 'result_url': 'http://x/job7.txt'}, 'result', ''),
        ({**DONE, 'error_msg': 'No data returned'}, 'no_data', 'no image of this position'),
        ({**DONE, 'error_msg': 'Could not parse the result file'}, 'failed', 'ATLAS says: Could not parse the result file'),
    ],
)
def test_how_a_task_is(fields: dict[str, Any], state: str, text: str) -> None:
    request = ATLAS.status(job(), [part()])
    assert (request.method, request.path) == ('GET', 'queue/7/')
    progress = ATLAS.progress(job(), [part()], said(task(**fields)), Answer()).parts[0]
    assert str(progress.state) == state
    assert text in progress.message
    assert progress.remote['id'] == 7


def test_far_back_in_the_queue_is_looked_at_later() -> None:
    near, far = (ATLAS.progress(job(), [part()], said(task(queuepos=place)), Answer()).parts[0] for place in (0, 100))
    assert (near.look_again, far.look_again) == (10.0, 510.0)


@pytest.mark.parametrize('body', [b'Page not found', b'{"detail": "No Task matches the given query."}'])
def test_a_task_that_is_gone_is_gone(body: bytes) -> None:
    progress = ATLAS.progress(job(), [part()], said(body, 404), Answer()).parts[0]
    assert str(progress.state) == 'expired'
    assert 'Ask again' in progress.message


def test_several_tasks_are_looked_up_in_the_list_and_those_that_are_not_in_it_are_gone() -> None:
    parts = [part(0), part(1, THERE), part(2, HERE)]
    request = ATLAS.status(job(), parts)
    assert (request.path, dict(request.query)) == ('queue/', {'pagesize': '100'})
    first = ATLAS.progress(job(), parts, page(task(7), task(99), following='http://x/2'), Answer())
    assert states(first) == {0: 'submitted'}
    assert first.more is not None
    last = ATLAS.progress(job(), parts, page(task(8, THERE, **DONE, result_url='http://x/8')), first)
    assert states(last) == {0: 'submitted', 1: 'result', 2: 'expired'}
    assert last.more is None


def test_when_all_were_seen_no_other_page_is_read() -> None:
    parts = [part(0), part(1, THERE)]
    answer = ATLAS.progress(job(), parts, page(task(7), task(8, THERE), following='http://x/2'), Answer())
    assert answer.more is None


@pytest.mark.parametrize('body', [b'<html>', b'"x"', b'{"id": 7}'])
def test_a_status_that_is_none(body: bytes) -> None:
    with pytest.raises(UnexpectedReply):
        ATLAS.progress(job(), [part()], said(body), Answer())


# --- the result, and after it ----------------------------------------------------------------------------------------------------


def test_the_result_is_fetched_where_the_task_says() -> None:
    (request,) = ATLAS.results(job(), part(id=7, result_url='http://x/job7.txt'))
    assert (request.method, request.path, request.changes) == ('GET', 'http://x/job7.txt', False)
    assert ATLAS.pack(job(), part(), [Reply(200, b'as it came\r\n')]) == b'as it came\r\n'


def test_a_real_file_is_read() -> None:
    assert len(ATLAS.read(sample('atlas/job211831_ASASSN-21qj.txt'))) > 900


def test_a_finished_task_is_deleted_unless_switched_off_and_a_running_one_is_stopped() -> None:
    request = ATLAS.clean_up(job(), part())
    assert request is not None
    assert (request.method, request.path) == ('DELETE', 'queue/7/')
    assert AtlasForcedPhotometryService({'delete_finished': False}).clean_up(job(), part()) is None
    stopped = AtlasForcedPhotometryService({'delete_finished': False}).cancel(job(), part())
    assert stopped is not None
    assert (stopped.method, stopped.path) == ('DELETE', 'queue/7/')
