"""Every strategy can be started in the browser: it is among the cards, its form is shown, what cannot work is said, it begins."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from tom_dataproducts.models import PhotometryReducedDatum

from simulators.portal import Portal
from simulators.server import serve
from tests.cadence.pages.test_starting import Page, asked, browser, go, tonight  # noqa: F401
from tests.conftest import NIGHT
from tests.support.cadences import bookings
from tests.support.webform import FIELDS, connect
from tom_cadence import registry
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)
FILLED: dict[str, dict[str, str]] = {
    'UntilSuccessStrategy': {'until_mode': 'period', 'until_days': '3'},
    'StagedStrategy': {'staged_stages': 'every 6 h for 2 days, then daily for 10 days'},
    'BrightnessStrategy': {'bright_magnitude': '18', 'bright_follow': 'brighter'},
    'DeclineFollowingStrategy': {'decline_step': '0.2'},
    'PhaseCoverageStrategy': {'phase_epoch': '59000.5', 'phase_period': '5.366'},
    'FillGapsStrategy': {'gap_bands': 'r'},
}
WRONG = {
    'UntilSuccessStrategy': ({'until_days': ''}, 'say how long the period is'),
    'StagedStrategy': ({'staged_stages': 'now and then'}, 'cannot be read. Write it like'),
    'BrightnessStrategy': ({'bright_stop': '17'}, 'it must be fainter than 18'),
    'DeclineFollowingStrategy': ({'decline_most': '1'}, 'shorter than the shortest interval'),
    'PhaseCoverageStrategy': ({'phase_period': '0.001'}, 'at least 2 are needed'),
    'FillGapsStrategy': ({'gap_ask': 'ATLAS', 'gap_patience': '100'}, 'too late'),
}


def typed(name: str, **more: str) -> dict[str, str]:
    shown = registry.import_string(registry.OURS[name]).form().fields['cadence_frequency']
    frequency = {} if shown.widget.is_hidden else {'cadence_frequency': '24'}
    if name == 'UntilSuccessStrategy':
        frequency = {}
    return {f'cadence-{key}': value for key, value in {**frequency, **FILLED[name], **more}.items()}


def filled(page: Page, name: str, **more: str) -> Page:
    return Page(page.client, page.press('Preview', **typed(name, **more)))


@pytest.mark.parametrize('name', FILLED)
def test_a_strategy_is_shown_filled_in_and_started(browser: Client, observatory: Any, target: Any, name: str) -> None:  # noqa: F811
    strategy = registry.import_string(registry.OURS[name])
    assert strategy.name in go(browser, f'target={target.pk}').text or strategy.name in go(browser, asked(target)).text
    page = go(browser, asked(target).replace('ResumeCadenceAfterFailureStrategy', name))
    filled(page, name).press('Start')
    managed = ManagedCadence.objects.get()
    assert (managed.state, managed.host.cadence_strategy) == ('active', name)
    assert len(bookings(observatory)) == 1
    kept = managed.host.cadence_parameters
    assert all(
        str(kept[key]).rstrip('0').rstrip('.') == value.rstrip('0').rstrip('.')
        for key, value in FILLED[name].items()
        if key[-6:] != 'stages'
    )


@pytest.mark.parametrize('name', WRONG)
def test_what_cannot_work_is_said_before_anything_is_sent(browser: Client, observatory: Any, target: Any, name: str) -> None:  # noqa: F811
    page = go(browser, asked(target).replace('ResumeCadenceAfterFailureStrategy', name))
    wrong, words = WRONG[name]
    assert words in filled(page, name, **wrong).text
    assert bookings(observatory) == []
    assert not ManagedCadence.objects.exists()


def test_the_preview_knows_the_light_curve_and_the_sky(browser: Client, observatory: Any, target: Any) -> None:  # noqa: F811
    """Without points Brightness would wait for ever; and no window is foreseen by day."""
    PhotometryReducedDatum.objects.create(
        target=target, timestamp=NIGHT - timedelta(hours=1), brightness=17.0, brightness_error=0.05, bandpass='r', source_name='ZTF'
    )
    page = go(browser, asked(target).replace('ResumeCadenceAfterFailureStrategy', 'BrightnessStrategy'))
    sky = typed('BrightnessStrategy', sky_min_altitude='20', sky_darkness='astronomical')
    seen = Page(browser, page.press('Preview', **sky, start='2026-11-22T05:00', end='2026-11-22T12:00'))
    assert 'There is no point' not in seen.text
    assert re.search(r'2026-11-23 (04:[45]|05:0)0', seen.text), re.findall(r'.{60}2026-11-2[2-9].{60}', seen.text)


def test_the_preview_says_why_it_is_not_known_when_a_target_is_up(browser: Client, observatory: Any, target: Any) -> None:  # noqa: F811
    type(target).objects.filter(pk=target.pk).update(type='NON_SIDEREAL')
    page = go(browser, asked(target).replace('ResumeCadenceAfterFailureStrategy', 'StagedStrategy'))
    assert 'has no fixed coordinates' in filled(page, 'StagedStrategy', sky_min_altitude='20').text


@pytest.mark.parametrize('name', FILLED)
def test_the_preview_offers_the_futures_of_what_was_filled_in(browser: Client, observatory: Any, target: Any, name: str) -> None:  # noqa: F811
    page = filled(go(browser, asked(target).replace('ResumeCadenceAfterFailureStrategy', name)), name)
    fan = browser.get(page.html.select_one('#simulation-fan')['hx-get'])
    assert 'problem' not in fan.context, fan.context['problem']
    assert fan.context['tables'][0]['runs'] > 0
    alone = browser.get(page.html.select_one('#start-futures a')['href'])
    assert 'part=fan' in alone.content.decode()
    assert bookings(observatory) == []


@pytest.mark.parametrize('kind', ['PHOTOMETRIC_SEQUENCE', 'SPECTROSCOPIC_SEQUENCE'])
def test_a_strategy_without_one_interval_starts_with_a_sequence_form(
    client: Client, settings: Any, astronomer: Any, target: Any, kind: str
) -> None:
    """The toolkit's form ends its window one interval after its start; where there is none, the window's length is asked for."""
    settings.FACILITIES, settings.TOM_FACILITY_CLASSES = {}, []
    settings.TOM_CADENCE = {'FACILITY_TIMEOUT': 4}  # the toolkit's form compares with the real time
    with serve(Portal()) as server:
        portal = server.service
        connect(settings, portal, 'LCO')
        client.force_login(astronomer)
        page = go(client, f'target={target.pk}&what=LCO|{kind}&strategy=StagedStrategy')
        assert 'Length of the window' in page.text
        typed = {**FIELDS[kind], 'name': 'SN 2011fe', 'cadence_frequency': '6', 'cadence-staged_stages': 'daily for 5 days'}
        seen = Page(client, page.press('Preview', **typed))
        assert 'nothing has been sent' in seen.text, [each.get_text() for each in seen.html.select('.alert, .invalid-feedback')]
        seen.press('Start')
        managed = ManagedCadence.objects.get()
        assert managed.host.cadence_strategy == 'StagedStrategy'
        first = portal.submissions[0].windows[0]
        assert first[1] - first[0] == timedelta(hours=6)
        portal.set_state(managed.host.observation_group.observation_records.get().observation_id, 'COMPLETED')
        portal.set_clock(first[0] + timedelta(hours=7), frozen=True)
        assert [line.decision for line in run_cadences(now=portal.now()).lines] == ['submit']
        second = portal.submissions[1].windows[0]
        assert (second[0], second[1] - second[0]) == (first[0] + timedelta(days=1), timedelta(hours=6))


def test_a_window_too_long_to_be_simulated_is_not_cut_short(browser: Client, observatory: Any, target: Any) -> None:  # noqa: F811
    page = go(browser, asked(target)).preview(end='2026-12-20T09:00')
    fan = browser.get(page.html.select_one('#simulation-fan')['hx-get'])
    assert 'hours must be a number above 0 and of at most 336' in fan.context['problem']
