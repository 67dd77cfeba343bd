"""The form fields a cadence adds to a facility's observation form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from crispy_forms.layout import HTML, Column, Div, Layout, Row
from django import forms
from tom_observations.cadence import CadenceForm

from tom_cadence.core.parameters import DEFAULT_ERRORS, DEFAULT_NIGHTS, SKY_FIELDS, clean
from tom_cadence.core.relaxation import EXAMPLE
from tom_cadence.exceptions import NeedsAttention
from tom_followup.fields import InstantField

LIMITS = (
    'end_date',
    'max_observations',
    'max_exposure_time',
    'max_nights_without_success',
    'max_consecutive_failures',
    'count_from',
    'retry_backoff',
    'on_cancel',
)


class CadenceParametersForm(CadenceForm):
    """How often, and when it ends. Everything but the frequency may stay empty.

    ``cadence_fields`` names what is kept with the cadence; every cleaned value can be written as JSON. A subclass names its own
    fields in ``own_fields``, in the order in which they are shown, and overrides ``check`` to refuse what cannot work.
    """

    own_fields: ClassVar[tuple[str, ...]] = ('cadence_frequency',)

    cadence_frequency = forms.FloatField(min_value=0.01, label='Repeat every', help_text='Hours between observations.')
    end_date = InstantField(
        required=False, label='End date', help_text='UTC, or an MJD; no window starts after it. For example 2026-12-24 18:00.'
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
    max_nights_without_success = forms.IntegerField(
        required=False,
        min_value=1,
        label='Nights without success',
        help_text=f'After so many nights with a failure and without a success a person is asked; {DEFAULT_NIGHTS} if empty.',
    )
    max_consecutive_failures = forms.IntegerField(
        required=False,
        min_value=1,
        label='Failures in a row',
        help_text='After so many failed or refused observations a person is asked, lost nights included. If empty, after '
        f'{DEFAULT_ERRORS} errors or refusals; windows that merely ended are not counted then.',
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
            ('skip', 'is skipped: it goes on at the next interval'),
        ],
    )
    sky_min_altitude = forms.FloatField(
        required=False,
        min_value=0,
        max_value=89,
        label='Least altitude',
        help_text='Degrees above the horizon. A window in which the target is lower is moved to the next possible one.',
    )
    sky_max_airmass = forms.FloatField(
        required=False, min_value=1, max_value=20, label='Greatest airmass', help_text='As for the altitude; 2 is 30 degrees.'
    )
    sky_darkness = forms.ChoiceField(
        required=False,
        label='Darkness at the site',
        choices=[
            ('any', 'is not looked at'),
            ('civil', 'after civil twilight (Sun below -6 degrees)'),
            ('nautical', 'after nautical twilight (Sun below -12 degrees)'),
            ('astronomical', 'after astronomical twilight (Sun below -18 degrees)'),
        ],
    )
    sky_moon_distance = forms.FloatField(
        required=False, min_value=0, max_value=180, label='Least distance from the Moon', help_text='Degrees.'
    )
    relaxations = forms.CharField(
        required=False,
        label='Relaxed after failures',
        widget=forms.Textarea(attrs={'rows': 2}),
        help_text=f'What the next request asks for less strictly. For example: {EXAMPLE}',
    )
    cadence_fields: ClassVar[set[str]] = {*own_fields, *LIMITS, *SKY_FIELDS}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A subclass keeps its own fields with the cadence, and those of every cadence."""
        super().__init_subclass__(**kwargs)
        if 'own_fields' in cls.__dict__ and 'cadence_fields' not in cls.__dict__:
            cls.cadence_fields = {*cls.own_fields, *LIMITS, *SKY_FIELDS}

    def check(self, given: dict[str, Any]) -> None:
        """Refuse parameters that cannot work together: NeedsAttention, whose text begins with the name of the parameter."""

    def clean(self) -> dict[str, Any]:
        """Every parameter as the strategy will read it; what it could not use stands beside its field."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            clean(cleaned)
            self.check(cleaned)
        except NeedsAttention as error:
            name = re.split(r'[\s:]', str(error), maxsplit=1)[0]
            known = name in self.fields
            words = re.sub(rf'\A{name}(:| is)\s*', '', str(error)) if known else str(error)
            self.add_error(name if known else None, words[:1].upper() + words[1:])
        return cleaned

    def clean_end_date(self) -> str:
        """The end date as ISO text in UTC, or an empty text."""
        end = self.cleaned_data['end_date']
        return end.isoformat() if end else ''

    def cadence_layout(self) -> Layout:
        """The fields as they stand in the observation form; limits, and what may be asked of the sky, are folded away."""
        own = [name for name in self.own_fields if name in self.fields]
        folded = (('Limits and what happens after a failure', LIMITS), ('When the target can be observed', SKY_FIELDS))
        return Layout(
            'cadence_strategy',
            Div(
                HTML('<h5>Dynamic cadence</h5>'),
                *_rows(own),
                *[part for title, names in folded for part in self._folded(title, names)],
            ),
        )

    def _folded(self, title: str, names: Sequence[str]) -> list[Any]:
        shown = [name for name in names if name in self.fields]
        if not shown:
            return []
        return [HTML(f'<details class="mb-3"><summary>{title}</summary>'), *_rows(shown), HTML('</details>')]


def _rows(names: Sequence[str]) -> list[Any]:
    return [Row(*[Column(name) for name in names[i : i + 2]]) for i in range(0, len(names), 2)]
