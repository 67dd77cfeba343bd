"""Each form of the toolkit's portals: what is sent in the fifth night is what was sent in the first, but for window and mark."""

from __future__ import annotations

import copy
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup

from simulators.portal import Portal
from simulators.portal_requests import INSTRUMENTS
from tests.cadence.facilities.test_portals import RESUME, begin, now, portal, portal_window, settle, turn, window_of  # noqa: F401
from tests.cadence.flows.test_ask_instead import confirm, preview
from tests.support.cadences import records
from tests.support.webform import IMAGER, SPECTROGRAPH, forget
from tom_cadence.models import ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)
NIGHTS = 5
MUSCAT = '2M0-SCICAM-MUSCAT'
LINE = {'dither_pattern': 'line', 'dither_num_points': '3', 'dither_point_spacing': '10'}
GRID = {
    'dither_pattern': 'grid',
    'dither_num_rows': '2',
    'dither_num_columns': '2',
    'dither_point_spacing': '10',
    'dither_line_spacing': '8',
}
MOSAIC = {'mosaic_pattern': 'line', 'mosaic_num_points': '2', 'mosaic_point_overlap': '10'}
TWO_PARTS = {
    'c_1_ic_2_exposure_time': '45',
    'c_1_ic_2_exposure_count': '1',
    'c_1_ic_2_filter': 'gp',
    'c_1_ic_2_readout_mode': 'full_frame',
}
SECOND = {
    'c_2_instrument_type': IMAGER,
    'c_2_configuration_type': 'EXPOSE',
    'c_2_ic_1_readout_mode': 'full_frame',
    'c_2_ic_1_exposure_time': '60',
    'c_2_ic_1_exposure_count': '1',
    'c_2_ic_1_filter': 'gp',
}
ARC = {
    'c_2_instrument_type': SPECTROGRAPH,
    'c_2_configuration_type': 'ARC',
    'c_2_acquisition_mode': 'WCS',
    'c_2_ic_1_exposure_time': '60',
    'c_2_ic_1_rotator_mode': 'VFLOAT',
    'c_2_ic_1_slit': 'slit_1.6as',
}
CHANNELS = {
    'c_1_instrument_type': MUSCAT,
    'c_1_configuration_type': 'EXPOSE',
    'c_1_ic_1_exposure_count': '2',
    'c_1_ic_1_readout_mode': 'MUSCAT_FAST',
    'c_1_ic_1_exposure_mode': 'SYNCHRONOUS',
    **{f'c_1_ic_1_exposure_time_{channel}': str(seconds) for channel, seconds in zip('griz', (10, 20, 30, 40), strict=True)},
}
#: facility, observation type, what is filled in besides, exposure seconds in all (None: as the form alone says)
FORMS: dict[str, tuple[str, str, dict[str, str], float | None]] = {
    'LCO imaging': ('LCO', 'IMAGING', {}, 60),
    'LCO imaging, dithered in a line': ('LCO', 'IMAGING', LINE, 180),
    'LCO imaging, dithered in a grid': ('LCO', 'IMAGING', GRID, 240),
    'LCO imaging, mosaic': ('LCO', 'IMAGING', MOSAIC, 120),
    'LCO imaging, two configurations of which one has two parts': ('LCO', 'IMAGING', {**TWO_PARTS, **SECOND}, 165),
    'LCO MuSCAT': ('LCO', 'MUSCAT_IMAGING', CHANNELS, 80),
    'LCO spectra': ('LCO', 'SPECTRA', {}, 900),
    'LCO spectra with an arc': ('LCO', 'SPECTRA', ARC, 960),
    'LCO photometric sequence': ('LCO', 'PHOTOMETRIC_SEQUENCE', {}, None),
    'LCO spectroscopic sequence': ('LCO', 'SPECTROSCOPIC_SEQUENCE', {}, None),
    'OCS': ('OCS', 'ALL', {}, 60),
    'OCS, dithered': ('OCS', 'ALL', LINE, 180),
    'OCS, mosaic': ('OCS', 'ALL', MOSAIC, 120),
    'OCS, two configurations': ('OCS', 'ALL', SECOND, 120),
}
OFTEN = ['LCO imaging, dithered in a line', 'LCO MuSCAT', 'LCO photometric sequence', 'OCS, mosaic']


def but_for_window_and_mark(payload: dict[str, Any]) -> dict[str, Any]:
    """What was sent without what may differ from night to night."""
    found = copy.deepcopy(payload)
    found['name'] = re.sub(r'\s*~[a-z2-7]{10}\Z', '', found['name'])
    for request in found['requests']:
        assert len(request.pop('windows')) == 1
        request['observation_note'] = re.sub(r'\s*~[a-z2-7]{10}\Z', '', request.get('observation_note') or '')
    return found


def offer_muscat(portal: Portal) -> None:  # noqa: F811
    """Its camera of four channels, alone: the form takes the modes of all instruments of the portal."""
    modes = {
        'readout': [{'code': 'MUSCAT_FAST', 'name': 'Fast', 'schedulable': True, 'default': True}],
        'exposure': [{'code': 'SYNCHRONOUS', 'name': 'Synchronous', 'schedulable': True, 'default': True}],
    }
    camera = copy.deepcopy(INSTRUMENTS[IMAGER]) | {'name': '2.0 meter Muscat', 'class': '2m0', 'optical_elements': {}}
    camera['modes'] |= {key: {'type': key, 'modes': each, 'default': each[0]['code']} for key, each in modes.items()}
    portal.instruments = {MUSCAT: camera}
    forget('LCO')


@pytest.mark.parametrize(
    'form',
    [
        pytest.param(form, marks=[] if form in OFTEN else pytest.mark.prove(why='a form more, five nights each: 2 to 4 s'))
        for form in FORMS
    ],
)
def test_the_fifth_night_is_the_first_but_for_window_and_mark(
    client: Any,
    settings: Any,
    portal: Portal,  # noqa: F811
    astronomer: Any,
    target: Any,
    now: datetime,  # noqa: F811
    form: str,
) -> None:
    facility, kind, filled, seconds = FORMS[form]
    if kind == 'MUSCAT_IMAGING':
        offer_muscat(portal)
    cadence = begin(client, settings, portal, astronomer, target, (facility, kind, RESUME), now, **filled)
    first = portal_window(portal)
    for night in range(1, NIGHTS):
        last = settle(portal, cadence, 'COMPLETED')
        [line] = turn(portal, window_of(last).end + timedelta(minutes=7))
        assert line.decision == 'submit', line
        window = portal_window(portal)
        assert (window.start, window.length) == (first.start + night * timedelta(days=1), first.length) or 'SEQUENCE' in kind
        assert window == window_of(records(cadence)[-1])
    sent = [but_for_window_and_mark(each.payload) for each in portal.submissions]
    assert len(sent) == NIGHTS
    assert all(each == sent[0] for each in sent[1:])
    assert len({each.name for each in portal.submissions}) == NIGHTS, 'each has a mark of its own'
    assert portal.submissions[-1].windows[0] > portal.submissions[0].windows[0]
    if seconds is not None:
        assert records(cadence)[-1].parameters['exposure_seconds_sent'] == seconds


#: What is changed in a form, and the exposure seconds in all afterwards.
CHANGES: dict[str, tuple[dict[str, str], float]] = {
    'LCO MuSCAT': ({'c_1_ic_1_exposure_time_z': '60', 'c_1_ic_1_exposure_time_g': '15'}, 120),
    'LCO imaging, two configurations of which one has two parts': (
        {'c_2_ic_1_exposure_time': '90', 'c_1_ic_2_filter': 'ip', 'c_1_ic_2_exposure_count': '2'},
        240,
    ),
    'OCS, two configurations': ({'c_2_ic_1_exposure_count': '3'}, 240),
    'LCO imaging, dithered in a line': ({'dither_num_points': '5', 'c_1_ic_1_filter': 'gp'}, 300),
}


def leaves(found: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """Every value in a payload by where it stands."""
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else None
    if inner is None:
        return {path: found}
    return {where: value for key, each in inner for where, value in leaves(each, (*path, key)).items()}


@pytest.mark.parametrize(
    'form',
    [
        pytest.param(form, marks=[] if ' two ' in form or 'MuSCAT' in form else pytest.mark.prove(why='two forms more of 5 s each'))
        for form in CHANGES
        if not form.startswith('OCS')
    ]
    + [pytest.param('OCS, two configurations', marks=pytest.mark.prove(why='another big form, twice: 5 s'))],
)
def test_what_was_changed_on_the_page_is_all_that_differs_in_the_next_request_and_is_counted(
    client: Any,
    settings: Any,
    portal: Portal,  # noqa: F811
    astronomer: Any,
    target: Any,
    now: datetime,  # noqa: F811
    form: str,
) -> None:
    facility, kind, filled, before = FORMS[form]
    changed, after = CHANGES[form]
    if kind == 'MUSCAT_IMAGING':
        offer_muscat(portal)
    most = {'max_exposure_time': str((before or 0) + after + 1)}
    cadence = begin(client, settings, portal, astronomer, target, (facility, kind, RESUME), now, **filled, **most)
    managed = ManagedCadence.objects.get(cadence=cadence)
    page = preview(client, managed, changed)
    shown = ' '.join(BeautifulSoup(page.content, 'html.parser').get_text(' ').split())
    assert f'Exposure in all {before:g} s {after:g} s' in shown, shown
    confirm(client, managed, page)
    managed.refresh_from_db()
    assert set(managed.asked_instead['fields']) == set(changed)
    last = settle(portal, cadence, 'COMPLETED')
    [line] = turn(portal, window_of(last).end + timedelta(minutes=7))
    assert line.decision == 'submit', line
    old, new = (leaves(but_for_window_and_mark(each.payload)) for each in portal.submissions)
    differ = {str(value) for where, value in new.items() if old.get(where) != value}
    if 'dither' not in form:
        assert old.keys() == new.keys()
        assert {float(each) if each.replace('.', '').isdigit() else each for each in differ} == {
            float(each) if each.isdigit() else each for each in changed.values()
        }
    newest = records(cadence)[-1]
    assert newest.parameters['exposure_seconds_sent'] == after
    settle(portal, cadence, 'COMPLETED')
    [line] = turn(portal, window_of(newest).end + timedelta(minutes=7))
    assert f'would exceed the total exposure time of {before + after + 1:g} s ({before + after:g} s used)' in line.reason
