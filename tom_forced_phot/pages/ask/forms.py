"""The form of the asking page: targets, services, dates. What each service asks besides is in its own form."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from crispy_forms.helper import FormHelper
from crispy_forms.layout import Layout
from crispy_forms.utils import render_crispy_form
from django import forms
from django.db.models import Q
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.text import slugify
from tom_targets.models import TargetList

from tom_followup.pages import read_pks
from tom_forced_phot import registry
from tom_forced_phot.exceptions import Refused
from tom_forced_phot.pages.ask import preview
from tom_forced_phot.pages.ask.preview import Order
from tom_forced_phot.pages.ask.words import WORDS, Dates, When, limits, notes_for, problems
from tom_forced_phot.permissions import askable_targets, visible_lists, visible_targets
from tom_forced_phot.queries import accounts
from tom_forced_phot.queries.ask import hindrance, refused_in_words
from tom_forced_phot.services.base import DateField, ForcedPhotometryService

logger = logging.getLogger(__name__)
MOST_TARGETS = 1000
#: A preview counts so long; an older one is made anew.
PREVIEW_COUNTS = timedelta(hours=12)
GONE = 'There is no such target, or you may not see it: {number} of those that were chosen.'
SHOWN = 5


def search(user: Any, text: str, most: int = 20) -> Any:
    """Targets this user may ask about, with ``text`` in their name or one of their aliases."""
    if not text:
        return []
    named = Q(name__icontains=text) | Q(aliases__name__icontains=text)
    return askable_targets(user).filter(named).distinct().order_by('name')[:most]


class AskForm(forms.Form):
    """Which targets, which services, which dates."""

    targets = forms.CharField(required=False, widget=forms.MultipleHiddenInput)
    target_list = forms.ModelChoiceField(
        TargetList.objects.none(),
        required=False,
        label='And all targets of a list',
        empty_label='No list',
        error_messages={'invalid_choice': 'There is no such list, or you may not see it.'},
    )
    services = forms.MultipleChoiceField(
        label='Services',
        error_messages={
            'required': 'Tick at least one service.',
            'invalid_choice': '%(value)s cannot be asked here: it is not configured.',
        },
    )
    when = forms.ChoiceField(label='Period', choices=[(each.value, words) for each, words in WORDS.items()], initial='last')
    first = DateField(required=False, label='From', max_length=40, help_text='')
    last = DateField(required=False, label='Until', max_length=40, help_text='')
    moment = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, user: Any, services: Sequence[str], *args: Any, **kwargs: Any) -> None:
        """``services`` are those that can be asked; others are refused by name."""
        super().__init__(*args, **kwargs)
        self.user = user
        self.chosen: list[Any] = []
        fields: Any = self.fields
        fields['target_list'].queryset = visible_lists(user)
        fields['services'].choices = [(name, name) for name in services]

    def picked(self) -> list[int]:
        """The targets that were chosen one by one, as they were sent."""
        data: Any = self.data
        return read_pks(data.getlist('targets')) if self.is_bound else read_pks([str(self.initial.get('targets', ''))])

    def dates(self) -> Dates:
        """The dates as they were chosen."""
        cleaned = self.cleaned_data
        when = When(cleaned.get('when') or When.LAST)
        return Dates(when=when, first=cleaned.get('first'), last=cleaned.get('last'))

    def seen(self, now: datetime) -> datetime:
        """When the preview was made; now where there was none, or only a very old one."""
        try:
            found = parse_datetime(str(self.data.get('moment', '')))
        except ValueError:
            found = None
        return found if found is not None and found.tzinfo and now - PREVIEW_COUNTS <= found <= now else now

    def clean(self) -> dict[str, Any]:
        """There must be a target, all of them such as may be asked about; the dates must make sense."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        self._clean_targets(cleaned.get('target_list'))
        if cleaned.get('when') and not {'first', 'last'} & set(self.errors):
            for name, text in problems(self.dates()).items():
                self.add_error(name, text)
        return cleaned

    def _clean_targets(self, target_list: Any) -> None:
        picked = self.picked()
        seen = visible_targets(self.user)
        wanted = Q(pk__in=picked) | Q(targetlist=target_list) if target_list else Q(pk__in=picked)
        found = list(seen.filter(wanted).distinct().order_by('name', 'pk')[: MOST_TARGETS + 1])
        missing = len(set(picked) - set(seen.filter(pk__in=picked).values_list('pk', flat=True)))
        if missing:
            self.add_error('targets', GONE.format(number=missing))
        if len(found) > MOST_TARGETS:
            self.add_error('targets', f'These are more than {MOST_TARGETS} targets: ask in parts, or make a subscription.')
            return
        mine = set(askable_targets(self.user).filter(pk__in=[each.pk for each in found]).values_list('pk', flat=True))
        others = [each.name for each in found if each.pk not in mine]
        if others:
            names = ', '.join(others[:SHOWN]) + (f' and {len(others) - SHOWN} more' if len(others) > SHOWN else '')
            self.add_error('targets', f'You may look at these targets, but not add data to them, so not ask: {names}.')
        self.chosen = [each for each in found if each.pk in mine]
        if not found and not missing and 'target_list' not in self.errors:
            empty = f'There is no target in the list {target_list.name} that you may see.' if target_list else ''
            self.add_error('targets', empty or 'Choose at least one target: search for it, or choose a list.')


DATES = ('min_date', 'max_date')
ALWAYS = ('service', 'target_id')
BAD_ENTRY = 'Its entry in the settings is wrong; manage.py check says what.'
NO_FORM = 'The form of this service cannot be made; whoever runs this TOM finds the reason in the log.'


@dataclass
class Card:
    """One service as the page shows it."""

    name: str
    problem: str = ''
    own_account: bool = False
    service: ForcedPhotometryService | None = None
    form: Any = None
    ticked: bool = False
    key: str = ''
    words: list[str] = field(default_factory=list)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dated(self) -> bool:
        """Whether its form takes the dates of the page."""
        return self.form is not None and all(isinstance(self.form.fields.get(name), DateField) for name in DATES)

    @property
    def notes(self) -> str:
        """What the service says about itself."""
        return notes_for(self.about.get('service_notes'), dated=self.dated)

    @property
    def own_fields(self) -> list[str]:
        """What it asks besides."""
        hidden = {*ALWAYS, *(DATES if self.dated else ())}
        return [] if self.form is None else [name for name in self.form.fields if name not in hidden]

    @property
    def unfolded(self) -> bool:
        """Whether its fields must be looked at: one is wrong, or one is needed and has no value yet."""
        if self.form is None or not self.ticked:
            return False
        if self.form.is_bound:
            return bool(self.form.errors)
        fields = self.form.fields
        return any(
            fields[name].required and self.form.get_initial_for_field(fields[name], name) is None for name in self.own_fields
        )

    def shown(self) -> str:
        """Its fields as it lays them out, without a button and without a form of its own."""
        try:
            return self._laid_out()
        except Exception:  # the site's own code
            logger.exception('A form cannot be shown', extra={'event': 'form_not_shown', 'service': self.name})
            return format_html('<p class="text-danger">{}</p>', NO_FORM)

    def _laid_out(self) -> str:
        helper = FormHelper()
        helper.form_tag = False
        helper.disable_csrf = True
        laid_out = getattr(self.form, 'layout', None)
        layout = Layout(laid_out()) if callable(laid_out) else Layout(*self.own_fields)
        helper.layout = _without(layout, set(self.form.fields) - set(self.own_fields))
        return str(render_crispy_form(self.form, helper))

    def order(self, dates: Dates) -> Order:
        """What is asked of it."""
        assert self.service is not None  # noqa: S101  # only cards without a problem are asked
        return Order(service=self.service, cleaned=self._cleaned, dated=self.dated, dates=dates)

    def _cleaned(self, target: Any) -> Mapping[str, Any]:
        """The form's cleaned data for one target; a form of a site's own may look at the target."""
        assert self.service is not None  # noqa: S101
        if not self.service.does_all_itself() or str(self.form.data.get(f'{self.key}-target_id')) == str(target.pk):
            return {**self.form.cleaned_data, 'target_id': target.pk}
        with refused_in_words(self.service):
            form = _bound(self.service, self.key, self.form.data, target)
            valid = form.is_valid()
        if not valid:
            raise Refused(' '.join(text for texts in form.errors.values() for text in texts))
        return dict(form.cleaned_data)


def _without(layout: Any, names: set[str]) -> Any:
    """A layout without these fields, nor the rows and columns that held nothing else."""
    inside = getattr(layout, 'fields', None)
    if isinstance(inside, (list, tuple)) and inside:
        left = [_without(each, names) for each in inside if not (isinstance(each, str) and each in names)]
        layout.fields = [each for each in left if each is not None]
        if not layout.fields and not isinstance(layout, Layout):
            return None
    return layout


def cards(user: Any, ticked: list[str]) -> list[Card]:
    """Every service of the settings, those that can be asked first."""
    made: list[Card] = []
    for name in registry.services():
        key = slugify(name) or 'service'
        if key in {each.key for each in made}:
            key = f'{key}-{len(made)}'
        card = Card(name=name, ticked=name in ticked, key=key)
        _describe(card, user)
        made.append(card)
    loaded = {registry.config_of(each).get('class') for each in registry.services().values()}
    bad = [Card(name=str(key), problem=BAD_ENTRY) for key, entry in registry.configured().items() if entry['class'] not in loaded]
    return sorted([*made, *bad], key=lambda card: bool(card.problem))


def _describe(card: Card, user: Any) -> None:
    try:
        service = registry.service(card.name)
    except Refused:
        card.problem = BAD_ENTRY
        return
    card.service = service
    try:
        if not service.does_all_itself():  # what such a one can do is known to its own code only
            card.words = limits(
                southern_limit=service.southern_limit,
                earliest=service.earliest,
                moving=service.moving_targets,
                batch_size=service.batch_size,
            )
        card.about = service.get_context_data() or {}
        card.form = service.get_form()(prefix=card.key)
    except Exception:  # the site's own code
        logger.exception('A form cannot be made', extra={'event': 'form_not_made', 'service': card.name})
        card.problem = NO_FORM
        return
    card.problem = hindrance(service, user)
    card.own_account = bool(card.problem and service.credentials and accounts.usable(card.name, user))


def bind(card: Card, posted: Any, dates: Dates | None, target: Any) -> None:
    """Fill the service's form with what was sent, with the page's dates in the place of its own."""
    data: Any = QueryDict(mutable=True)
    data.update(posted)
    given = {'service': card.name, 'target_id': str(target.pk) if target is not None else '0'}
    if card.dated:
        first, last = (None, None) if dates is None else (dates.first, dates.last)
        given |= {name: '' if mjd is None else f'{mjd:.5f}' for name, mjd in zip(DATES, (first, last), strict=True)}
    for name, value in given.items():
        data[f'{card.key}-{name}'] = value
    card.form = _bound(card.service, card.key, data, None)


def is_valid(card: Card) -> bool:
    """Whether its form takes what was sent; a form that raises says that it cannot, and why stands in the log."""
    try:
        return bool(card.form.is_valid())
    except Exception:  # the site's own code
        logger.exception('A form cannot be checked', extra={'event': 'form_not_checked', 'service': card.name})
        card.problem, card.form = NO_FORM, None
        return False


def _bound(service: Any, key: str, data: Any, target: Any) -> Any:
    if target is not None:
        data = data.copy()
        data[f'{key}-target_id'] = str(target.pk)
    return service.get_form()(data=data, prefix=key)


def prefill(card: Card, parameters: Mapping[str, Any], now: datetime) -> None:
    """Fill the service's form with what an earlier query asked."""
    service, form = card.service, card.form
    if service is None or form is None:
        return
    if service.does_all_itself():
        form.initial = {**form.initial, **{name: parameters[name] for name in form.fields if name in parameters}}
        return
    known = {name: form.get_initial_for_field(form.fields[name], name) for name in card.own_fields}
    flags = [name for name in card.own_fields if isinstance(form.fields[name], forms.BooleanField)]
    wanted = {name: value for name, value in parameters.items() if name not in ('mjd_min', 'mjd_max')}
    try:
        form.initial = {**form.initial, **preview.recovered(wanted, known, flags, lambda given: service.parameters(given, now))}
    except Exception:  # parameters of an older version of the service, or the site's own code
        logger.exception('A form cannot be filled in', extra={'event': 'form_not_filled', 'service': card.name})
