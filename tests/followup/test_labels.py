"""Acronyms and labels as the observatories write them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tom_cadence.facilities import Gateway
from tom_cadence.facilities.user_forms import types
from tom_followup.labels import WRITTEN, label

WORDS = {
    'IMAGING': 'Imaging',
    'MUSCAT_IMAGING': 'MuSCAT imaging',
    'PHOTOMETRIC_SEQUENCE': 'Photometric sequence',
    'SPECTRA': 'Spectra',
    'IOO': 'IO:O',
    'FRODO': 'FRODOSpec',
    'SPRAT': 'SPRAT',
    'Swift TOO Observation': 'Swift ToO Observation',
    'MONET_SOUTH_IMAGING': 'MONET south imaging',
    'IAG50_IMAGING': 'IAG50 imaging',
    'ESO': 'ESO',
    'ALL': 'All',
    'ipp_value': 'IPP value',
    'muscat_exposure_mode': 'MuSCAT exposure mode',
    'uvot_mode_choices': 'UVOT mode choices',
    'p2_observing_run': 'P2 observing run',
    'api_key': 'API key',
    'proposal_id': 'Proposal ID',
    'mjd_min': 'MJD min',
    'max_airmass': 'Max airmass',
    'exp_count_R': 'Exp count R',
    'exp_time_Halpha6566': 'Exp time Halpha6566',
    'c_2_ic_1_exposure_time': 'Exposure time (configuration 2, instrument 1)',
    'c_1_instrument_type': 'Instrument type (configuration 1)',
    'R': 'R',
    '': '',
}


@pytest.mark.parametrize(('name', 'words'), WORDS.items())
def test_a_name_of_a_program_is_told_in_words(name: str, words: str) -> None:
    assert label(name) == words


@pytest.mark.parametrize('word', sorted(WRITTEN))
def test_an_acronym_is_written_in_one_way_however_a_program_spells_it(word: str) -> None:
    assert label(word) == label(word.upper()) == label(word.capitalize()) == WRITTEN[word]


def test_a_class_that_says_how_its_kinds_are_written_is_believed() -> None:
    class Facility(SimpleNamespace):
        """As tom-lt writes it."""

        name = 'LT'
        observation_types = [('IOO', 'IO:O'), ('X', 'Something new')]

        def get_form_classes_for_display(self, **_: Any) -> dict[str, Any]:
            return dict.fromkeys(['IOO', 'X', 'FRODO'])

    assert types(Gateway('LT', None, Facility)) == {'IOO': 'IO:O', 'X': 'Something new', 'FRODO': 'FRODOSpec'}
