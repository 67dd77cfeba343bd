"""Filling in a facility's form from stored parameters: no stale window, one value per input, errors in one line."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.utils import timezone as django_timezone

from tests.support.samples import window
from tom_cadence.core.windows import read_instant
from tom_cadence.exceptions import NeedsAttention, Refused
from tom_cadence.facilities import forms as filling
from tom_cadence.facilities import ocs

KEYS = ('start', 'end')
NEXT = window(20)


def test_the_new_window_takes_the_shape_of_the_old_one() -> None:
    stored = {'start': '2026-11-20T08:00', 'end': '2026-11-20 12:00:00Z', 'filter': 'r'}
    new = filling.with_window(stored, KEYS, NEXT)
    assert new == {'start': '2026-11-22T08:00', 'end': '2026-11-22 12:00:00Z', 'filter': 'r'}
    assert stored['start'] == '2026-11-20T08:00'


def test_split_date_fields_never_go_stale() -> None:
    stored = {'start_0': '2026-11-20', 'start_1': '08:00', 'end_0': '2026-11-20', 'end_1': '12:00', 'start': '', 'end': None}
    new = filling.with_window(stored, KEYS, NEXT)
    assert not {'start_0', 'start_1', 'end_0', 'end_1'} & set(new)
    assert read_instant(new['start']) == NEXT.start
    assert read_instant(new['end']) == NEXT.end


def test_other_names_of_the_window_are_honoured() -> None:
    new = filling.with_window({'begin': '2026-11-20T08:00', 'start': 'kept'}, ('begin', 'finish'), NEXT)
    assert new == {'begin': '2026-11-22T08:00', 'finish': '2026-11-22T12:00:00+00:00', 'start': 'kept'}


class SplitForm(forms.Form):
    """A window of two inputs each, as some facilities have."""

    start = forms.SplitDateTimeField()
    filter = forms.CharField()

    def __init__(self, *args: Any, facility: Any = None, **kwargs: Any) -> None:
        self.facility = facility
        super().__init__(*args, **kwargs)


FACILITY = SimpleNamespace(get_form=lambda kind: SplitForm, get_start_end_keywords=lambda: KEYS)


@pytest.mark.parametrize('value', ['2026-11-22T08:00', '2026-11-22T08:00:00Z', '2026-11-22T17:00+09:00', ['2026-11-22', '08:00']])
def test_a_split_field_gets_one_value_per_input(value: Any) -> None:
    form = filling.bind(FACILITY, 'IMAGING', {'start': value, 'filter': 'r'}, NEXT)
    with django_timezone.override(timezone.utc):
        assert form.is_valid(), form.errors
    assert form.cleaned_data['start'] == NEXT.start
    assert form.facility is FACILITY


def test_errors_are_one_line_with_the_field_s_name() -> None:
    class Strict(forms.Form):
        start = forms.DateTimeField()
        size = forms.IntegerField(max_value=3)

        def clean(self) -> None:
            raise forms.ValidationError(['Not visible.', 'Too near the moon.'])

    text = filling.form_errors(Strict({'start': 'soon', 'size': 7}))
    assert 'start: Enter a valid date/time.' in text
    assert 'size: Ensure this value is less than or equal to 3.' in text
    assert 'Not visible. Too near the moon.' in text
    assert '__all__' not in text
    assert '\n' not in text


class Keeping(forms.Form):
    """A form with the toolkit's serialisation."""

    filter = forms.CharField(required=False)
    gone = forms.CharField(required=False)

    def serialize_parameters(self) -> dict[str, Any]:
        return dict(self.kept)


def kept(**values: Any) -> Any:
    form = Keeping({})
    form.kept = values
    return form


def test_the_record_keeps_the_form_s_parameters_and_what_stood_beside_the_form() -> None:
    found = filling.serialized(kept(filter='g'), {'filter': 'r', 'gone': 'old', 'sent_by': 'a script'})
    assert found == {'filter': 'g', 'sent_by': 'a script'}


def test_dates_become_text() -> None:
    found = filling.serialized(kept(start=datetime(2026, 11, 22, 8, tzinfo=timezone.utc)), {})
    assert read_instant(found['start']) == NEXT.start


@pytest.mark.parametrize('value', [math.nan, math.inf, object(), {1, 2}, b'x'])
def test_what_cannot_be_kept_is_refused_before_it_is_booked(value: Any) -> None:
    with pytest.raises(Refused, match='cannot be kept'):
        filling.serialized(kept(exposure_time=value), {})


@pytest.mark.parametrize('parameters', [None, [], 'text', 5])
def test_a_record_without_a_form_s_parameters_asks_for_a_person(parameters: Any) -> None:
    with pytest.raises(NeedsAttention, match='no parameters'):
        filling.observation_type(parameters)


@pytest.mark.parametrize(
    ('parameters', 'many'),
    [({}, False), ({'period': 24, 'jitter': 2}, True), ({'period': 24, 'jitter': ''}, False), ({'period': None, 'jitter': 1}, 0)],
)
def test_a_form_s_own_static_cadence_is_several_requests_in_one_call(parameters: dict[str, Any], many: bool) -> None:
    assert ocs.many_in_one_call(parameters) == many
