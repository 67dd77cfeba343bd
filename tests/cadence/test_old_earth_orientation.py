"""A TOM five years after its installation, with what astropy brought then: every place that looks at the sky goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from astropy.utils import data, iers

from tests.support.cadences import SIMULATED, bookings, make
from tests.support.matrix import FIELDS
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence
from tom_cadence.simulation import nights

pytestmark = pytest.mark.django_db(transaction=True)
LATER = datetime(2031, 12, 1, 20, 0, tzinfo=timezone.utc)
RESUME = 'ResumeCadenceAfterFailureStrategy'
SKY = {'sky_min_altitude': 20, 'sky_darkness': 'nautical', 'sky_moon_distance': 5}


def clock() -> datetime:
    return LATER


@pytest.fixture
def five_years_on(settings: Any, monkeypatch: Any, observatory: Any) -> Iterator[None]:
    """astropy as a TOM has it that set nothing; whoever tries to fetch a newer table fails the test."""
    from astropy.time import Time

    def fetched(*_: Any, **__: Any) -> None:
        raise AssertionError('A newer table was asked for.')

    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.clock', 'FACILITY_TIMEOUT': 30}
    monkeypatch.setattr(data, 'download_file', fetched)
    monkeypatch.setattr(iers.iers, 'download_file', fetched)
    monkeypatch.setattr(Time, 'now', classmethod(lambda cls: Time(LATER)))
    observatory.set_clock(LATER, frozen=True)
    for kept in (nights._block, nights._transit, nights._observer):
        kept.cache_clear()
    with iers.conf.set_temp('auto_max_age', 30.0), iers.conf.set_temp('auto_download', True):
        iers.IERS_Auto.close()
        yield
        assert (iers.conf.auto_max_age, iers.conf.auto_download) == (30.0, True)
    iers.IERS_Auto.close()


def test_the_run_the_page_the_preview_and_the_simulation_know_the_sky(
    five_years_on: None, client: Any, observatory: Any, astronomer: Any, target: Any
) -> None:
    client.force_login(astronomer)
    make(astronomer, target, start=LATER - timedelta(hours=30), status='COMPLETED', observation_id='900', **SKY)
    report = run_cadences()
    assert [line.decision for line in report.lines] == ['submit'], report.lines
    assert len(bookings(observatory)) == 1
    number = ManagedCadence.objects.get().pk
    page = client.get(f'/cadences/{number}/')
    assert page.status_code == 200
    assert 'could not say' not in page.content.decode()
    fan = client.get(f'/cadences/{number}/simulation/', {'part': 'fan', 'nights': 10, 'at_night': 'on'}).content.decode()
    assert 'La Palma' in fan
    assert 'alert' not in fan
    dates = {'start': f'{LATER:%Y-%m-%dT%H:%M}', 'end': f'{LATER + timedelta(hours=10):%Y-%m-%dT%H:%M}'}
    typed = {**FIELDS, **dates, 'name': 'one more', 'cadence-cadence_frequency': '24'}
    asked = {f'cadence-{name}': str(value) for name, value in SKY.items()}
    address = f'/cadences/start/preview/?target={target.pk}&what={quote(SIMULATED)}%7CIMAGING&strategy={RESUME}'
    preview = client.post(address, {**typed, **asked}).content.decode()
    assert 'Next windows if all succeed' in preview
    assert 'could not say' not in preview
