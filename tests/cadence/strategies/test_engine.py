"""The new strategies in the engine: light curves in one statement, fresh looks through the port, the sky, relaxed requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT, at
from tests.support.cadences import bookings, make, records, settle
from tom_cadence.core.decisions import PhotometryRequest
from tom_cadence.core.history import PhotometryAnswer
from tom_cadence.core.windows import read_instant
from tom_cadence.engine import context
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import CadenceRun, ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)
BRIGHT = {'strategy': 'BrightnessStrategy', 'bright_magnitude': 18, 'bright_table': 'up to 18: every 6 h, 30 s'}
GAPS = {'strategy': 'FillGapsStrategy', 'cadence_frequency': 48}


def point(target: Any, hours: float, magnitude: float | None = 17.0, band: str = 'r', **more: Any) -> None:
    PhotometryReducedDatum.objects.create(
        target=target, timestamp=at(hours), brightness=magnitude, brightness_error=0.05, bandpass=band, unit='AB mag', **more
    )


def reason() -> str:
    return str(CadenceRun.objects.latest('pk').reason)


def statements(number: int, astronomer: Any, **given: Any) -> int:
    """How many statements a run over so many waiting cadences takes, each with its own target."""
    for index in range(number):
        target = Target.objects.create(name=f'T {index} of {number}', type='SIDEREAL', ra=10.0 + index, dec=20, permissions='OPEN')
        point(target, -1)
        make(astronomer, target, observation_id=f'{number}-{index}', status='COMPLETED', start=at(-10), **given)
    run_cadences(now=NIGHT)  # adopts them
    with CaptureQueriesContext(
        connection,
    ) as seen:
        run_cadences(now=NIGHT)
    photometry = [each for each in seen.captured_queries if 'photometryreduceddatum' in each['sql']]
    assert len(photometry) == (1 if given['strategy'] in ('BrightnessStrategy', 'FillGapsStrategy') else 0)
    return len(seen.captured_queries)


def test_light_curves_are_read_in_one_statement_and_only_where_they_are_looked_at(observatory: Any, astronomer: Any) -> None:
    seen = {**BRIGHT, 'bright_table': 'up to 18: every 3 days'}
    few = statements(2, astronomer, **seen)
    assert statements(6, astronomer, **seen) == few


@pytest.mark.parametrize('together', [4, 1000], ids=['each target alone', 'all in one statement'])
def test_of_very_many_points_a_decision_looks_at_the_newest_and_says_so(
    observatory: Any, make_cadence: Any, target: Any, monkeypatch: Any, together: int
) -> None:
    monkeypatch.setattr(context, 'MOST_POINTS', 5)
    monkeypatch.setattr(context, 'MOST_TOGETHER', together)
    cadence = make_cadence(book=observatory, **BRIGHT)
    settle(observatory, records(cadence)[0], 'COMPLETED')
    for number in range(8):
        point(target, -number / 10, 17.0 if number == 0 else 25.0)
    run_cadences(now=at(3))
    assert 'r = 17.00' in reason()
    assert reason().endswith('Only the newest 5 points are looked at.')
    PhotometryReducedDatum.objects.filter(brightness=25).delete()
    run_cadences(now=at(3.1))
    assert 'Only the newest' not in reason()


def test_a_strategy_that_looks_at_no_light_curve_reads_none(observatory: Any, astronomer: Any) -> None:
    statements(3, astronomer, strategy='ResumeCadenceAfterFailureStrategy', cadence_frequency=0.01, retry_backoff=90)


def test_brightness_sets_the_exposure_and_names_the_point_that_decided(observatory: Any, make_cadence: Any, target: Any) -> None:
    cadence = make_cadence(book=observatory, **BRIGHT)
    settle(observatory, records(cadence)[0], 'COMPLETED')
    point(target, 2, source_name='ZTF')
    point(target, 4, 12.0)  # not measured yet
    report = run_cadences(now=at(3))
    assert [line.decision for line in report.lines] == ['wait']
    assert 'r = 17.00 ± 0.05 at 2026-11-21 10:00 UTC (ZTF): every 6 h. The next observation is due at 2026-11-21 14:00' in reason()
    PhotometryReducedDatum.objects.filter(brightness=12).delete()
    run_cadences(now=at(5.5))
    new = records(cadence)[1]
    assert (new.parameters['exposure_time'], new.parameters['start']) == (30.0, '2026-11-21T14:00')
    assert bookings(observatory)[1]['fields']['exposure_time'] == 30.0


def test_points_that_the_owner_may_not_see_decide_nothing(observatory: Any, make_cadence: Any, target: Any, settings: Any) -> None:
    settings.TARGET_PERMISSIONS_ONLY = False
    cadence = make_cadence(book=observatory, **BRIGHT)
    settle(observatory, records(cadence)[0], 'COMPLETED')
    point(target, 2)
    run_cadences(now=at(3))
    assert 'There is no point' in reason()


def test_a_target_that_is_down_is_asked_for_when_it_is_up(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, sky_min_altitude=20, sky_darkness='astronomical')
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))  # 13:00 UTC, day at La Palma
    asked = records(cadence)[1].parameters['start']
    assert '2026-11-22T04:40' <= asked <= '2026-11-22T05:00'  # it rises late in November: hour angle -95 degrees
    assert 'The target is not above 20°, after astronomical twilight long enough at La Palma' in reason()


@pytest.mark.parametrize(
    ('change', 'words'),
    [({'type': 'NON_SIDEREAL', 'ra': None, 'dec': None}, 'has no fixed coordinates'), ({'ra': None}, 'has no fixed coordinates')],
)
def test_a_target_without_a_place_needs_attention_where_the_sky_matters(
    observatory: Any, make_cadence: Any, target: Any, change: dict[str, Any], words: str
) -> None:
    cadence = make_cadence(book=observatory, sky_min_altitude=30)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    Target.objects.filter(pk=target.pk).update(**change)
    run_cadences(now=at(5))
    managed = ManagedCadence.objects.get()
    assert managed.state == 'attention'
    assert words in managed.reason


def test_after_failures_less_is_asked_for_and_after_a_success_all_again(observatory: Any, make_cadence: Any) -> None:
    cadence = make_cadence(book=observatory, relaxations='after 1: exposure 50 %; after 2: window 8 h, exposure 10 s')
    for hours, state in ((5, 'WINDOW_EXPIRED'), (10, 'WINDOW_EXPIRED'), (19, 'COMPLETED')):
        settle(observatory, records(cadence)[-1], state)
        run_cadences(now=at(hours))
    made = records(cadence)
    assert [record.parameters['exposure_time'] for record in made] == [60.0, 30.0, 10.0, 60.0]
    lengths = [record.parameters['end'][11:13] for record in made]
    assert lengths == ['12', '17', '02', '22']
    reasons = list(CadenceRun.objects.filter(decision='submit').order_by('pk').values_list('reason', flat=True))
    assert 'Relaxed after 1 failure in a row: exposure 50 %.' in reasons[0]
    assert 'Relaxed after 2 failures in a row: exposure 10 s; window 8 h.' in reasons[1]
    assert 'Relaxed' not in reasons[2]


def test_phase_coverage_asks_for_missing_phases_until_none_is(observatory: Any, make_cadence: Any) -> None:
    given = {'phase_epoch': 59000.5, 'phase_period': 0.5, 'phase_bins': 3}
    cadence = make_cadence(book=observatory, strategy='PhaseCoverageStrategy', **given)
    for step in range(6):
        newest = records(cadence)[-1]
        taken = read_instant(newest.parameters['start']) + timedelta(hours=1)
        observatory.set_clock(taken, frozen=True)
        settle(observatory, newest, 'COMPLETED')
        run_cadences(now=taken + timedelta(hours=step))
    assert ManagedCadence.objects.get().state == 'finished', list(CadenceRun.objects.values_list('reason'))
    assert ObservationRecord.objects.count() == 3


class Answering:
    """A port whose service can be asked, and what was asked."""

    asked: list[tuple[int, PhotometryRequest]] = []
    found: tuple[PhotometryAnswer, ...] = ()

    def looks(self, wanted: Any) -> Any:
        return dict.fromkeys(wanted, self.found)

    def ask(self, target: int, wish: PhotometryRequest, owner: Any, now: Any) -> None:
        self.asked.append((target, wish))


@pytest.fixture
def port(settings: Any) -> Any:
    settings.TOM_CADENCE = {**settings.TOM_CADENCE, 'FRESH_LOOKS': 'tests.cadence.strategies.test_engine.Answering'}
    Answering.asked, Answering.found = [], ()
    return Answering


def test_a_wish_is_told_to_the_port_and_not_in_a_dry_run(observatory: Any, make_cadence: Any, port: Any, target: Any) -> None:
    make_cadence(status='COMPLETED', start=at(-100), gap_ask='ATLAS', **GAPS)
    run_cadences(now=NIGHT, dry_run=True)
    assert port.asked == []
    run_cadences(now=NIGHT)
    assert [pk for pk, _ in port.asked] == [target.pk]
    assert 'ATLAS is asked for a fresh look first' in reason()
    assert bookings(observatory) == []


def test_when_the_service_saw_nothing_the_observation_is_asked_for(observatory: Any, make_cadence: Any, port: Any) -> None:
    cadence = make_cadence(book=observatory, gap_ask='ATLAS', **GAPS)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    port.found = (PhotometryAnswer(service='ATLAS', asked=at(4), ended=at(4.5)),)
    run_cadences(now=at(5))
    assert 'nor has ATLAS' in reason()
    assert len(bookings(observatory)) == 2
    assert port.asked == []


@pytest.mark.parametrize('service', ['ATLAS', 'Palomar 1895'])
def test_where_nobody_can_be_asked_it_goes_on_at_once(observatory: Any, make_cadence: Any, service: str, target: Any) -> None:
    Target.objects.filter(pk=target.pk).update(dec=-80)  # too far south for ATLAS in Hawaii, and there is no such service
    cadence = make_cadence(book=observatory, gap_ask=service, **GAPS)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    report = run_cadences(now=at(5))
    words = [line.reason for line in report.lines]
    assert any(f'{service} could not be asked' in text or 'is asked for a fresh look first' in text for text in words), words


def test_the_forced_photometry_of_this_tom_is_asked_and_waited_for(observatory: Any, make_cadence: Any, target: Any) -> None:
    from tom_cadence.integrations.forced_phot import ForcedLooks
    from tom_forced_phot.models import PhotometryQuery

    cadence = make_cadence(book=observatory, gap_ask='atlas', **GAPS)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    query = PhotometryQuery.objects.filter(target=target.pk).first()
    if query is None:  # without credentials nobody can be asked, and the cadence goes on
        assert 'could not be asked' in reason()
        return
    assert ForcedLooks().looks([(target.pk, 'atlas')])[target.pk, 'atlas'][0].ended is None
    run_cadences(now=at(6))
    assert 'is waited for until' in reason()
    PhotometryQuery.objects.update(state='no_data', closed=at(6), created=at(5))
    run_cadences(now=at(7))
    assert 'nor has atlas' in reason()
    assert PhotometryQuery.objects.count() == 1


@pytest.mark.parametrize(
    ('strategy', 'given', 'expected'),
    [
        ('UntilSuccessStrategy', {'until_mode': 'success'}, (2, 'finished')),
        ('StagedStrategy', {'staged_stages': 'every 6 h for 2 days, then daily for 10 days'}, (3, 'active')),
        ('DeclineFollowingStrategy', {'decline_step': 0.2}, (2, 'active')),  # due tomorrow, and asked for then
    ],
)
def test_the_others_go_through_the_engine_as_well(
    observatory: Any, make_cadence: Any, strategy: str, given: Any, expected: Any
) -> None:
    cadence = make_cadence(book=observatory, strategy=strategy, **given)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    run_cadences(now=at(5))
    settle(observatory, records(cadence)[1], 'COMPLETED')
    run_cadences(now=at(6))
    run_cadences(now=at(6) + timedelta(hours=1))
    made, state = len(records(cadence)), ManagedCadence.objects.get().state
    assert (made, state) == expected
