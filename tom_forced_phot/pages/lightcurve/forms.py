"""The switches of a light curve as a form: their words, their errors, and the options they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from tom_forced_phot.lightcurve.bands import LAWS, R_V, USUAL_LAW, Dust
from tom_forced_phot.lightcurve.options import STACKS, Baseline, Distance, Options
from tom_forced_phot.lightcurve.times import LONGEST, SHORTEST, Search
from tom_forced_phot.services import DateField, ForcedPhotometryService

NONE = 'none'
LAW_CHOICES = [('', LAWS[USUAL_LAW]), *((key, words) for key, words in LAWS.items() if key != USUAL_LAW)]
NIGHT_CHOICES = [('', 'single exposures'), *STACKS.items()]
Services = Mapping[str, type[ForcedPhotometryService]]
#: Switches that are folded away until one of them is used, under what they are called together.
FOLDED = {
    'Baseline': ('peak', 'quiet_from', 'quiet_until', 'rescale'),
    'Phase and period': ('since', 'period', 'search', 'shortest', 'longest'),
    'Dust and distance': ('ebv', 'law', 'r_v', 'redshift', 'mpc'),
}


@dataclass(frozen=True)
class Fold:
    """Switches that belong together; ``open`` where one of them is used, or wrong. Those without words are never folded."""

    words: str
    fields: list[forms.BoundField]
    open: bool


def attributes(given: Mapping[str, Any]) -> SafeString:
    """The attributes of an element."""
    there = {name: value for name, value in given.items() if value is not None and value is not False}
    written = (f' {name}' if value is True else f' {name}="{escape(value)}"' for name, value in there.items())
    return mark_safe(''.join(written))  # noqa: S308 - each value is escaped


class Written:
    """An ``input`` written without a template of its own, which takes ten times as long and says the same."""

    def _render(self, template_name: str, context: dict[str, Any], renderer: Any = None) -> SafeString:
        widget = context['widget']
        value = '' if widget['value'] in (None, '') else format_html(' value="{}"', widget['value'])
        return format_html('<input type="{}" name="{}"{}{}>', widget['type'], widget['name'], value, attributes(widget['attrs']))


class Number(Written, forms.NumberInput):
    """A number."""


class Line(Written, forms.TextInput):
    """A line of text."""


class Switch(Written, forms.CheckboxInput):
    """On or off."""


class Choice(forms.Select):
    """One of some, written in the same way."""

    def _render(self, template_name: str, context: dict[str, Any], renderer: Any = None) -> SafeString:
        widget = context['widget']
        given = ((each['value'], attributes(each['attrs']), each['label']) for _, group, _ in widget['optgroups'] for each in group)
        options = format_html_join('', '<option value="{}"{}>{}</option>', given)
        return format_html('<select name="{}"{}>{}</select>', widget['name'], attributes(widget['attrs']), options)


def switch(label: str) -> forms.BooleanField:
    """On or off."""
    return forms.BooleanField(required=False, label=label, widget=Switch)


def number(label: str, placeholder: str, low: float, high: float, help_text: str = '') -> forms.FloatField:
    """A number that may be left out."""
    widget = Number(attrs={'step': 'any', 'placeholder': placeholder, 'inputmode': 'decimal'})
    return forms.FloatField(required=False, min_value=low, max_value=high, label=label, help_text=help_text, widget=widget)


def date(label: str) -> DateField:
    """A date that may be left out."""
    return DateField(required=False, label=label, widget=Line(attrs={'placeholder': 'MJD or date (UTC)'}))


class SwitchForm(forms.Form):
    """Every field may be left out: then points are as they are stored, but for the usual cut of a service that has one."""

    template_name = 'tom_forced_phot/partials/lightcurve_switches.html'

    snr = number('Detections above S/N', 'as stored', 0.1, 1000, 'Empty: as each service says.')
    stack = forms.ChoiceField(
        required=False, choices=[('', 'single exposures'), *STACKS.items()], label='Each night', widget=Choice
    )
    days = number('Nights per mean', '1', 0.01, 1000)
    peak = date('Date of the maximum')
    quiet_from = date('Or quiet from')
    quiet_until = date('Until')
    since = date('Days since, or phase 0')
    period = number('Period (days)', 'not folded', 1e-4, 1e5)
    search = switch('Find a period (Lomb-Scargle)')
    shortest = number('Not shorter than (days)', f'{SHORTEST:g}', 1e-3, 1e4)
    longest = number('Not longer than (days)', f'{LONGEST:g}', 1e-2, 1e5)
    ebv = number('E(B-V) of the Galaxy', 'not corrected', 0, 20)
    law = forms.ChoiceField(
        required=False,
        choices=LAW_CHOICES,
        label='Law of extinction',
        widget=Choice,
    )
    r_v = number('R(V)', f'{R_V:g}', 1.5, 7)
    redshift = number('Redshift', 'apparent magnitudes', 1e-6, 20)
    mpc = number('Or distance (Mpc)', 'apparent magnitudes', 1e-6, 1e5)
    rescale = switch('Scale errors to their scatter')
    flux = switch('Flux instead of magnitudes')
    inflate = switch('Errors from control light curves')
    clip = switch('Clip outliers')
    nolimits = switch('Hide limits')
    noerrors = switch('Hide error bars')
    windows = switch('Windows of cadences')

    def __init__(self, data: QueryDict, *, services: Services, windows: bool, **given: Any) -> None:
        """``services``: those with cuts of their own. ``windows``: whether there are cadences to draw windows of.

        Ids do not collide with others of a target's page.
        """
        super().__init__(data, auto_id='lc-%s', **given)
        self.services = {name: service for name, service in sorted(services.items()) if service.cuts}
        self.baselined = frozenset(name for name, service in services.items() if service.has_baseline)
        for name, service in self.services.items():
            self.fields[key_of(name)] = cut_field(name, service)
        self.order_fields(['snr', *map(key_of, self.services)])
        absent = [] if windows else ['windows']
        self.inflated = {name: service.inflated_error for name, service in services.items() if service.inflated_error}
        absent += [] if self.inflated else ['inflate']
        absent += [] if self.baselined else FOLDED['Baseline']
        for name in absent:
            del self.fields[name]
        for name, field in self.fields.items():
            kind = 'form-check-input' if isinstance(field, forms.BooleanField) else 'form-control form-control-sm'
            kind = 'form-select form-select-sm' if isinstance(field, forms.ChoiceField) else kind
            field.widget.attrs['class'] = kind + (' is-invalid' if name in self.errors else '')
            if name in self.errors:
                field.widget.attrs['aria-invalid'] = 'true'

    def groups(self) -> Iterator[Fold]:
        """The switches that are always in sight; then those that are folded away, open where one of them is used, or wrong."""
        folded = {name for names in FOLDED.values() for name in names}
        yield Fold('', [self[name] for name in self.fields if name not in folded], True)
        for words, names in FOLDED.items():
            there = [self[name] for name in names if name in self.fields]
            if there:
                services = f' of {" and ".join(sorted(self.baselined))}' if words == 'Baseline' else ''
                yield Fold(words + services, there, any(field.data or field.errors for field in there))

    def clean(self) -> dict[str, Any]:
        """A maximum or an interval, and that whole and forwards."""
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get('quiet_from'), cleaned.get('quiet_until')
        if (first is None) != (last is None) and not ({'quiet_from', 'quiet_until'} & set(self.errors)):
            self.add_error('quiet_until' if last is None else 'quiet_from', 'An interval has two ends.')
        elif first is not None and last is not None and last <= first:
            self.add_error('quiet_until', 'The end must be later than the beginning.')
        if cleaned.get('peak') is not None and (first is not None or last is not None):
            self.add_error('peak', 'Give the maximum, or an interval without its light, not both.')
        if cleaned.get('redshift') is not None and cleaned.get('mpc') is not None:
            self.add_error('mpc', 'Give the redshift or the distance, not both.')
        if cleaned.get('search') and cleaned.get('period') is not None:
            self.add_error('period', 'Give the period, or let it be found, not both.')
        if (cleaned.get('shortest') or SHORTEST) >= (cleaned.get('longest') or LONGEST):
            self.add_error('longest', 'The longest period must be longer than the shortest.')
        return cleaned

    def options(self, hidden: Iterable[str], *, shown: bool = False) -> Options:
        """What was chosen; only of a form that is valid. ``shown``: with the columns of quality that a file has."""
        chosen = self.cleaned_data
        cuts = {name: chosen[key_of(name)] or service.usual_cut for name, service in self.services.items()}
        law, r_v, search = chosen['law'] or USUAL_LAW, chosen['r_v'] or R_V, None
        if chosen['search']:
            search = Search(shortest=chosen['shortest'] or SHORTEST, longest=chosen['longest'] or LONGEST)
        far = chosen['redshift'] is not None or chosen['mpc'] is not None
        return Options(
            snr=chosen['snr'],
            cuts={name: self.services[name].cuts[cut] for name, cut in cuts.items() if cut and cut != NONE},
            baseline=self._baseline(),
            baselined=self.baselined,
            inflated=self.inflated if chosen.get('inflate') else {},
            dust=None if chosen['ebv'] is None else Dust(ebv=chosen['ebv'], law=law, r_v=r_v),
            distance=Distance(redshift=chosen['redshift'], mpc=chosen['mpc']) if far else None,
            since=chosen['since'],
            period=chosen['period'],
            search=search,
            clip=chosen['clip'],
            stack=chosen['stack'],
            days=chosen['days'] or 1.0,
            hide=frozenset(hidden),
            shown={name: service.quality for name, service in self.services.items()} if shown else {},
        )

    def _baseline(self) -> Baseline | None:
        peak, first, last = (self.cleaned_data.get(name) for name in ('peak', 'quiet_from', 'quiet_until'))
        rescale = bool(self.cleaned_data.get('rescale'))
        if peak is not None:
            return Baseline(peak=peak, rescale=rescale)
        return None if first is None or last is None else Baseline(quiet=(first, last), rescale=rescale)


def key_of(service: str) -> str:
    """The name of the service's cut in an address."""
    return ''.join(letter for letter in service.lower() if letter.isalnum()) or 'service'


def cut_field(name: str, service: type[ForcedPhotometryService]) -> forms.ChoiceField:
    """Its cuts, first the one that a light curve opens with."""
    usual = service.cuts.get(service.usual_cut)
    others = [(key, cut.switch or cut.name) for key, cut in service.cuts.items() if cut is not usual]
    first = [('', 'none')] if usual is None else [('', usual.switch or usual.name), (NONE, 'none: every point')]
    return forms.ChoiceField(required=False, choices=[*first, *others], label=f'Quality cut for {name}', widget=Choice)


def span(text: str) -> tuple[float | None, float | None]:
    """The two MJD of an address's ``x=59000.5,59010``; nothing where it is not that."""
    try:
        first, last = (float(part) for part in text.split(','))
    except ValueError:
        return None, None
    return (first, last) if first < last else (None, None)
