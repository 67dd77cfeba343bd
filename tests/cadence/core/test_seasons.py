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


#: What other portals, or a newer one, may say of the same.
SIBLINGS = {
    'Target is not visible within the requested window.': SKY,
    'The target is not observable during the window.': SKY,
    'The target does not rise above the minimum elevation at any site in the window.': SKY,
    'Request is not visible within the window': SKY,
    'The requested target is below the horizon in the given window.': SKY,
    'Proposal X has no time remaining.': TIME,
    'Proposal X has exceeded its time allocation.': TIME,
    'insufficient time allocation remaining on this proposal': TIME,
    'Not enough time left on proposal X': TIME,
    'The time allocation of X is exhausted': TIME,
    'Proposal X does not have any rapid response time left allocated in semester 2026B on 1M0 instruments': TIME,
    'Instrument 1M0-SCICAM is currently offline.': INSTRUMENT,
    '1M0-SCICAM-SINISTRO is down for maintenance.': INSTRUMENT,
    'The instrument FLOYDS is temporarily unavailable.': INSTRUMENT,
    'The telescope 2m0a is closed for engineering': INSTRUMENT,
    'Instrument X has been decommissioned': INSTRUMENT,
    'The window extends beyond the end of the semester': SEMESTER,
    'window must be within semester 2026B': SEMESTER,
    'Proposal X does not exist.': PROPOSAL,
    'You are not a member of proposal X': PROPOSAL,
    'Proposal X has expired': PROPOSAL,
}
#: What sounds like a season and is none: whoever waited for it would wait for ever.
NO_SEASONS = (
    'Instrument type 1M0: readout mode quick is not available',
    'instrument config: mode fast not available',
    'Guide mode ON is not available for instrument 1M0-SCICAM',
    'Exposure time exceeds the maximum',
    'exposure time 0 must be greater than zero',
    'visible light filter missing',
    'The semester name is not valid',
    'The name has already been taken in this proposal',
    'Your allocation of instruments is wrong: choose one instrument',
    'Target coordinates out of range',
    'Instrument X does not offer filter zz',
)


@pytest.mark.parametrize(('text', 'kind'), SIBLINGS.items())
def test_the_same_in_other_words_is_the_same(text: str, kind: str) -> None:
    season = season_of(objections_in(f'LCO refuses: {text}'))
    assert season is not None, text
    assert season.kind == kind


@pytest.mark.parametrize('text', NO_SEASONS)
def test_what_only_sounds_like_a_season_is_refused_in_words_and_not_waited_for(text: str) -> None:
    assert season_of(objections_in(text)) is None


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
