"""Each of the four ways to a cadence, from the login to what the observatory's own log says was booked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.stage import Tom
from tests.browser.surfing import Browser
from tests.support.cadences import SIMULATED, parameters

IMAGING = f'{SIMULATED}: Imaging'
RESUME = 'Resume cadence after failure'
PREVIEW = 'Preview: nothing has been sent'
SEND = 'Start, and send the first observation'


def preview(browser: Browser, every: str) -> None:
    """Fill in how often, have it checked, and wait for what would happen."""
    browser.fill('Repeat every', every)
    browser.press('Preview')
    browser.sees(PREVIEW, 'Next windows if all succeed', 'Next windows if the first one fails')


def send(browser: Browser, tom: Tom) -> None:
    """Start it; exactly one observation is booked by that."""
    before = len(tom.booked())
    browser.press(SEND)
    browser.sees('The cadence has started: observation')
    assert browser.address.startswith('/cadences/')
    assert len(tom.booked()) == before + 1


def make_record(tom: Tom, **more: Any) -> Any:
    """An observation of the past, as the host's own form left it, and a group of Vera's that holds it."""
    from guardian.shortcuts import assign_perm
    from tom_observations.models import ObservationGroup, ObservationRecord

    asked = parameters(tom.target, tom.observatory.clock.now()) | more
    _, reply = tom.observatory.submit({**asked, 'target': tom.target.name, 'ra': 210.774, 'dec': 54.274}, 'tom')
    record = ObservationRecord.objects.create(
        target=tom.target, user=tom.vera, facility=SIMULATED, parameters=asked, observation_id=str(reply['id']), status='COMPLETED'
    )
    tom.observatory.set_state(record.observation_id, 'COMPLETED')
    group = ObservationGroup.objects.create(name='First light')
    group.observation_records.add(record)
    for verb in ('view', 'change', 'delete'):
        assign_perm(f'tom_observations.{verb}_observationgroup', tom.vera, group)
    return record


@pytest.fixture
def template(tom: Tom) -> Any:
    """Vera's template of a deep exposure."""
    from tom_observations.models import ObservationTemplate

    from tom_cadence.models import TemplateOwnership

    kept = {'facility': SIMULATED, 'observation_type': 'IMAGING', 'filter': 'i', 'exposure_time': 300.0, 'exposure_count': 2}
    made = ObservationTemplate.objects.create(name='Deep i', facility=SIMULATED, parameters=kept)
    TemplateOwnership.objects.create(template=made, owner=tom.vera, observation_type='IMAGING')
    return made


def test_from_the_tab_of_a_target_and_the_overview_follows_the_nights(vera: Browser, tom: Tom) -> None:
    vera.open(f'/targets/{tom.target.pk}/')
    vera.press('Cadences', within='.nav-tabs')
    vera.sees('No cadence observes this target yet')
    vera.press('Start a cadence', within='#cadences')
    vera.is_at('/cadences/start/')
    vera.choose('1. What to observe it with', IMAGING)
    vera.tick(RESUME)
    vera.fill('Exposure time', '120')
    preview(vera, '24')
    assert not tom.booked(), 'a preview must not book'
    send(vera, tom)
    vera.sees('Observes SN 2011fe at Simulated observatory every 24 h')
    vera.press('Cadences', within='.navbar')
    vera.sees('SN 2011fe', RESUME, 'Active', 'is booked', 'none yet', '1 cadence')
    tom.pass_hours(26)
    vera.open('/cadences/')
    vera.sees('Succeeded', '1 / 0')
    assert [each['state'] for each in tom.booked()] == ['COMPLETED', 'PENDING']
    assert all(not each['beside'] for each in tom.booked()), 'one night was booked twice'
    tom.pass_hours(24)
    vera.press('SN 2011fe', within='#cadence-table')
    vera.find('.cadence-timeline .main-svg')
    vera.sees('Succeeded COMPLETED', 'Asked')
    assert len(vera.shown('.cadence-observations tbody tr')) == 3


def test_from_a_template_for_a_target_that_is_searched_for(vera: Browser, tom: Tom, template: Any) -> None:
    tom.add_target('T CrB')
    vera.open('/observation-templates/')
    vera.press('Deep i')
    vera.press('Start a cadence', within='.cadences')
    vera.sees('From the template Deep i')
    vera.fill('Name, or a part of it', 'crb')
    vera.misses('SN 2011fe')
    vera.press('T CrB RA 10.0000, Dec 20.0000')
    vera.tick(RESUME)
    preview(vera, '48')
    send(vera, tom)
    booking = tom.booked('T CrB')[0]['fields']
    assert (booking['filter'], booking['exposure_time'], booking['exposure_count']) == ('i', 300.0, 2)


def test_from_a_past_observation_without_its_window(vera: Browser, tom: Tom) -> None:
    record = make_record(tom, filter='g', exposure_time=42.0)
    tom.observatory.advance(hours=30)
    vera.open(f'/observations/{record.pk}/')
    vera.press('Start a cadence like this')
    vera.sees(f'like observation {record.observation_id} at {SIMULATED}', 'without its window')
    vera.tick(RESUME)
    preview(vera, '24')
    send(vera, tom)
    first, second = tom.booked()
    assert second['fields']['exposure_time'] == 42.0
    assert second['start'] > first['end']


def test_for_a_group_that_exists_nothing_is_sent_before_the_first_run(vera: Browser, tom: Tom) -> None:
    make_record(tom)
    vera.open('/observations/groups/list/')
    vera.press('Start a cadence for one of these groups')
    vera.sees('Or go on with an observation group')
    vera.fill('Name of a target or of an observation group', 'light')
    vera.misses('SN 2011fe')
    vera.press('First light 1 observation')
    vera.sees('For the observation group First light', 'nothing is sent when it starts')
    vera.tick(RESUME)
    vera.fill('Repeat every', '24')
    vera.press('Preview')
    vera.sees(PREVIEW, 'At its first run')
    vera.press('Start, and send nothing now')
    vera.sees('The cadence has started; it decides at its next run.')
    assert len(tom.booked()) == 1
    tom.pass_hours(0)
    assert len(tom.booked()) == 2
    tom.cron()
    assert len(tom.booked()) == 2


def test_a_refusal_stands_beside_its_field_and_leaves_no_cadence(vera: Browser, tom: Tom) -> None:
    from tom_observations.models import DynamicCadence

    vera.open(f'/cadences/start/?target={tom.target.pk}&what={SIMULATED}|IMAGING&strategy=ResumeCadenceAfterFailureStrategy')
    vera.fill('Repeat every', '0')
    vera.press('Preview')
    vera.sees('Nothing was sent')
    assert vera.field('Repeat every').get_attribute('aria-invalid') == 'true'
    preview(vera, '24')
    tom.observatory.fault('submit', 'refuse', errors={'exposure_time': ['The moon is too bright for this.']})
    vera.press(SEND)
    vera.sees('Nothing was booked, and no cadence was started', 'The moon is too bright for this.')
    assert not tom.booked()
    assert not DynamicCadence.objects.exists()
    preview(vera, '24')
    send(vera, tom)
