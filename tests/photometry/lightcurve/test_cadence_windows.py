"""The windows of cadences on a light curve, whatever names their facility has for the ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cadences import make
from tom_cadence import journal
from tom_forced_phot.integrations.cadences import windows

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ('facility', 'parameters'),
    [
        ('GEM', {'window_start': '2026-11-20 08:00', 'window_duration': 4}),
        ('gone', {'start': '2026-11-20T08:00', 'end': '2026-11-20T12:00'}),
    ],
)
def test_windows_are_shown_of_any_facility(
    astronomer: Any, target: Any, settings: Any, facility: str, parameters: dict[str, Any]
) -> None:
    from tests.conftest import NIGHT

    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, 'tom_observations.facilities.gemini.GEMFacility']
    cadence = make(astronomer, target)
    cadence.observation_group.observation_records.update(facility=facility, parameters=parameters)
    journal.adopt_missing(NIGHT)
    [span] = windows(astronomer, target)
    assert (span.end - span.start) * 24 == pytest.approx(4)
