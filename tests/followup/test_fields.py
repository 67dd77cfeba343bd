"""A field of ours that says UTC is UTC under every TIME_ZONE: typed, shown again, and with an error."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import cache
from typing import Any

import pytest
from django import forms
from django.utils import timezone as django_timezone
from hypothesis import given
from hypothesis import strategies as st

import tom_cadence
import tom_forced_phot
from tom_cadence.pages.start.forms import WindowForm
from tom_followup.fields import InstantField, MjdField
from tom_followup.units import mjd_of

ZONES = ['UTC', 'Asia/Tokyo', 'America/Santiago', 'Pacific/Chatham']
MOMENTS = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30)).map(lambda each: each.replace(second=0, microsecond=0))
SHIFTED = (forms.DateTimeField, forms.SplitDateTimeField, forms.DateField, forms.TimeField)


def classes() -> Iterator[type[forms.BaseForm]]:
    """Every form class of both apps."""
    for app in (tom_cadence, tom_forced_phot):
        for module in pkgutil.walk_packages(app.__path__, f'{app.__name__}.'):
            if '.migrations' in module.name or '.management' in module.name:
                continue
            for each in vars(importlib.import_module(module.name)).values():
                if isinstance(each, type) and issubclass(each, forms.BaseForm) and each.__module__ == module.name:
                    yield each


@cache
def dated() -> dict[str, InstantField]:
    """Every date field of every form, by its form and name."""
    found = {f'{each.__name__}.{name}': field for each in classes() for name, field in each.base_fields.items()}
    window = WindowForm(missing={'start': 'Start of the first window', 'end': 'End of the first window'})
    found |= {f'WindowForm.{name}': field for name, field in window.fields.items()}
    return {name: field for name, field in found.items() if isinstance(field, InstantField)}


def test_no_form_has_a_field_that_is_shifted_by_the_time_zone() -> None:
    names = [each.__name__ for each in classes()]
    assert len(names) > 20, 'every form was looked for'
    assert [
        (each.__name__, name) for each in classes() for name, field in each.base_fields.items() if isinstance(field, SHIFTED)
    ] == []
    for each in (
        'WindowForm.start',
        'CadenceParametersForm.end_date',
        'SubscriptionForm.until',
        'SwitchForm.peak',
        'AskForm.first',
    ):
        assert each in dated()


@given(zone=st.sampled_from(ZONES), moment=MOMENTS, shape=st.sampled_from(['%Y-%m-%d %H:%M', '%Y-%m-%dT%H:%MZ', '%d %B %Y %H:%M']))
def test_what_is_typed_shown_and_typed_again_is_the_same_instant(zone: str, moment: datetime, shape: str) -> None:
    wanted = moment.replace(tzinfo=timezone.utc)
    with django_timezone.override(zone):
        for name, field in dated().items():
            made = type('Form', (forms.Form,), {'date': field})
            typed = made({'date': moment.strftime(shape)})
            assert typed.is_valid(), (name, typed.errors)
            assert typed.cleaned_data['date'] == (mjd_of(wanted) if isinstance(field, MjdField) else wanted), name
            assert f'Read as {moment:%Y-%m-%d %H:%M} UTC, MJD ' in typed.as_p(), name
            shown = made(initial={'date': wanted})
            assert shown['date'].value() == f'{moment:%Y-%m-%d %H:%M}', name
            assert 'Read as' not in shown.as_p()
            assert made({'date': shown['date'].value()}).is_valid()


@pytest.mark.parametrize('zone', ZONES)
@pytest.mark.parametrize('typed', ['07/01/2024', 'soon', '1850-01-01', '<b>'])
def test_an_error_is_said_and_what_was_typed_stays(zone: str, typed: str) -> None:
    with django_timezone.override(zone):
        for name, field in dated().items():
            form: Any = type('Form', (forms.Form,), {'date': field})({'date': typed})
            assert not form.is_valid(), name
            assert 'a UTC date such as 2024-01-07 03:25' in form.errors['date'][0], name
            assert form['date'].value() == typed
            assert 'Read as' not in form.as_p()
