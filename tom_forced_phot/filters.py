"""What the list of queries can be narrowed down to."""

from __future__ import annotations

from typing import Any

import django_filters
from crispy_forms.helper import FormHelper
from crispy_forms.layout import Column, Layout, Row
from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.urls import reverse_lazy
from tom_common.htmx_table import HTMXTableFilterSet, htmx_attributes_delayed, htmx_attributes_instant
from tom_targets.models import Target

from tom_forced_phot import registry
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.states import QueryState

#: The whole path, because an empty one would keep what the address says already.
HERE = {
    'hx-get': reverse_lazy('photometry:list'),
    'hx-target': '#query-table',
    'hx-push-url': 'true',
    'hx-indicator': '#query-progress',
}
INSTANT = {**htmx_attributes_instant, **HERE}
DELAYED = {**htmx_attributes_delayed, **HERE}
WIDTH = 'col-6 col-md-4 col-lg-2'
WIDTHS = {'query': 'col-12 col-md-4 col-lg-3', 'mine': f'{WIDTH} align-self-center pt-3'}
STATES = [('open', 'Open'), ('ended', 'Ended'), *((str(state), state.words) for state in QueryState)]
#: A number with more digits is none of ours, and too large for a database.
NUMBER: dict[str, Any] = {'widget': forms.HiddenInput, 'min_value': 0, 'max_value': 2**63 - 1, 'decimal_places': 0}


class QueryFilterSet(HTMXTableFilterSet):
    """Search, state, target, service, mine; and by links only: one target, one subscription, one notice."""

    query = django_filters.CharFilter(
        method='_dispatch_general_search', label='Search', widget=forms.TextInput(attrs={**DELAYED, 'type': 'search'})
    )
    target = django_filters.CharFilter(
        field_name='target__name', lookup_expr='icontains', label='Target', widget=forms.TextInput(attrs=DELAYED)
    )
    state = django_filters.ChoiceFilter(
        choices=STATES, method='in_state', empty_label='any', label='State', widget=forms.Select(attrs=INSTANT)
    )
    service = django_filters.ChoiceFilter(empty_label='any', label='Service', widget=forms.Select(attrs=INSTANT))
    mine = django_filters.BooleanFilter(
        method='only_mine', label='Only mine', widget=forms.CheckboxInput(attrs={**INSTANT, 'class': 'form-check-input'})
    )
    of = django_filters.NumberFilter(field_name='target', **NUMBER)
    subscription = django_filters.NumberFilter(field_name='subscription', **NUMBER)
    notice = django_filters.NumberFilter(method='of_notice', **NUMBER)

    class Meta:
        """The host's form wants to know which fields there are."""

        model = PhotometryQuery
        fields = ('target', 'state', 'service', 'mine', 'of', 'subscription', 'notice')

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the services of this site."""
        super().__init__(*args, **kwargs)
        given = (self.data or {}).get('service')
        names = {*registry.services(), *([given] if given else [])}
        self.filters['service'].extra['choices'] = [(name, name) for name in sorted(names)]

    @property
    def form(self) -> Any:
        """All fields in one row, without a button: the table follows as they are changed."""
        if not hasattr(self, '_form'):
            form = super().form
            form.helper = FormHelper()
            form.helper.form_tag, form.helper.disable_csrf = False, True
            names = ['query', 'target', 'state', 'service', *(['mine'] if self._user is not None else [])]
            columns = [Column(name, css_class=WIDTHS.get(name, WIDTH)) for name in names]
            form.helper.layout = Layout(Row(*columns, css_class='g-2'), 'of', 'subscription', 'notice')
        return self._form

    @property
    def _user(self) -> Any:
        user = getattr(self.request, 'user', None)
        return user if getattr(user, 'is_authenticated', False) else None

    def in_state(self, rows: QuerySet[PhotometryQuery], _name: str, value: str) -> QuerySet[PhotometryQuery]:
        """One state, or all in which something or nothing is still to come."""
        if value == 'open':
            return rows.filter(state__in=QueryState.open_values())
        if value == 'ended':
            return rows.exclude(state__in=QueryState.open_values())
        return rows.filter(state=value)

    def only_mine(self, rows: QuerySet[PhotometryQuery], _name: str, value: bool) -> QuerySet[PhotometryQuery]:
        """Asked by the user, or by somebody else who asked the same before."""
        return rows.filter(self._of_user()) if value and self._user is not None else rows

    def _of_user(self) -> Q:
        followed = PhotometryQuery.followers.through.objects.filter(user=self._user).values('photometryquery')
        return Q(asked_by=self._user) | Q(pk__in=followed)

    def of_notice(self, rows: QuerySet[PhotometryQuery], _name: str, value: Any) -> QuerySet[PhotometryQuery]:
        """What one of the user's own notices is about: what the user asked, or follows."""
        if self._user is None:
            return rows.none()
        return rows.filter(self._of_user(), announcement__notices=int(value), announcement__notices__user=self._user)

    def general_search(self, rows: QuerySet[PhotometryQuery], _name: str, value: str) -> QuerySet[PhotometryQuery]:
        """In target, service, who asked, message and number."""
        text = value.strip()
        found = Q(target__in=Target.objects.filter(name__icontains=text).values('pk'))
        found |= Q(service__icontains=text) | Q(message__icontains=text)
        found |= Q(asked_by__in=get_user_model()._default_manager.filter(username__icontains=text).values('pk'))
        if text.isdecimal() and len(text) < 18:
            found |= Q(pk=int(text))
        return rows.filter(found)
