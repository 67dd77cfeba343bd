"""Form fields of both apps: rows by their keys; instants as texts, which are UTC under every TIME_ZONE and say what was read."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from django import forms

from tom_followup.dates import UTC, instant_of, normalised, read_date, read_instant
from tom_followup.pages import read_pk

HELP = 'UTC: a date such as 2024-01-07 03:25, or an MJD such as 60316.5.'


class InstantField(forms.CharField):
    """An instant; its cleaned value is aware UTC, or None where it is left out.

    It is a text on purpose: Django's own date fields shift what is typed, and what is shown, by the TOM's TIME_ZONE.
    """

    def __init__(self, **given: Any) -> None:
        """As any field; with a help text that says what may be written."""
        given.setdefault('help_text', HELP)
        super().__init__(**given)

    def clean(self, value: Any) -> Any:
        """An aware instant in UTC."""
        text = super().clean(value)
        if not text:
            return None
        try:
            return self.read(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def read(self, text: str) -> Any:
        """The cleaned value of a text; ValueError with a sentence where it is no date."""
        return read_instant(text)

    def prepare_value(self, value: Any) -> Any:
        """An instant as a person would type it."""
        if not isinstance(value, datetime):
            return value
        utc = value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)
        return utc.strftime('%Y-%m-%d %H:%M:%S' if utc.second else '%Y-%m-%d %H:%M')

    def get_bound_field(self, form: Any, field_name: str) -> forms.BoundField:
        """The field of a form; once it is filled in, its help says what was read."""
        bound = super().get_bound_field(form, field_name)
        text = bound.data if form.is_bound else None
        if isinstance(text, str) and text.strip():
            with suppress(ValueError):  # said as the field's error
                bound.help_text = f'{bound.help_text} Read as {normalised(read_instant(text))}.'.strip()
        return bound


class RowsField(forms.ModelMultipleChoiceField):
    """Several rows; a key that no database can compare is refused as any other that is not offered, where Django's would raise."""

    def clean(self, value: Any) -> Any:
        """The rows chosen."""
        for key in value if isinstance(value, (list, tuple)) else ():
            if read_pk(key) is None:
                raise forms.ValidationError(
                    self.error_messages['invalid_choice'], code='invalid_choice', params={'value': str(key)[:50]}
                )
        return super().clean(value)


class MjdField(InstantField):
    """The same; its cleaned value is an MJD (float)."""

    def read(self, text: str) -> float:
        """All digits of a number are kept."""
        return read_date(text)

    def prepare_value(self, value: Any) -> Any:
        """An MJD as the instant it is, where it is given as a number."""
        return super().prepare_value(instant_of(value) if isinstance(value, float) else value)
