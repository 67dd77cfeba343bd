"""The form of the asking page: targets, services, dates. What each service asks besides is in its own form."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.utils.dateparse import parse_datetime
from tom_targets.models import TargetList

from tom_forced_phot.asking_plan.dates_words import WORDS, Dates, When, problems
from tom_forced_phot.permissions import askable_targets, visible_lists, visible_targets
from tom_forced_phot.services.forms import DateField

MOST_TARGETS = 1000
#: A preview counts so long; an older one is made anew.
PREVIEW_COUNTS = timedelta(hours=12)
GONE = 'There is no such target, or you may not see it: {number} of those that were chosen.'
SHOWN = 5


def numbers(given: Sequence[str]) -> list[int]:
    """Primary keys out of an address or a form, each once; whatever else is left out."""
    found = [part.strip() for text in given for part in text.split(',')]
    return list(dict.fromkeys(int(part) for part in found if part.isdecimal() and len(part) < 19))


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
    moment = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)

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
        return numbers(data.getlist('targets')) if self.is_bound else numbers([str(self.initial.get('targets', ''))])

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
