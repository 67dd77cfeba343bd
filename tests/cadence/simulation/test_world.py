"""What is imagined: weather, nights, what becomes of a request, light curves."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest

from tests.support.samples import HOUR, NOON
from tom_cadence.core.history import Outcome
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.windows import Window
from tom_cadence.simulation import PERFECT, BadSky, SimulatedSky, Site, Survey
from tom_cadence.simulation.nights import dark, night_number, up
from tom_cadence.simulation.observatory import BROKE, EXPIRED, TAKEN, Observatory, Weather, survey_points
from tom_cadence.simulation.sky import Constant, Measured, Periodic, Supernova, changed, measure
from tom_followup.units import mjd_of

UTC = timezone.utc
PARANAL = Site(name='Paranal', latitude=-24.627, longitude=-70.404, elevation=2635)
TROMSO = Site(name='Tromsø', latitude=69.65, longitude=18.96)
WINDOW = Window(start=NOON, end=NOON + 12 * HOUR)


@pytest.mark.parametrize(('cloudy', 'persistence'), [(0.3, 0.0), (0.3, 0.6), (0.7, 0.4)])
def test_the_weather_has_the_share_and_the_persistence_that_were_asked_for(cloudy: float, persistence: float) -> None:
    weather = Weather(3, 'here', cloudy, persistence, 0)
    lost = np.array([weather.is_lost(night) for night in range(40_000)], dtype=float)
    # the variance of a mean of correlated draws is larger by (1 + r) / (1 - r)
    sigma = np.sqrt(cloudy * (1 - cloudy) / len(lost) * (1 + persistence) / (1 - persistence))
    assert abs(lost.mean() - cloudy) < 4 * sigma
    assert np.corrcoef(lost[:-1], lost[1:])[0, 1] == pytest.approx(persistence, abs=0.025)


def test_the_weather_does_not_depend_on_the_order_of_questions() -> None:
    one, other = (Weather(5, 'here', 0.5, 0.5, 100) for _ in range(2))
    forward = [one.is_lost(night) for night in range(100, 700)]
    assert [other.is_lost(night) for night in range(699, 99, -1)] == forward[::-1]
    assert [Weather(5, 'there', 0.5, 0.5, 100).is_lost(night) for night in range(100, 700)] != forward


def test_a_request_is_taken_when_its_window_opens_and_never_in_the_past() -> None:
    here = Observatory(PERFECT, 1, NOON)
    fate = here.fate(1, WINDOW, NOON - HOUR, 180)
    assert (fate.outcome, fate.status, fate.start, fate.known) == (Outcome.SUCCEEDED, TAKEN, NOON, NOON + timedelta(seconds=180))
    assert here.fate(1, WINDOW, NOON + HOUR, 180).start == NOON + HOUR
    late = here.fate(1, WINDOW, NOON + 13 * HOUR, 180)
    assert (late.outcome, late.status, late.known) == (Outcome.FAILED, EXPIRED, NOON + 13 * HOUR)


def test_a_lost_night_ends_the_window_without_an_observation() -> None:
    fate = Observatory(replace(PERFECT, cloudy=1.0, report=2.0), 1, NOON).fate(1, WINDOW, NOON, 60)
    assert (fate.status, fate.start, fate.known) == (EXPIRED, None, WINDOW.end + 2 * HOUR)


def test_a_technical_failure_is_known_when_it_would_have_ended() -> None:
    fate = Observatory(replace(PERFECT, failures=1.0), 1, NOON).fate(1, WINDOW, NOON, 60)
    assert (fate.outcome, fate.status, fate.known) == (Outcome.FAILED, BROKE, NOON + timedelta(seconds=60))


def test_the_wait_for_a_turn_is_as_long_on_average_as_was_asked_for() -> None:
    here, long = Observatory(replace(PERFECT, delay=3.0), 1, NOON), Window(start=NOON, end=NOON + 500 * HOUR)
    waits = [(here.fate(number, long, NOON, 0).start - NOON) / HOUR for number in range(1, 2001)]  # type: ignore[operator]
    assert abs(np.mean(waits) - 3) < 4 * 3 / np.sqrt(2000)


def test_a_wait_goes_on_in_the_next_clear_night() -> None:
    cloudy = Observatory(replace(PERFECT, cloudy=0.5, delay=9.0), 2, NOON)
    long = Window(start=NOON, end=NOON + 300 * HOUR)
    weather = Weather(2, '', 0.5, 0.0, night_number(NOON, 0))
    starts = [cloudy.fate(number, long, NOON, 0).start for number in range(1, 300)]
    assert not any(weather.is_lost(night_number(start, 0)) for start in starts if start)
    assert any(weather.is_lost(night_number(NOON, 0) + 1 + night) for night in range(5))


def test_some_states_come_late() -> None:
    here = Observatory(replace(PERFECT, report=1.0, late=0.5, late_by=10.0), 1, NOON)
    delays = [(here.fate(number, WINDOW, NOON, 0).known - NOON) / HOUR for number in range(1, 501)]
    assert min(delays) == 1
    assert 5 < max(delays) <= 11
    assert 0.4 < np.mean(np.array(delays) > 1) < 0.6


def test_with_sites_it_is_observed_at_night_with_the_target_up() -> None:
    place = replace(PERFECT, sites=(PARANAL,), target=(80.0, -20.0))
    start = Observatory(place, 1, NOON).fate(1, Window(start=NOON, end=NOON + 24 * HOUR), NOON, 0).start
    assert start is not None
    from astroplan import FixedTarget, Observer
    from astropy import units
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time

    there = Observer(EarthLocation.from_geodetic(-70.404 * units.deg, -24.627 * units.deg, 2635 * units.m))
    target = FixedTarget(SkyCoord(80 * units.deg, -20 * units.deg))
    height, sun = (float(altaz.alt.deg) for altaz in (there.altaz(Time(start), target), there.sun_altaz(Time(start))))
    assert sun < -11.5
    assert height == pytest.approx(30, abs=0.5)  # the evening is dark before it has risen so high
    assert Observatory(replace(place, target=(80.0, 80.0)), 1, NOON).fate(1, WINDOW, NOON, 0).status == EXPIRED


@pytest.mark.parametrize('night', [0, 5, 77, 300, 900])
def test_nights_are_astroplan_s_within_two_minutes(night: int) -> None:
    from astroplan import Observer
    from astropy import units
    from astropy.coordinates import EarthLocation
    from astropy.time import Time
    from astropy.utils import iers

    first = night_number(datetime(2026, 3, 1, tzinfo=UTC), PARANAL.longitude) + night
    found = dark(PARANAL, first, -12.0)
    assert found is not None
    there = Observer(EarthLocation.from_geodetic(-70.404 * units.deg, -24.627 * units.deg, 2635 * units.m))
    with iers.conf.set_temp('auto_download', False), iers.conf.set_temp('iers_degraded_accuracy', 'ignore'):
        middle = Time(found[0] + (found[1] - found[0]) / 2)
        exact = [there.twilight_evening_nautical(middle, 'previous'), there.twilight_morning_nautical(middle, 'next')]
    for ours, theirs in zip(found, exact, strict=True):
        assert abs(ours - theirs.to_datetime(timezone=UTC)) < timedelta(minutes=2)


def test_a_polar_summer_has_no_night_and_a_pole_s_winter_no_day() -> None:
    june = night_number(datetime(2026, 6, 20, tzinfo=UTC), TROMSO.longitude)
    assert dark(TROMSO, june, -12.0) is None
    pole = Site(name='South Pole', latitude=-90.0, longitude=0.0)
    span = dark(pole, night_number(datetime(2026, 6, 20, tzinfo=UTC), 0), -12.0)
    assert span is not None
    assert span[1] - span[0] == timedelta(days=1)
    assert up(pole, (10.0, -40.0), 30.0, span) == [span]
    assert up(pole, (10.0, -20.0), 30.0, span) == []


def test_a_target_rises_four_minutes_earlier_every_day() -> None:
    day = (NOON, NOON + 10 * 24 * HOUR)
    rises = [start for start, _ in up(PARANAL, (200.0, -60.0), 30.0, day)]
    gaps = [later - before for before, later in pairwise(rises[1:])]
    assert len(gaps) >= 8
    assert all(abs(gap - timedelta(seconds=86164.09)) < timedelta(seconds=1) for gap in gaps)


def test_a_supernova_is_brightest_at_its_maximum() -> None:
    days = np.arange(60900, 61200, 0.5)
    found = Supernova(maximum=61000.0, peak=15.5).magnitude(days, 'r')
    assert days[np.argmin(found)] == 61000
    assert found.min() == pytest.approx(15.5)
    assert np.isfinite(found).all()
    late = np.diff(found[days > 61100]) / 0.5
    assert late == pytest.approx(2.5 / np.log(10) / 30, rel=1e-3)  # magnitudes a day
    with pytest.raises(ValueError, match='fall more slowly'):
        Supernova(maximum=61000.0, rise=30, fall=4)


def test_a_periodic_target_repeats() -> None:
    light = Periodic(epoch=61000.0, period=0.57, mean=14, amplitude=0.4)
    assert light.magnitude(np.array([61000.0, 61000.285, 61005.7]), 'V') == pytest.approx([13.6, 14.4, 13.6])


def test_real_points_are_joined_in_their_band_and_end_where_they_end() -> None:
    points = Photometry.of([61000, 61002, 61001], ['r', 'r', 'g'], magnitude=[16, 17, 18], error=0.1)
    light = Measured(points=points, shift=10)
    assert light.magnitude(np.array([61011.0]), 'r') == pytest.approx([16.5])
    assert np.isnan(light.magnitude(np.array([61009.0, 61013.0]), 'r')).all()
    assert light.magnitude(np.array([61011.0]), 'z') == pytest.approx([18])
    assert np.isnan(Measured(points=Photometry()).magnitude(np.array([61011.0]), 'r')).all()


def test_measurements_scatter_as_their_errors_say_and_the_faint_are_limits() -> None:
    time, rng = np.arange(61000, 63000, 1.0), np.random.default_rng(1)
    bright = measure(Constant(level=18), time, 'r', 19.5, 'x', rng)
    assert np.isfinite(bright.magnitude).all()
    pull = (bright.magnitude - 18) / bright.error
    assert abs(pull.mean()) < 4 / np.sqrt(2000)
    assert pull.std() == pytest.approx(1, abs=0.07)
    faint = measure(Constant(level=20.5), time, 'r', 19.5, 'x', rng)
    assert np.isnan(faint.magnitude).all()
    assert faint.limit[0] == pytest.approx(19.5 + 2.5 * np.log10(5 / 3))


def test_survey_points_are_known_after_their_latency_and_some_are_missing() -> None:
    sky = SimulatedSky(light=Constant(level=17), surveys=(Survey(name='ATLAS', band='o', every=2, latency=12, lost=0.25),))
    found = list(survey_points(sky, 1, NOON, NOON + timedelta(days=400)))
    assert 0.65 < len(found) / (430 / 2) < 0.85
    assert all(known - timedelta(days=float(points.time[0]) - mjd_of(NOON)) - NOON < 12.01 * HOUR for known, points in found)
    assert found == list(survey_points(sky, 1, NOON, NOON + timedelta(days=400)))
    assert list(survey_points(SimulatedSky(surveys=sky.surveys), 1, NOON, NOON + HOUR)) == []


def test_numbers_of_a_sky_are_changed_by_name() -> None:
    assert changed(PERFECT, {'cloudy': 0.2, 'depth': 19}).cloudy == 0.2
    with pytest.raises(BadSky, match="'clouds' is nothing a sky has"):
        changed(PERFECT, {'clouds': 0.2})
    with pytest.raises(BadSky, match='not a place on Earth'):
        SimulatedSky(sites=(Site(name='x', latitude=100, longitude=0),))
