"""The switches of a light curve as a form: their words, their errors, and the options they stand for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.http import QueryDict

from tom_forced_phot.lightcurve.options import CUTS_OF, STACKS, Options

NO_CUT = ('', 'none')
#: Keys of an address that belong to the view of the light curve; ``x`` and ``y`` are what is zoomed to.
KEYS = ('flux', 'snr', 'atlas', 'ztf', 'clip', 'stack', 'days', 'nolimits', 'noerrors', 'windows', 'hide', 'x', 'y')


class SwitchForm(forms.Form):
    """Every field may be left out: then points are as they are stored."""

    template_name = 'tom_forced_phot/partials/lightcurve_switches.html'

    snr = forms.FloatField(
        required=False, min_value=0.1, max_value=1000, label='Detections above S/N', help_text='Empty: as each service says.',
        widget=forms.NumberInput(attrs={'step': 'any', 'placeholder': 'as stored', 'inputmode': 'decimal'}),
    )  # fmt: skip
    atlas = forms.ChoiceField(required=False, choices=[NO_CUT, *CUTS_OF['ATLAS'].items()], label='Quality cut for ATLAS')
    ztf = forms.ChoiceField(required=False, choices=[NO_CUT, *CUTS_OF['ZTF'].items()], label='Quality cut for ZTF')
    stack = forms.ChoiceField(required=False, choices=[('', 'single exposures'), *STACKS.items()], label='Each night')
    days = forms.FloatField(
        required=False, min_value=0.01, max_value=1000, label='Nights per mean',
        widget=forms.NumberInput(attrs={'step': 'any', 'placeholder': '1', 'inputmode': 'decimal'}),
    )  # fmt: skip
    flux = forms.BooleanField(required=False, label='Flux instead of magnitudes')
    clip = forms.BooleanField(required=False, label='Clip outliers')
    nolimits = forms.BooleanField(required=False, label='Hide limits')
    noerrors = forms.BooleanField(required=False, label='Hide error bars')
    windows = forms.BooleanField(required=False, label='Windows of cadences')

    def __init__(self, data: QueryDict, *, windows: bool, **given: Any) -> None:
        """``windows``: whether there are cadences to draw windows of. Ids do not collide with others of a target's page."""
        super().__init__(data, auto_id='lc-%s', **given)
        if not windows:
            del self.fields['windows']
        for name, field in self.fields.items():
            kind = 'form-check-input' if isinstance(field, forms.BooleanField) else 'form-control form-control-sm'
            kind = 'form-select form-select-sm' if isinstance(field, forms.ChoiceField) else kind
            field.widget.attrs['class'] = kind + (' is-invalid' if name in self.errors else '')
            if name in self.errors:
                field.widget.attrs['aria-invalid'] = 'true'

    def options(self, hidden: Iterable[str]) -> Options:
        """What was chosen; only of a form that is valid."""
        chosen = self.cleaned_data
        return Options(
            snr=chosen['snr'],
            cuts=tuple(name for name in (chosen['atlas'], chosen['ztf']) if name),
            clip=chosen['clip'],
            stack=chosen['stack'],
            days=chosen['days'] or 1.0,
            hide=frozenset(hidden),
        )


def span(text: str) -> tuple[float | None, float | None]:
    """The two MJD of an address's ``x=59000.5,59010``; nothing where it is not that."""
    try:
        first, last = (float(part) for part in text.split(','))
    except ValueError:
        return None, None
    return (first, last) if first < last else (None, None)
