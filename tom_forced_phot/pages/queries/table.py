"""The list of queries."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.urls import reverse, reverse_lazy
from django.utils.functional import cached_property
from django.utils.html import format_html
from django_tables2.data import TableQuerysetData
from tom_common.htmx_table import HTMXTableFilterSet
from tom_targets.models import Target

from tom_followup.pages import SortableTable, filter_attributes, in_one_row, labelled_cell, read_pk
from tom_forced_phot import registry
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.pages.queries import summary
from tom_forced_phot.templatetags.photometry import utc

#: The whole path, because an empty one would keep what the address says already.
INSTANT, DELAYED = filter_attributes('#query-table', '#query-progress', **{'hx-get': reverse_lazy('photometry:list')})
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
            names = ['query', 'target', 'state', 'service', *(['mine'] if self._user is not None else [])]
            in_one_row(super().form, {name: WIDTHS.get(name, WIDTH) for name in names}, 'of', 'subscription', 'notice')
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
        return rows.filter(found | Q(pk=read_pk(text)))


class PlainTable(SortableTable):
    """The host's HTMX table with this app's look; its page names ``caption``, ``place`` (id of what it fills) and ``wait``."""

    caption = ''
    place = ''
    wait = ''

    class Meta(SortableTable.Meta):
        """Heads and page numbers as links, so that they work without a mouse and without a script."""

        template_name = 'tom_forced_phot/partials/table.html'
        attrs = {'class': 'table table-hover table-sm align-middle phot-list'}


class Slices(TableQuerysetData):
    """Counts in the database, asks for the keys of one page, and reads only those: a hundred thousand rows stay where they are."""

    @cached_property
    def number(self) -> int:
        """How many there are."""
        return int(self.data.count())

    def __len__(self) -> int:
        """How many there are."""
        return self.number

    def __getitem__(self, key: slice) -> list[PhotometryQuery]:
        """The rows of one page."""
        return summary.read(PhotometryQuery.objects.all(), list(self.data.values_list('pk', flat=True)[key]))


def _cell(label: str, kind: str) -> dict[str, Any]:
    return {'td': {'data-label': label, 'class': kind}}


class QueryTable(PlainTable):
    """Each row has a ``watched`` (see ``watch.summarise``)."""

    caption = 'Queries'
    place, wait = 'query-table', 'query-progress'
    partial_template_name = 'tom_forced_phot/partials/query_table.html'

    selection = None
    #: For the forms in the rows.
    csrf = ''
    target = tables.Column('Target', order_by=('target__name', 'pk'), attrs=_cell('Target', 'phot-target'))
    service = tables.Column('Service', order_by=('service', 'pk'), attrs=labelled_cell('Service'))
    state = tables.Column('State', order_by=('state', 'pk'), attrs=_cell('State', 'phot-wide'))
    asked = tables.Column('Asked', accessor='created', order_by=('pk',), attrs=labelled_cell('Asked'))
    following = tables.Column('Next / ended', accessor='pk', order_by=('closed', 'pk'), attrs=labelled_cell('Next / ended'))
    brought = tables.Column('Brought', accessor='pk', order_by=('new', 'pk'), attrs=_cell('Brought', 'phot-wide'))
    actions = tables.Column('', accessor='pk', orderable=False, attrs={'td': {'class': 'phot-actions'}})

    class Meta(PlainTable.Meta):
        """The columns; each row says what a page that watches it needs to know."""

        model = PhotometryQuery
        fields = ('target', 'service', 'state', 'asked', 'following', 'brought', 'actions')
        sequence = fields
        row_attrs = {
            'id': lambda record: f'query-{record.pk}',
            'data-mark': lambda record: record.watched.mark,
            'data-open': lambda record: 'yes' if record.watched.is_open else None,
            'data-bad': lambda record: 'yes' if record.state in summary.BAD else None,
        }

    def render_target(self, record: PhotometryQuery) -> Any:
        """Its name, which leads to the query's own page."""
        where = reverse('photometry:query', args=[record.pk])
        return format_html('<a id="query-{}-link" href="{}">{}</a>', record.pk, where, record.target.name)

    def render_state(self, record: PhotometryQuery) -> Any:
        """A badge, and what there is to say."""
        return self._part('state', record)

    def render_asked(self, record: PhotometryQuery) -> Any:
        """When and by whom."""
        who = 'by a subscription' if record.subscription_id else f'by {record.asked_by}' if record.asked_by else 'by the command'
        return format_html('<div><div>{}</div><div class="text-body-secondary">{}</div></div>', utc(record.created), who)

    def render_following(self, record: PhotometryQuery) -> Any:
        """What comes next, or when it ended."""
        return self._part('following', record)

    def render_brought(self, record: PhotometryQuery) -> Any:
        """Counts, and where the points are."""
        return self._part('brought', record)

    def render_actions(self, record: PhotometryQuery) -> Any:
        """Buttons for who may press them."""
        return self._part('actions', record)

    def _part(self, name: str, record: PhotometryQuery) -> Any:
        context = {'query': record, 'watched': summary.of(record), 'csrf_token': self.csrf}
        return render_to_string(f'tom_forced_phot/partials/query_cell_{name}.html', context)


def rows_of(found: QuerySet[PhotometryQuery]) -> Slices:
    """What a table shows of these."""
    return Slices(found)
