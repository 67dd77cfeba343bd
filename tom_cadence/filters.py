"""What the list of cadences can be narrowed down to."""

from __future__ import annotations

from typing import Any

import django_filters
from crispy_forms.helper import FormHelper
from crispy_forms.layout import Column, Layout, Row
from django import forms
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.urls import reverse_lazy
from tom_common.htmx_table import HTMXTableFilterSet, htmx_attributes_delayed, htmx_attributes_instant

from tom_cadence import overview, registry
from tom_cadence.models import ManagedCadence
from tom_cadence.permissions import may_be_named
from tom_cadence.templatetags.cadence_extras import strategy_words

#: The whole path, because an empty one would keep what the address says already.
HERE = {
    'hx-get': reverse_lazy('cadences:list'),
    'hx-target': '#cadence-table',
    'hx-push-url': 'true',
    'hx-indicator': '#cadence-progress',
}
INSTANT = {**htmx_attributes_instant, **HERE}
DELAYED = {**htmx_attributes_delayed, **HERE}
WIDTH = 'col-6 col-md-4 col-lg-2'
WIDTHS = {'mine': f'{WIDTH} align-self-center pt-3'}


class CadenceFilterSet(HTMXTableFilterSet):
    """State, mine, target, facility, strategy, and a search in all of it."""

    query = django_filters.CharFilter(
        method='_dispatch_general_search', label='Search', widget=forms.TextInput(attrs={**DELAYED, 'type': 'search'})
    )
    target = django_filters.CharFilter(method='named', label='Target', widget=forms.TextInput(attrs=DELAYED))
    state = django_filters.ChoiceFilter(
        choices=ManagedCadence.State.choices, empty_label='any', label='State', widget=forms.Select(attrs=INSTANT)
    )
    facility = django_filters.ChoiceFilter(empty_label='any', label='Facility', widget=forms.Select(attrs=INSTANT))
    strategy = django_filters.ChoiceFilter(empty_label='any', label='Strategy', widget=forms.Select(attrs=INSTANT))
    mine = django_filters.BooleanFilter(
        method='only_mine', label='Only mine', widget=forms.CheckboxInput(attrs={**INSTANT, 'class': 'form-check-input'})
    )

    class Meta:
        """The host's form wants to know which fields there are."""

        model = ManagedCadence
        fields = ('target', 'state', 'facility', 'strategy', 'mine')

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the facilities and strategies that there are."""
        super().__init__(*args, **kwargs)
        facilities, strategies = overview.facilities_and_strategies()
        self.filters['facility'].extra['choices'] = [(name, name) for name in facilities]
        self.filters['strategy'].extra['choices'] = [(name, strategy_words(name)) for name in strategies]

    @property
    def form(self) -> Any:
        """All fields in one row, without a button: the table follows as they are changed."""
        if not hasattr(self, '_form'):
            form = super().form
            form.helper = FormHelper()
            form.helper.form_tag, form.helper.disable_csrf = False, True
            names = ['query', 'target', 'state', 'facility', 'strategy']
            if getattr(getattr(self.request, 'user', None), 'is_authenticated', False):
                names.append('mine')
            form.helper.layout = Layout(Row(*[Column(name, css_class=WIDTHS.get(name, WIDTH)) for name in names], css_class='g-2'))
        return self._form

    def only_mine(self, rows: QuerySet[ManagedCadence], _name: str, value: bool) -> QuerySet[ManagedCadence]:
        """Cadences that the user owns."""
        user = getattr(self.request, 'user', None)
        return rows.filter(owner=user.pk) if value and user is not None and user.pk else rows

    def named(self, rows: QuerySet[ManagedCadence], _name: str, value: str) -> QuerySet[ManagedCadence]:
        """By target, as far as the user may know its name: an owner keeps a cadence whose target may not be seen any more."""
        return rows.filter(self._named(value.strip()))

    def _named(self, text: str) -> Q:
        return Q(target_name__icontains=text) & may_be_named(getattr(self.request, 'user', AnonymousUser()))

    def general_search(self, rows: QuerySet[ManagedCadence], _name: str, value: str) -> QuerySet[ManagedCadence]:
        """In target, facility, strategy, owner, reason and number."""
        text = value.strip()
        found = [self._named(text), *(Q(**{f'{name}__icontains': text}) for name in ('facility', 'owner_name', 'reason'))]
        named = [name for name in registry.strategies() if text.lower() in strategy_words(name).lower()]
        where = Q(strategy__in=named)
        for each in found:
            where |= each
        if text.isdecimal() and len(text) < 18:
            where |= Q(host_cadence_id=int(text))
        return rows.filter(where)
