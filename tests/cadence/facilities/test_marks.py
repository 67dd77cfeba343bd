"""The mark of a request at a portal: no word of a name is cut, a name can stay clean, and a lost reply is found all the same."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cadence.facilities.test_portals import RESUME, begin, now, portal, settle, turn, window_of  # noqa: F401 (fixtures)
from tests.support.cadences import records
from tom_cadence.core.windows import Window
from tom_cadence.engine.health import audit
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.facilities import marks, ocs
from tom_cadence.models import Submission

TOKEN, OTHER = '~abcdefg2', '~zzzzzzz7'
NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
WINDOW = Window(start=NOON + HOUR, end=NOON + 5 * HOUR)


def payload(name: str, **request: Any) -> dict[str, Any]:
    """A request group of one request."""
    return {'name': name, 'requests': [{'windows': [{'start': '2026-11-21T13:00:00', 'end': '2026-11-21T17:00:00'}], **request}]}


@given(name=st.text(st.characters(codec='ascii', exclude_categories=['C']), max_size=60), clean=st.booleans())
def test_no_word_is_cut_and_every_mark_stands_somewhere(name: str, clean: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks.conf, 'get', lambda key: clean)
        asked = payload(name)
        marked = marks.mark(asked, TOKEN)
    assert asked == payload(name), 'the payload itself stays as it was'
    assert marked['name'].startswith(name.strip()) or marked['name'] == name
    assert (TOKEN in marked['name']) != (TOKEN in marked['requests'][0].get(marks.NOTE, ''))
    assert TOKEN not in marked['name'] or len(marked['name']) <= marks.NAME_LENGTH
    if clean:
        assert marked['name'] == name


def test_the_note_of_the_astronomer_stays_whole() -> None:
    name = 'x' * 45
    assert (
        marks.mark(payload(name, observation_note='Mind the moon.'), TOKEN)['requests'][0][marks.NOTE] == f'Mind the moon. {TOKEN}'
    )
    long = 'y' * 250
    assert marks.mark(payload(name, observation_note=long), TOKEN)['requests'][0][marks.NOTE] == long
    assert marks.mark({}, TOKEN) == {'name': TOKEN}


def listed(number: int, name: str, note: str = '', created: datetime = NOON, start: str = '2026-11-21T13:00:00Z') -> dict[str, Any]:
    """A request group as the portal lists it."""
    window = {'start': start, 'end': '2026-11-21T17:00:00Z'}
    return {
        'id': number,
        'name': name,
        'created': created.isoformat(),
        'requests': [{'id': 10 * number, 'observation_note': note, 'windows': [window]}],
    }


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    """A portal's list: its groups, how far its clock is ahead, and the questions it got."""
    settings.TOM_CADENCE = {'CLEAN_NAMES': True}
    found = SimpleNamespace(groups=[], ahead=timedelta(0), asked=[])

    def ask(facility: Any, query: dict[str, str], number: int) -> Any:
        found.asked.append(query)
        groups = [group for group in found.groups if query['name'].lower() in group['name'].lower()]
        return SimpleNamespace(json=lambda: {'results': groups, 'next': None})

    monkeypatch.setattr(ocs, 'ask_groups', ask)
    monkeypatch.setattr(ocs, 'ahead', lambda response: found.ahead)
    return found


def look(**more: Any) -> list[str]:
    """Ask for the request."""
    return marks.find(None, marks.Sought(**{'token': TOKEN, 'created': NOON, 'name': 'SN x', 'window': WINDOW, **more}))


def test_a_clean_name_is_found_by_the_note_in_one_question(there: Any) -> None:
    there.groups = [listed(1, 'SN x', f'Mine. {OTHER}'), listed(2, 'SN x', TOKEN), listed(3, 'SN x y', ''), listed(4, 'SN x', '')]
    assert look() == ['20']
    assert len(there.asked) == 1


def test_a_portal_that_keeps_no_notes_is_asked_for_name_window_and_time(there: Any) -> None:
    fits = listed(1, 'SN x', created=NOON + HOUR)
    others = [
        listed(2, 'SN x r', created=NOON + HOUR),
        listed(3, 'SN x', created=NOON - HOUR),
        listed(4, 'SN x', created=NOON + HOUR, start='2026-11-20T13:00:00Z'),
        listed(5, 'SN x', OTHER, created=NOON + HOUR),
        listed(6, f'SN x {OTHER}', created=NOON + HOUR),
    ]
    there.groups = [*others, fits]
    assert look() == ['10']
    there.groups = others
    assert look() == []
    there.groups = [fits, listed(7, 'SN x', created=NOON + HOUR)]
    with pytest.raises(NeedsAttention, match='Several request groups'):
        look()


def test_the_portal_s_own_clock_is_taken_into_account(there: Any) -> None:
    there.groups = [listed(1, 'SN x', created=NOON + HOUR)]
    there.ahead = 2 * HOUR
    assert look() == [], 'it was made an hour before, by a clock that is two hours ahead'
    there.groups = [listed(1, 'SN x', created=NOON - 2 * HOUR)]
    there.ahead = -2 * HOUR
    assert look() == ['10']


@pytest.mark.parametrize('clean', [True, False])
def test_a_setting_that_changed_meanwhile_hides_no_request_whose_reply_was_lost(there: Any, settings: Any, clean: bool) -> None:
    settings.TOM_CADENCE = {'CLEAN_NAMES': clean}
    there.groups = [listed(1, f'SN x {TOKEN}')]
    assert look(thorough=True) == ['10']
    there.groups = [listed(1, 'SN x', TOKEN)]
    assert look(thorough=True) == ['10']
    there.groups = [listed(1, f'SN whose name was cu {TOKEN}')]
    assert look(thorough=True, name='SN whose name was cut by the release before this one') == ['10']


def test_without_a_lost_reply_a_marked_name_costs_one_question(there: Any, settings: Any) -> None:
    settings.TOM_CADENCE = {}
    assert look() == []
    assert there.asked == [{'name': TOKEN}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(('name', 'clean'), [('SN 2011fe, r, deep', True), ('A long name of the astronomer, all of it his', False)])
def test_a_lost_reply_is_found_and_the_name_is_the_astronomer_s_own(
    client: Any,
    settings: Any,
    portal: Any,  # noqa: F811
    astronomer: Any,
    target: Any,
    now: datetime,  # noqa: F811
    name: str,
    clean: bool,
) -> None:
    settings.TOM_CADENCE = {'CLEAN_NAMES': clean}
    cadence = begin(client, settings, portal, astronomer, target, ('LCO', 'IMAGING', RESUME), now, name=name)
    for fault in ('', 'reset-after'):
        last = settle(portal, cadence, 'COMPLETED')
        when = window_of(last).end + timedelta(minutes=7)
        if fault:
            portal.fault('submit', fault)
        turn(portal, when)
        turn(portal, when + timedelta(minutes=5))
    assert {each.name for each in portal.submissions} == {name}
    assert len(portal.submissions) == len(records(cadence)) == 3
    assert set(Submission.objects.values_list('state', flat=True)) == {'accepted'}
    found = audit(now=when + timedelta(minutes=6))
    assert (found.without_record, found.without_mark, found.by_hand) == ([], [], [])
