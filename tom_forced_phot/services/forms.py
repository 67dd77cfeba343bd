"""Forms that ask a service: the base that the host's page shows, and a field for dates in either notation."""

from __future__ import annotations

from typing import Any

from crispy_forms.helper import FormHelper
from crispy_forms.layout import ButtonHolder, Layout, Submit
from django import forms

from tom_forced_phot.dates import read_date


class DateField(forms.CharField):
    """A date as MJD or calendar date (UTC); its cleaned value is an MJD (float), or None where it is left out."""

    def __init__(self, **given: Any) -> None:
        """As any field; with a help text that says what may be written."""
        given.setdefault('help_text', 'UTC: an MJD such as 60316.5, or a date such as 2024-01-07 03:25.')
        super().__init__(**given)

    def clean(self, value: Any) -> float | None:
        """An MJD."""
        text = super().clean(value)
        if not text:
            return None
        try:
            return read_date(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


class BaseForcedPhotometryQueryForm(forms.Form):
    """The form of one service for one target; subclasses add fields and say in ``layout()`` how they are shown."""

    service = forms.CharField(required=True, max_length=50, widget=forms.HiddenInput())
    target_id = forms.IntegerField(required=True, widget=forms.HiddenInput())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As any form."""
        super().__init__(*args, **kwargs)
        self.helper = FormHelper()
        self.common_layout = Layout('service', 'target_id')
        self.helper.layout = Layout(self.common_layout, self.layout(), self.button_layout())

    def layout(self) -> Any:
        """The service's own fields."""
        return Layout(*[name for name in self.fields if name not in ('service', 'target_id')])

    def button_layout(self) -> Any:
        """The button."""
        return ButtonHolder(Submit('submit', 'Ask'))


class DatesForm(BaseForcedPhotometryQueryForm):
    """From and until, each in either notation."""

    min_date = DateField(required=False, label='From')
    max_date = DateField(required=False, label='Until')

    def clean(self) -> dict[str, Any]:
        """From before until."""
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get('min_date'), cleaned.get('max_date')
        if first is not None and last is not None and last <= first:
            self.add_error('max_date', 'The end must be later than the beginning.')
        return cleaned
