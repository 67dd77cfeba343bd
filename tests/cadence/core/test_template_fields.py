"""What a template keeps and how it fills in a form, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.http import QueryDict

from tom_cadence.core import template_fields as core
from tom_cadence.facilities.user_forms import clean_singly, every_field_optional, filling

WINDOW = ('start', 'end')
RECORD = {
    'facility': 'LCO',
    'target_id': 4,
    'observation_type': 'IMAGING',
    'observation_id': '77',
    'name': 'SN 2011fe r',
    'start': '2026-11-20T08:00',
    'end_0': '2026-11-20',
    'end_1': '12:00',
    'filter': 'r',
    'exposure_time': 60.0,
    'dither': False,
    'empty': '',
    'c_1_target_override': '9',
    'csrfmiddlewaretoken': 'secret',
}


class Three(forms.MultiWidget):
    """Exposure time, count and block, as in the sequence forms of LCO."""

    def __init__(self) -> None:
        super().__init__([forms.NumberInput() for _ in range(3)])

    def decompress(self, value: Any) -> list[Any]:
        return list(value or [None, None, None])


class ThreeField(forms.MultiValueField):
    widget = Three

    def __init__(self, **kwargs: Any) -> None:
        super().__init__([forms.FloatField(), forms.IntegerField(), forms.IntegerField()], **kwargs)

    def compress(self, values: list[Any]) -> list[Any]:
        return values


class Form(forms.Form):
    facility = forms.CharField(widget=forms.HiddenInput)
    target_id = forms.IntegerField(widget=forms.HiddenInput)
    name = forms.CharField(max_length=20)
    start = forms.DateTimeField()
    end = forms.DateTimeField()
    filter = forms.ChoiceField(choices=[('r', 'red'), ('g', 'green')], initial='r', help_text='See <b>there</b>')
    exposure_time = forms.FloatField(min_value=0.1, initial=60)
    guide = forms.BooleanField(required=False)
    bands = forms.MultipleChoiceField(choices=[('a', 'a'), ('b', 'b')], required=False)
    B = ThreeField()

    def clean(self) -> dict[str, Any]:
        raise AssertionError('a template must not be checked as a whole observation')


def posted(**values: Any) -> Any:
    data = QueryDict(mutable=True)
    for name, value in values.items():
        data.setlist(name, value if isinstance(value, list) else [value])
    return data


def template_form(**values: Any) -> Any:
    form = every_field_optional(Form(), WINDOW)
    form.is_bound, form.data = True, posted(**values)
    return form


def test_everything_of_a_record_is_kept_but_target_window_and_identifiers() -> None:
    kept = core.from_record(RECORD, ['SN 2011fe', 'PTF11kly'], WINDOW)
    assert kept == {'name': '{target} r', 'filter': 'r', 'exposure_time': 60.0, 'dither': False}


def test_what_a_cadence_left_in_an_observation_is_kept_only_where_the_form_asks_it() -> None:
    kept = {'filter': 'r', 'cadence_frequency': 24}
    assert core.without_cadence(kept, ['filter']) == {'filter': 'r'}
    assert core.without_cadence(kept, ['filter', 'cadence_frequency']) == kept


def test_the_name_of_the_target_is_taken_out_whatever_its_case_but_not_out_of_other_words() -> None:
    given = {'name': 'sn 2011FE and SN 2011fex, M1'}
    assert core.from_record(given, ['SN 2011fe', 'M1'], WINDOW) == {'name': '{target} and SN 2011fex, {target}'}


@pytest.mark.parametrize('nothing', [None, [], 'text', 4])
def test_a_record_without_parameters_gives_an_empty_template(nothing: Any) -> None:
    assert core.from_record(nothing, ['x'], WINDOW) == {}
    assert core.parameter_lines(nothing) == []
    assert filling(nothing, {}) == {}


def test_blank_stays_blank() -> None:
    form = template_form(name='', filter='', exposure_time='', guide='unknown', B_0='', B_1='', B_2='')
    assert clean_singly(form) == {}
    assert not form.errors


def test_every_field_is_offered_and_none_is_required_or_chosen_beforehand() -> None:
    form = every_field_optional(Form(), WINDOW)
    assert list(form.fields) == ['name', 'filter', 'exposure_time', 'guide', 'bands', 'B']
    assert not any(field.required for field in form.fields.values())
    assert all(field.initial is None for field in form.fields.values())
    assert "60, the form's own default" in form.fields['exposure_time'].help_text
    assert form.fields['filter'].choices[0] == ('', 'Not set')
    assert form.fields['filter'].help_text == "See <b>there</b> Left blank: red, the form's own default."


def test_what_is_filled_in_comes_back_as_it_was() -> None:
    form = template_form(
        name='{target} r', filter='g', exposure_time='30', guide='false', bands=['a', 'b'], B_0='60', B_1='2', B_2=''
    )
    kept = clean_singly(form)
    expected = {'name': '{target} r', 'filter': 'g', 'exposure_time': 30.0, 'guide': False, 'bands': ['a', 'b']}
    assert kept == {**expected, 'B_0': '60', 'B_1': '2'}
    initial = filling(kept, Form().fields, 'M 31')
    assert (initial['name'], initial['B'], initial['guide']) == ('M 31 r', ['60', '2', ''], False)


def test_a_wrong_value_is_an_error_of_its_field_alone() -> None:
    form = template_form(exposure_time='long', filter='g')
    assert clean_singly(form) == {'filter': 'g'}
    assert list(form.errors) == ['exposure_time']


def test_fields_are_said_in_words() -> None:
    given = {**RECORD, 'c_2_ic_1_exposure_time': 30, 'B_0': 60, 'B_1': 2, 'bands': ['a', 'b'], 'guide': True}
    assert core.parameter_lines(given) == [
        ('Name', 'SN 2011fe r'),
        ('Filter', 'r'),
        ('Exposure time', '60'),
        ('Dither', 'no'),
        ('Exposure time (configuration 2, instrument 1)', '30'),
        ('B', '60 / 2'),
        ('Bands', 'a, b'),
        ('Guide', 'yes'),
    ]


@pytest.mark.parametrize(
    ('message', 'said'),
    [
        ('X: {"non_field_errors": ["Not visible."]}', 'X: Not visible.'),
        ('X: {"end": ["Too late."], "requests": [{"ipp_value": "too high"}]}', 'X: End: Too late. IPP value: too high'),
        ('500 Server Error for url: http://10.0.0.1/api/', '500 Server Error'),
        ('plain {target} words', 'plain {target} words'),
    ],
)
def test_a_message_of_a_facility_is_shown_in_words(message: str, said: str) -> None:
    assert core.in_words(message) == said
