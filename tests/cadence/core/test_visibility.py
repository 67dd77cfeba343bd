"""When a target is up: against the almanac; and what becomes of a window in which it is down."""

from __future__ import annotations

import math
import socket
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.visibility import Constraints, Site, Sky, _block, move_to_visible, visible_intervals
from tom_cadence.core.windows import Window

UTC = timezone.utc
LA_PALMA = Site(name='La Palma', latitude=28.76, longitude=-17.88, elevation=2396)
SIDING = Site(name='Siding Spring', latitude=-31.27, longitude=149.07, elevation=1116)
M101 = (210.8, 54.35)
SMC = (13.2, -72.8)
NIGHT = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sky(*sites: Site, place: tuple[float, float] = M101, **asked: Any) -> Sky:
    return Sky(sites=sites or (LA_PALMA,), ra=place[0], dec=place[1], constraints=Constraints(**asked))


def asked(start: float, hours: float = 4, **more: Any) -> Submit:
    begin = NIGHT + start * HOUR
    return Submit(reason='Again.', window=Window(start=begin, end=begin + hours * HOUR), like=1, follows=(1,), **more)


def span(window: Window) -> tuple[float, float]:
    return (window.start - NIGHT) / HOUR, (window.end - NIGHT) / HOUR


def test_the_night_is_that_of_the_sun_s_hour_angle() -> None:
    """cos H = (sin h - sin phi sin delta) / (cos phi cos delta), with the Sun's declination and the equation of time of 1 May."""
    height, latitude, declination, equation = math.radians(-18), math.radians(28.76), math.radians(15.1), timedelta(minutes=3)
    cosine = (math.sin(height) - math.sin(latitude) * math.sin(declination)) / (math.cos(latitude) * math.cos(declination))
    half = timedelta(hours=math.degrees(math.acos(cosine)) / 15)
    midnight = datetime(2026, 5, 2, tzinfo=UTC) + timedelta(hours=17.88 / 15) - equation
    found = visible_intervals(LA_PALMA, *M101, Constraints(darkness='astronomical'), NIGHT, NIGHT + 24 * HOUR)
    assert len(found) == 1
    dusk, dawn = midnight - 12 * HOUR + half, midnight + 12 * HOUR - half
    assert timedelta(minutes=-5) <= found[0].start - dusk <= timedelta(minutes=15)
    assert timedelta(minutes=-5) <= dawn - found[0].end <= timedelta(minutes=15)


def test_a_target_culminates_at_its_height_and_sets() -> None:
    """M101 culminates at 90 - (54.35 - 28.76) = 64.4 degrees: never above 65, and above 64 only around its transit."""
    assert visible_intervals(LA_PALMA, *M101, Constraints(min_altitude=65), NIGHT, NIGHT + 24 * HOUR) == ()
    high = visible_intervals(LA_PALMA, *M101, Constraints(min_altitude=63), NIGHT, NIGHT + 24 * HOUR)
    assert sum((s.end - s.start for s in high), timedelta(0)) < 3 * HOUR
    assert visible_intervals(LA_PALMA, *SMC, Constraints(), NIGHT, NIGHT + 24 * HOUR) == ()


def test_an_airmass_of_two_is_thirty_degrees() -> None:
    by_airmass = visible_intervals(LA_PALMA, *M101, Constraints(max_airmass=2), NIGHT, NIGHT + 24 * HOUR)
    by_altitude = visible_intervals(LA_PALMA, *M101, Constraints(min_altitude=30), NIGHT, NIGHT + 24 * HOUR)
    assert [abs(a.start - b.start) <= timedelta(minutes=10) for a, b in zip(by_airmass, by_altitude, strict=True)] == [True] * len(
        by_airmass
    )


def test_the_moon_is_kept_away_from() -> None:
    """The full Moon of 2026-05-01 stood near right ascension 14.6 h, declination -14: a place beside it is not observed."""
    moon = (219.0, -15.0)
    near = visible_intervals(LA_PALMA, *moon, Constraints(min_moon_distance=30), NIGHT, NIGHT + 24 * HOUR)
    assert near == ()
    assert visible_intervals(LA_PALMA, *moon, Constraints(), NIGHT, NIGHT + 24 * HOUR)


@pytest.mark.parametrize('year', [1975, 2010, 2035, 2090])
def test_nothing_is_fetched_however_far_away_the_year_is(year: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError('a connection was tried')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    start = datetime(year, 3, 1, tzinfo=UTC)
    assert visible_intervals(LA_PALMA, *M101, Constraints(min_altitude=30, darkness='nautical'), start, start + 24 * HOUR)


@pytest.mark.parametrize('site', [LA_PALMA, SIDING, Site(name='Longyearbyen', latitude=78.2, longitude=15.6)])
@pytest.mark.parametrize('place', [M101, SMC, (83.6, 22.0)])
def test_it_is_what_astroplan_says_step_by_step(site: Site, place: tuple[float, float]) -> None:
    import warnings

    import numpy as np
    from astroplan import AirmassConstraint, AltitudeConstraint, AtNightConstraint, FixedTarget, MoonSeparationConstraint, Observer
    from astropy import units
    from astropy.coordinates import EarthLocation, SkyCoord

    from tom_cadence.core.visibility import BLOCK, EPOCH, STEP, _mask, _times, without_iers_download

    number = (NIGHT - EPOCH) // BLOCK
    ours = _mask(site, *place, Constraints(min_altitude=25, max_airmass=2.2, darkness='nautical', min_moon_distance=40), number)
    with without_iers_download(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        where = EarthLocation.from_geodetic(site.longitude * units.deg, site.latitude * units.deg, site.elevation * units.m)
        times = _times(number, np.arange(len(ours)) * (STEP / HOUR))
        target = FixedTarget(SkyCoord(*place, unit='deg'))
        theirs = np.ones(len(ours), dtype=bool)
        for constraint in (
            AltitudeConstraint(min=25 * units.deg),
            AirmassConstraint(max=2.2),
            AtNightConstraint(max_solar_altitude=-12 * units.deg),
            MoonSeparationConstraint(min=40 * units.deg),
        ):
            theirs &= np.asarray(constraint(Observer(location=where), target, times=times)).reshape(-1)
    assert int(np.sum(ours != theirs)) <= 2, 'a step on the very edge of a constraint'


def test_ninety_days_at_seven_sites_are_looked_through_in_two_seconds_and_only_up_to_the_answer() -> None:
    sites = tuple(Site(name=f'{number}', latitude=-30 + number, longitude=50.0 * number) for number in range(7))
    never = sky(*sites, place=(10.0, 89.0), min_altitude=60, darkness='astronomical', min_moon_distance=30)
    before = time.process_time()
    for month in range(3):
        assert never.first(NIGHT + month * 30 * 24 * HOUR, NIGHT + (month + 1) * 30 * 24 * HOUR, HOUR) is None
    assert time.process_time() - before < 2
    kept = _block.cache_info().currsize
    assert sky(*sites, min_altitude=5).first(NIGHT, NIGHT + 90 * 24 * HOUR, HOUR) is not None
    assert _block.cache_info().currsize - kept <= 2 * len(sites)


def test_a_window_years_ahead_costs_no_more_than_one_of_tomorrow() -> None:
    far = tuple(Window(start=NIGHT + years * 8766 * HOUR, end=NIGHT + (years + 9) * 8766 * HOUR) for years in range(9))
    decision = Submit(reason='Again.', window=far[0], like=1, follows=(1,), alternatives=far[1:])
    before = _block.cache_info().misses
    assert isinstance(move_to_visible(decision, sky(place=SMC, min_altitude=80), NIGHT), Wait)
    assert _block.cache_info().misses - before <= 20


def test_stretches_do_not_break_at_midnight() -> None:
    found = visible_intervals(LA_PALMA, *M101, Constraints(min_altitude=30, darkness='astronomical'), NIGHT, NIGHT + 48 * HOUR)
    assert len(found) == 2
    assert all(stretch.end - stretch.start > 7 * HOUR for stretch in found)


def test_a_window_in_which_it_is_up_long_enough_stays() -> None:
    decision = asked(10)  # 22:00
    assert move_to_visible(decision, sky(darkness='astronomical'), NIGHT) is decision
    assert move_to_visible(decision, None, NIGHT) is decision
    stop = Stop(reason='Done.')
    assert move_to_visible(stop, sky(), NIGHT) is stop


def test_a_window_by_day_is_moved_to_the_next_night_as_a_whole_and_says_so() -> None:
    moved = move_to_visible(asked(0, 2), sky(darkness='astronomical', min_altitude=30), NIGHT)
    assert isinstance(moved, Submit)
    assert span(moved.window) == pytest.approx((9.25, 11.25), abs=0.3)
    assert 'The target is not above 30°, after astronomical twilight long enough at La Palma from 2026-05-01 12:00' in moved.reason
    assert moved.reason.endswith('moved to La Palma.')


def test_it_is_moved_to_whichever_site_is_next() -> None:
    moved = move_to_visible(
        asked(1, 2), sky(LA_PALMA, SIDING, place=(200, -10), darkness='nautical', min_altitude=20), NIGHT + HOUR
    )
    assert isinstance(moved, Submit)
    assert (moved.window.start - NIGHT) / HOUR < 4  # it is night in Australia


def test_a_window_in_the_past_counts_from_now() -> None:
    moved = move_to_visible(asked(-48, 2), sky(darkness='astronomical'), NIGHT)
    assert isinstance(moved, Submit)
    assert moved.window.start >= NIGHT + 8 * HOUR


@pytest.mark.parametrize(
    ('hours', 'seconds', 'stays'),
    [(12, 3600, True), (12, 9 * 3600, False), (12, None, True), (9.5, None, True), (9.2, 3600, False)],
)
def test_long_enough_is_as_long_as_the_exposures_take(hours: float, seconds: float | None, stays: bool) -> None:
    decision = asked(0, hours)  # open from noon; it is dark from about 9.3 h on
    moved = move_to_visible(decision, sky(darkness='astronomical'), NIGHT, seconds)
    assert (moved is decision) is stays or (isinstance(moved, Wait) and not stays)


def test_a_target_that_never_rises_is_waited_for_with_the_same_words_every_day() -> None:
    waits = [move_to_visible(asked(day * 24), sky(place=SMC, min_altitude=30), NIGHT + day * 24 * HOUR) for day in (0, 1)]
    assert all(isinstance(wait, Wait) for wait in waits)
    assert waits[0] == waits[1]
    assert waits[0].reason == 'The target is not above 30° long enough at La Palma in the next 30 days.'


def test_a_season_is_bridged() -> None:
    place = (60.0, 20.0)  # behind the Sun in May and June, in the morning sky of July
    start = datetime(2026, 6, 20, 12, tzinfo=UTC)
    decision = Submit(reason='Again.', window=Window(start=start, end=start + 4 * HOUR), like=1, follows=(1,))
    moved = move_to_visible(decision, sky(place=place, min_altitude=10, darkness='astronomical'), start)
    assert isinstance(moved, Submit)
    assert timedelta(days=2) < moved.window.start - start < timedelta(days=30)


def test_an_alternative_in_which_it_is_up_is_taken_and_none_is_moved() -> None:
    day, night = asked(2, 1), asked(11, 1)
    decision = asked(0, 1, alternatives=(day.window, night.window))
    taken = move_to_visible(decision, sky(darkness='astronomical'), NIGHT)
    assert isinstance(taken, Submit)
    assert (taken.window, taken.alternatives, taken.reason) == (night.window, (), 'Again.')
    waits = move_to_visible(asked(0, 1, alternatives=(day.window,)), sky(darkness='astronomical'), NIGHT)
    assert isinstance(waits, Wait)
    assert 'in any of the 2 windows that would do' in waits.reason


def test_windows_never_start_before_now() -> None:
    assert move_to_visible(asked(10), sky(darkness='any'), NIGHT + 11 * HOUR).window.start >= NIGHT + 11 * HOUR


@pytest.fixture
def five_years_on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """astropy as a TOM has it that set nothing, in five years, without a network."""
    from astropy.time import Time
    from astropy.utils import iers

    def refuse(*_: Any) -> None:
        raise AssertionError('a connection was tried')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    later = datetime.now(UTC) + timedelta(days=5 * 365.25)
    monkeypatch.setattr(Time, 'now', classmethod(lambda cls: Time(later)))
    with iers.conf.set_temp('auto_max_age', 30.0), iers.conf.set_temp('auto_download', True):
        iers.IERS_Auto.close()
        yield later.replace(hour=12, minute=0, second=0, microsecond=0)
    iers.IERS_Auto.close()


def test_the_sky_is_known_when_the_installed_earth_orientation_is_five_years_old(five_years_on: datetime) -> None:
    from astropy.utils import iers

    from tom_cadence.simulation import nights

    asked_of = Constraints(min_altitude=30, max_airmass=2, darkness='nautical', min_moon_distance=10)
    far = sky(place=(83.6, 22.0), min_altitude=30, darkness='nautical').first(five_years_on, five_years_on + 30 * 24 * HOUR, HOUR)
    found = visible_intervals(LA_PALMA, 83.6, 22.0, asked_of, five_years_on, five_years_on + 72 * HOUR)
    for kept in (nights._block, nights._transit, nights._observer):
        kept.cache_clear()
    number = nights.night_number(five_years_on, LA_PALMA.longitude)
    dark = nights.dark(LA_PALMA, number, -18.0)
    assert found
    assert far is not None
    assert dark is not None
    assert nights.up(LA_PALMA, (83.6, 22.0), 20, dark)
    assert (iers.conf.auto_max_age, iers.conf.auto_download) == (30.0, True), 'the settings of the process stay as they were'


def test_threads_that_look_at_the_sky_together_leave_the_settings_of_the_process_alone(five_years_on: datetime) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from astropy.utils import iers

    def look(number: int) -> bool:
        start = five_years_on + number * 24 * HOUR
        return bool(visible_intervals(LA_PALMA, *M101, Constraints(min_altitude=20 + number / 7), start, start + 24 * HOUR))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(12)))
    assert (iers.conf.auto_max_age, iers.conf.auto_download) == (30.0, True)


SEVEN = (
    LA_PALMA,
    SIDING,
    Site(name='Sutherland', latitude=-32.38, longitude=20.81, elevation=1804),
    Site(name='McDonald', latitude=30.68, longitude=-104.02, elevation=2027),
    Site(name='Haleakala', latitude=20.71, longitude=-156.26, elevation=3065),
    Site(name='Cerro Tololo', latitude=-30.17, longitude=-70.81, elevation=2198),
    Site(name='Wise', latitude=30.6, longitude=34.76, elevation=875),
)


@pytest.mark.parametrize('declination', [-85.0, -26.4, 12.0, 89.0])
@pytest.mark.parametrize('place', SEVEN, ids=lambda site: site.name)
def test_heights_are_those_of_astropy(place: Site, declination: float) -> None:
    from astropy import units
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord

    from tom_cadence.core import visibility

    number = (NIGHT - visibility.EPOCH) // visibility.BLOCK
    ours = visibility._altitudes(place, visibility._target(123.4, declination, number))[::97]
    with visibility.without_iers_download():
        where = EarthLocation.from_geodetic(place.longitude * units.deg, place.latitude * units.deg, place.elevation * units.m)
        frame = AltAz(obstime=visibility._times(number, visibility._STEPS[::97]), location=where)
        theirs = SkyCoord(123.4 * units.deg, declination * units.deg).transform_to(frame).alt.deg
    assert np.abs(ours - theirs).max() < 0.005


def test_the_sky_is_computed_once_a_block_however_many_sites_look_at_it_and_however_often() -> None:
    from tom_cadence.core import visibility

    computed = {}
    for sites in (SEVEN[:1], SEVEN):
        for cache in (visibility._block, visibility._target, visibility._sun_seen, visibility._body):
            cache.cache_clear()
        asked = {'min_altitude': 60.0, 'max_airmass': 1.1, 'darkness': 'astronomical', 'min_moon_distance': 30.0}
        above = sky(*sites, place=(33.3, 12.3), **asked)
        for day in range(90):  # as the preview of three months asks, four times a day
            for hour in (0, 6, 12, 18):
                above.first(NIGHT + (24 * day + hour) * HOUR, NIGHT + (24 * day + hour + 4) * HOUR, HOUR)
        above.visible_intervals(NIGHT, NIGHT + 24 * 90 * HOUR)
        computed[len(sites)] = (visibility._target.cache_info().misses, visibility._sun_seen.cache_info().misses)
    blocks = 90 // (visibility.BLOCK // timedelta(days=1)) + 2
    assert computed[7] == computed[1]
    assert max(computed[7]) <= blocks


def test_no_day_after_the_answer_is_looked_at() -> None:
    from tom_cadence.core import visibility

    visibility._target.cache_clear()
    visibility._block.cache_clear()
    above = sky(*SEVEN, place=(210.4, 12.4), min_altitude=30, darkness='nautical')
    assert above.first(NIGHT, NIGHT + 24 * 90 * HOUR, HOUR) is not None
    assert visibility._target.cache_info().misses <= 2
