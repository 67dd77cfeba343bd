"""The examples of the strategy pages as values: real light curves and a real period, and what the strategies decide about them.

``strategy_figures.py`` draws them; a test holds the pages' tables and numbers against them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import numpy as np

from tom_cadence.core.decisions import Stop, Submit
from tom_cadence.core.history import Attempt, History, Outcome
from tom_cadence.core.parameters import clean
from tom_cadence.core.photometry import Photometry
from tom_cadence.core.policy import Limits, limited
from tom_cadence.core.visibility import Constraints, Site, Sky
from tom_cadence.core.windows import Window
from tom_cadence.strategies import (
    BrightnessStrategy,
    DeclineFollowingStrategy,
    PhaseCoverageStrategy,
    ResumeCadenceAfterFailureStrategy,
    StagedStrategy,
)
from tom_followup.units import instant_of, mjd_of

UTC = timezone.utc
HOUR = timedelta(hours=1)

#: A supernova like SN 1991bg in ZTF forced photometry, request 00381129, from github.com/mekhi-woods/HiloCATsSN1991bg,
#: data/ZTF-91bg (MIT licence): MJD, magnitude, error of the points with S/N above 5.
ZTF_R = (
    (59322.272, 19.09, 0.07), (59324.270, 18.85, 0.06), (59328.272, 18.61, 0.08), (59334.347, 18.86, 0.07),
    (59336.335, 18.93, 0.05), (59339.294, 19.09, 0.05), (59341.275, 19.33, 0.06), (59343.294, 19.50, 0.09),
    (59345.316, 19.72, 0.10), (59349.274, 20.20, 0.12), (59352.273, 20.01, 0.19),
)  # fmt: skip
ZTF_G = (
    (59319.414, 19.71, 0.12), (59324.357, 19.13, 0.07), (59328.315, 19.18, 0.14), (59334.233, 19.97, 0.14),
    (59336.273, 20.61, 0.18), (59339.230, 20.67, 0.19),
)  # fmt: skip
FIRST_NIGHT = datetime(2021, 4, 20, 6, tzinfo=UTC)

#: Delta Cephei: period and position as in the General Catalogue of Variable Stars. The epoch, J2000.0, only names the phases.
DELTA_CEPHEI = {'phase_period': 5.366341, 'phase_epoch': 51544.5, 'phase_bins': 20}
PLACE = (337.2928, 58.4152)
LA_PALMA = Site(name='La Palma', latitude=28.76, longitude=-17.88, elevation=2396)
AUTUMN = datetime(2026, 9, 1, 22, tzinfo=UTC)


def light_curve() -> Photometry:
    """The supernova in both bands."""
    time, magnitude, error = zip(*ZTF_R, *ZTF_G, strict=True)
    return Photometry.of(time, ['ZTF_r'] * len(ZTF_R) + ['ZTF_g'] * len(ZTF_G), magnitude, error, source='ZTF')


def made(strategy: Callable[[Any], Any], **parameters: Any) -> Any:
    """A strategy with these parameters."""
    return strategy(SimpleNamespace(cadence_parameters=parameters))


def observation(number: int, start: datetime, hours: float, taken: datetime | None = None) -> Attempt:
    """One that succeeded, at the start of its window unless ``taken`` says when."""
    return Attempt(
        record=number,
        observation_id=str(number),
        facility='Example',
        status='COMPLETED',
        outcome=Outcome.SUCCEEDED,
        created=start,
        window=Window(start=start, end=start + timedelta(hours=hours)),
        submission=number,
        scheduled_start=taken or start,
        scheduled_end=taken or start,
        parameters={'exposure_time': 60.0},
    )


def run(
    strategy: Any, begin: datetime, days: float, curve: Photometry | None = None, sky: Sky | None = None, hours: float = 1
) -> Iterator[tuple[datetime, datetime, str, dict[str, Any]]]:
    """Every submission of a cadence that is looked at each hour, and whose observations all succeed: when it was asked for, when
    it was taken, why, and what it changes; at the end one line with the reason of the stop."""
    limits = Limits(parameters=clean(strategy.dynamic_cadence.cadence_parameters), sky=sky)
    attempts = [observation(1, begin, hours)]
    now = begin + HOUR
    while now < begin + timedelta(days=days):
        seen = curve.until(now) if curve is not None else Photometry()
        history = History(attempts=tuple(attempts), photometry=seen)
        decision = limited(strategy.decide(history, now), history, now, limits)
        if isinstance(decision, Stop):
            yield now, now, decision.reason, {}
            return
        if isinstance(decision, Submit):
            taken = when_taken(decision.window, sky)
            yield now, taken, decision.reason, dict(decision.changes)
            attempts.append(observation(len(attempts) + 1, decision.window.start, _hours(decision.window), taken))
            now = max(now, taken)
        now += HOUR


def when_taken(window: Window, sky: Sky | None) -> datetime:
    """The first moment of a window in which the target is up."""
    open_ = sky.visible_intervals(window.start, window.end) if sky is not None else []
    return max(window.start, open_[0].start) if open_ else window.start


def _hours(window: Window) -> float:
    return window.length / HOUR


def decline() -> list[tuple[datetime, datetime, str, dict[str, Any]]]:
    """Decline-following on the supernova: every 0.2 mag, at first every 48 h, between 6 h and 5 days."""
    strategy = made(
        DeclineFollowingStrategy, decline_step=0.2, cadence_frequency=48, decline_least=6, decline_most=120, decline_points=6
    )
    return list(run(strategy, FIRST_NIGHT, 32, light_curve()))


def brightness() -> list[tuple[datetime, datetime, str, dict[str, Any]]]:
    """Brightness on the supernova in r: while brighter than 19.4, and to the end at 20."""
    table = 'up to 18.7: every 24 h, 60 s; up to 19.4: every 48 h, 120 s'
    given = {'bright_magnitude': 19.4, 'bright_stop': 20, 'bright_bands': 'ZTF_r', 'bright_table': table, 'bright_age': 120}
    return list(run(made(BrightnessStrategy, **given), FIRST_NIGHT, 40, light_curve()))


def staged() -> list[tuple[datetime, datetime, str, dict[str, Any]]]:
    """The example of the form in perfect weather."""
    text = 'every 6 h for 2 days, then daily for 10 days, then every 3 days for 60 days'
    return list(run(made(StagedStrategy, staged_stages=text), FIRST_NIGHT, 80))


def night_sky() -> Sky:
    """Delta Cephei above 30 degrees in the dark at La Palma."""
    return Sky(
        sites=(LA_PALMA,), ra=PLACE[0], dec=PLACE[1], constraints=Constraints(min_altitude=30, darkness='nautical')
    )  # fmt: skip


def phases(strategy: Any, days: float = 150) -> np.ndarray:
    """The phases of delta Cephei that a cadence takes, in order; only at night."""
    lines = list(run(strategy, AUTUMN, days, sky=night_sky()))
    taken = [AUTUMN, *(at for _, at, reason, _ in lines if not reason.startswith('All'))]
    return ((np.array([mjd_of(at) for at in taken]) - DELTA_CEPHEI['phase_epoch']) / DELTA_CEPHEI['phase_period']) % 1


def coverage() -> dict[str, np.ndarray]:
    """Phases taken by Phase coverage, and by cadences with a fixed interval, at night at La Palma."""
    found = {'Phase coverage': phases(made(PhaseCoverageStrategy, **DELTA_CEPHEI))}
    for every in (20, 24, 48):
        fixed = made(ResumeCadenceAfterFailureStrategy, cadence_frequency=every, count_from='observed')
        found[f'every {every} h'] = phases(fixed)
    return found


def needed(taken: np.ndarray) -> int | None:
    """After how many observations all bins have one, or None."""
    bins = DELTA_CEPHEI['phase_bins']
    seen: set[int] = set()
    for number, phase in enumerate(taken, 1):
        seen.add(int(phase * bins) % bins)
        if len(seen) == bins:
            return number
    return None


def shown(line: tuple[datetime, datetime, str, dict[str, Any]]) -> tuple[str, str]:
    """When it was taken and why, as the pages have it."""
    _, taken, reason, changes = line
    exposure = f' Exposure {changes["exposure_time"]:g} s.' if 'exposure_time' in changes else ''
    return taken.strftime('%Y-%m-%d %H:%M'), reason + exposure


__all__ = ['brightness', 'coverage', 'decline', 'instant_of', 'light_curve', 'needed', 'shown', 'staged']
