"""Every strategy's form: what it keeps can be read by its strategy, what cannot work stands beside its field in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.samples import NOON, cadence, history
from tom_cadence import registry
from tom_cadence.core.parameters import FIELDS, SKY_FIELDS
from tom_cadence.strategies.forms import LIMITS, CadenceParametersForm

RIGHT: dict[str, dict[str, Any]] = {
    'RetryFailedObservationsStrategy': {'cadence_frequency': 24},
    'ResumeCadenceAfterFailureStrategy': {'cadence_frequency': 24},
    'UntilSuccessStrategy': {'until_mode': 'period', 'until_days': 3},
    'StagedStrategy': {'staged_stages': '6h for 2 d, then daily for 10 days'},
    'BrightnessStrategy': {'bright_follow': 'brighter', 'bright_magnitude': 18, 'cadence_frequency': 24},
    'DeclineFollowingStrategy': {'decline_step': 0.2, 'cadence_frequency': 24},
    'PhaseCoverageStrategy': {'phase_epoch': 59000.5, 'phase_period': 5.366},
    'FillGapsStrategy': {'cadence_frequency': 48},
}
WRONG = [
    ('UntilSuccessStrategy', {'until_mode': 'period', 'until_days': ''}, 'until_days', 'Missing: say how long the period is.'),
    ('StagedStrategy', {'staged_stages': 'sometimes'}, 'staged_stages', "Stage 1, 'sometimes', cannot be read."),
    ('StagedStrategy', {'staged_from': 'date'}, 'staged_date', 'Missing: say which date'),
    ('BrightnessStrategy', {'bright_stop': 17}, 'bright_stop', 'it must be fainter than 18'),
    ('BrightnessStrategy', {'bright_table': 'bright: often'}, 'bright_table', "Row 1, 'bright: often', cannot be read."),
    ('DeclineFollowingStrategy', {'decline_least': 48, 'decline_most': 24}, 'decline_most', 'shorter than the shortest'),
    ('PhaseCoverageStrategy', {'phase_period': 0.001}, 'phase_bins', 'at least 2 are needed'),
    ('FillGapsStrategy', {'gap_ask': 'ATLAS', 'gap_patience': 90}, 'gap_patience', 'too late'),
    ('ResumeCadenceAfterFailureStrategy', {'relaxations': 'a lot'}, 'relaxations', "Step 1, 'a lot', cannot be read."),
    ('ResumeCadenceAfterFailureStrategy', {'sky_min_altitude': 95}, 'sky_min_altitude', 'less than or equal to 89'),
    ('ResumeCadenceAfterFailureStrategy', {'sky_max_airmass': 1}, 'sky_max_airmass', 'a number above 1'),
]


def form_of(name: str, **given: Any) -> Any:
    return registry.OURS and registry.import_string(registry.OURS[name]).form({**RIGHT[name], **given})


@pytest.mark.parametrize('name', registry.OURS)
def test_what_the_form_keeps_is_what_the_strategy_reads(name: str) -> None:
    form = form_of(name)
    assert form.is_valid(), form.errors
    kept = json.loads(json.dumps({key: form.cleaned_data.get(key) for key in form.cadence_fields}))
    strategy = registry.import_string(registry.OURS[name])(cadence(**kept))
    decision = strategy.decide(history('waiting'), NOON)
    assert 'not finished' in decision.reason
    assert strategy.decide(history('failed'), NOON).reason


@pytest.mark.parametrize('name', registry.OURS)
def test_everything_that_can_be_filled_in_is_kept_shown_and_explained(name: str) -> None:
    form = form_of(name)
    assert form.cadence_fields == {*form.own_fields, *LIMITS, *SKY_FIELDS}
    assert set(form.fields) - {'cadence_strategy', 'cadence_frequency'} <= form.cadence_fields
    shown = {pointer.name for pointer in form.cadence_layout().get_field_names()}
    assert form.cadence_fields <= shown
    for field in form.visible_fields():
        assert field.label
        explained = field.help_text or getattr(field.field, 'choices', ())
        assert explained, f'{field.name} is not explained'


@pytest.mark.parametrize(('name', 'given', 'field', 'words'), WRONG)
def test_what_cannot_work_stands_beside_its_field(name: str, given: dict[str, Any], field: str, words: str) -> None:
    form = form_of(name, **given)
    assert not form.is_valid()
    assert words in ' '.join(form.errors.get(field, [])), form.errors
    assert field not in ' '.join(form.errors[field])  # a person knows fields by their labels


def test_the_stages_are_kept_as_they_are_read() -> None:
    form = form_of('StagedStrategy')
    assert form.is_valid()
    assert form.cleaned_data['staged_stages'] == 'every 6 h for 2 days, then every 24 h for 10 days'


@pytest.mark.parametrize('name', registry.OURS)
def test_no_field_of_a_cadence_is_called_as_a_field_of_an_observation_form(name: str) -> None:
    """The host makes one form of both (tom_observations/views.py 223 of tomtoolkit 3.1.0): a shared name would be one field."""
    from tom_observations.facilities import lco, ocs

    forms = [lco.LCOImagingObservationForm, lco.LCOPhotometricSequenceForm, lco.LCOSpectroscopicSequenceForm, ocs.OCSBaseForm]
    taken = {field for form in forms for field in form.base_fields} | {'period', 'jitter', 'max_airmass', 'min_lunar_distance'}
    assert set(form_of(name).cadence_fields) & taken <= {'cadence_frequency'}


def test_the_layout_of_the_base_form_folds_limits_and_sky_away() -> None:
    text = str([getattr(part, 'html', '') for part in CadenceParametersForm().cadence_layout()[1].fields])
    assert text.count('<details') == text.count('</details>') == 2
    assert set(FIELDS) == CadenceParametersForm.cadence_fields
