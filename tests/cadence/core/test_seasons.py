"""Which refusals pass by themselves, which wait for a person, and which are refusals as any other."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tom_cadence.core.seasons import (
    INSTRUMENT,
    PROPOSAL,
    SEASONS,
    SEMESTER,
    SKY,
    TIME,
    Objection,
    asked_again,
    objections_in,
    season_named,
    season_of,
    what_it_waits_for,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
SAID = {
    'The observation window does not fit within any defined semester.': SEMESTER,
    'The observation windows must all be in the same semester': SEMESTER,
    'There is no active semester at this time': SEMESTER,
    'Proposal TOM2026B-001 does not have any time left allocated in semester 2026B on 1M0-SCICAM-SINISTRO instruments': TIME,
    'Proposal TOM2026B-001 does not have enough time allocated in semester 2026B': TIME,
    "You do not have sufficient time allocated on the instrument you're requesting for this proposal.": TIME,
    'Invalid instrument type 1M0-SCICAM-SINISTRO.': INSTRUMENT,
    'optical element rp of type filter is not available': INSTRUMENT,
    'No visible requests within the windows.': SKY,
    'no visible requests within cadence parameters': SKY,
    'According to the constraints of the request, the target is never visible within the time window.': SKY,
    'Invalid pk "OLD" - object does not exist.': PROPOSAL,
    'You do not belong to the proposal you are trying to submit': PROPOSAL,
}
PLAIN = (
    'Ensure this field has no more than 50 characters.',
    'Window end time must be in the future',
    'This field is required.',
    'configuration type EXPOSE is not valid for 2.0 meter FLOYDS',
    'HTTP 400 (Bad Request)',
    'Select a valid choice. 7 is not one of the available choices.',
)


@pytest.mark.parametrize(('text', 'kind'), SAID.items())
def test_what_a_portal_says_of_its_season_is_known(text: str, kind: str) -> None:
    for said in (text, f'LCO: non_field_errors: {text}', f'requests: windows: {text.upper()}'):
        season = season_of(objections_in(said))
        assert season is not None, said
        assert season.kind == kind


@pytest.mark.parametrize('text', PLAIN)
def test_an_unknown_refusal_stays_a_refusal_also_beside_a_known_one(text: str) -> None:
    assert season_of(objections_in(text)) is None
    assert season_of(objections_in(f'{next(iter(SAID))}; {text}')) is None


@pytest.mark.parametrize(
    ('field', 'kind'),
    [
        ('proposal', PROPOSAL),
        ('c_1_instrument_type', INSTRUMENT),
        ('c_2_ic_1_filter', None),
        ('filter', None),
        ('c_1_ic_1_readout_mode', None),
        ('observation_mode_of_nobody', None),
        ('ipp_value', None),
        ('name', None),
    ],
)
def test_a_choice_that_the_form_does_not_offer_any_more(field: str, kind: str | None) -> None:
    text = f'{field}: Select a valid choice. ACCEPT is not one of the available choices.'
    season = season_of([Objection(text=text, field=field, not_offered=True)])
    assert (season.kind if season else None) == kind


def test_what_goes_with_an_instrument_that_is_not_offered_goes_with_its_season() -> None:
    gone = [Objection(text='.', field=field, not_offered=True) for field in ('c_1_ic_1_readout_mode', 'c_1_ic_1_filter')]
    assert season_of(gone) is None
    season = season_of([*gone, Objection(text='.', field='c_1_instrument_type', not_offered=True)])
    assert season is not None
    assert season.kind == INSTRUMENT
    named = Objection(text='.', field='name', not_offered=True)
    assert season_of([*gone, named, Objection(text='.', field='c_1_instrument_type', not_offered=True)]) is None


def test_what_a_person_must_mend_comes_before_what_passes() -> None:
    gone = [Objection(text='.', field=field, not_offered=True) for field in ('c_1_instrument_type', 'proposal')]
    season = season_of(gone)
    assert season is not None
    assert not season.passes
    assert season_of([]) is None


@given(st.sampled_from(SEASONS), st.timedeltas(timedelta(0), timedelta(days=400)))
def test_it_is_asked_again_between_an_hour_and_a_day_later(season: object, waited: timedelta) -> None:
    again = asked_again(season, NOW - waited, NOW)  # type: ignore[arg-type]
    assert HOUR <= again - NOW <= timedelta(days=1)


def test_a_date_that_is_known_is_waited_for() -> None:
    until = NOW + timedelta(days=9)
    assert asked_again(season_named(SEMESTER), NOW, NOW, until) == until
    assert asked_again(season_named(SEMESTER), NOW, NOW, NOW - HOUR) == NOW + HOUR
    assert 'goes on 2026-11-30 08:00 UTC' in what_it_waits_for('LCO refuses: no.', SEMESTER, until)
    assert 'It waits for the proposal to have time, and asks again by itself.' in what_it_waits_for('No', TIME)
