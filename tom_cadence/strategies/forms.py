"""The form fields a cadence adds to a facility's observation form."""

from __future__ import annotations

from typing import ClassVar

from crispy_forms.layout import HTML, Column, Div, Layout, Row
from django import forms
from tom_observations.cadence import CadenceForm

from tom_cadence.exceptions import NeedsAttention
from tom_cadence.parameters import clean

_OPTIONAL = (
    'end_date',
    'max_observations',
    'max_exposure_time',
    'max_consecutive_failures',
    'count_from',
    'retry_backoff',
    'on_cancel',
)


class CadenceParametersForm(CadenceForm):
    """How often, and when it ends. Everything but the frequency may stay empty.

    ``cadence_fields`` names what is kept with the cadence; every cleaned value can be written as JSON.
    """

    cadence_frequency = forms.FloatField(min_value=0.01, label='Repeat every', help_text='Hours between observations.')
    end_date = forms.CharField(
        required=False, label='End date', help_text='UTC; no window starts after it. For example 2026-12-24 18:00.'
    )
    max_observations = forms.IntegerField(
        required=False, min_value=1, label='Observations in all', help_text='The cadence ends after so many.'
    )
    max_exposure_time = forms.FloatField(
        required=False,
        min_value=0.1,
        label='Exposure time in all',
        help_text='Seconds; the cadence ends before it is exceeded.',
    )
    max_consecutive_failures = forms.IntegerField(
        required=False,
        min_value=1,
        label='Failures in a row',
        help_text='After so many failed or refused observations a person is asked; 5 if empty.',
    )
    count_from = forms.ChoiceField(
        required=False,
        label='Next window counts from',
        choices=[('requested', 'the requested start'), ('observed', 'the real observation')],
    )
    retry_backoff = forms.FloatField(
        required=False,
        min_value=0,
        label='Pause after a failure',
        help_text='Hours before a failed observation is asked again.',
    )
    on_cancel = forms.ChoiceField(
        required=False,
        label='A cancelled observation',
        choices=[
            ('default', 'is treated as this TOM is set up to'),
            ('ignore', 'is not asked for again'),
            ('resubmit', 'is asked for again'),
        ],
    )
    cadence_fields: ClassVar[set[str]] = {'cadence_frequency', *_OPTIONAL}

    def clean_end_date(self) -> str:
        """The end date as ISO text in UTC, or an empty text."""
        text = self.cleaned_data['end_date']
        if not text:
            return ''
        try:
            end = clean({'end_date': text}).end_date
        except NeedsAttention as error:
            raise forms.ValidationError(str(error)) from error
        return end.isoformat() if end else ''

    def cadence_layout(self) -> Layout:
        """The fields as they stand in the observation form, the limits folded away."""
        limits = [name for name in _OPTIONAL if name in self.fields]
        return Layout(
            'cadence_strategy',
            Div(
                HTML('<h5>Dynamic cadence</h5>'),
                Row(Column('cadence_frequency')),
                HTML('<details class="mb-3"><summary>Limits and what happens after a failure</summary>'),
                *[Row(*[Column(name) for name in limits[i : i + 2]]) for i in range(0, len(limits), 2)],
                HTML('</details>'),
            ),
        )
