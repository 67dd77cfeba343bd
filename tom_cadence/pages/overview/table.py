"""The list of cadences, as the host lists targets."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
import django_tables2 as tables
from django import forms
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.urls import reverse, reverse_lazy
from django.utils.functional import cached_property
from django.utils.html import format_html
from django_tables2.data import TableQuerysetData
from tom_common.htmx_table import HTMXTableFilterSet

from tom_cadence import registry
from tom_cadence.core.exposure import in_words as hours_of
from tom_cadence.models import ManagedCadence
from tom_cadence.pages.overview import summary
from tom_cadence.permissions import Rows, names_visible_to
from tom_cadence.templatetags.cadences import badge, when
from tom_followup.pages import SortableTable, filter_attributes, in_one_row, labelled_cell, read_pk


class CadencePage(TableQuerysetData):
    """Asks once which cadences there are, in their order, and then reads only those of a page.

    Whether a user may see a cadence is what costs: counting and slicing would ask for it twice.
    """

    @cached_property
    def pks(self) -> list[int]:
        """All of the list, as it is filtered and sorted."""
        return list(self.data.values_list('pk', flat=True))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.pks)

    def __getitem__(self, key: slice) -> list[ManagedCadence]:
        """The rows of one page."""
        rows = ManagedCadence.objects.select_related('cadence', 'owner').in_bulk(self.pks[key])
        return [rows[pk] for pk in self.pks[key] if pk in rows]


def page_of(record: ManagedCadence) -> str:
    """Where the cadence's own page is."""
    return reverse('cadences:page', args=[record.pk])


class ListTable(SortableTable):
    """A list on a page of this app: what it is of, and the ids of the page's parts that htmx is told of."""

    about = ''
    place, wait, top = '', '', ''

    class Meta(SortableTable.Meta):
        """The host's look, with heads and pages that a keyboard reaches."""

        template_name = 'tom_cadence/partials/htmx_table.html'
        attrs: ClassVar[dict[str, str]] = {'class': 'table table-hover table-sm align-middle cadence-list'}


class CadenceTable(ListTable):
    """Each row has a ``summary`` (see ``overview.summarise``)."""

    about = 'cadences'
    place, wait, top = 'cadence-table', 'cadence-progress', 'cadence-number'

    selection = tables.CheckBoxColumn(
        accessor='pk',
        orderable=False,
        attrs={
            'input': {'name': 'selected-row', 'form': 'bulk-form', 'class': 'form-check-input'},
            'th__input': {'class': 'form-check-input', 'data-selects': 'selected-row', 'aria-label': 'Select all on this page'},
            'td': {'class': 'cadence-select'},
        },
    )
    target = tables.Column(
        'Target',
        accessor='summary__target',
        order_by=('target_name',),
        attrs={'td': {'data-label': 'Target', 'class': 'cadence-target'}},
        linkify=page_of,
    )
    strategy = tables.Column('Strategy', attrs=labelled_cell('Strategy'))
    facility = tables.Column('Facility', attrs=labelled_cell('Facility'))
    observed = tables.Column('Observes', accessor='summary', orderable=False, attrs=labelled_cell('Observes'))
    owner = tables.Column('Owner', order_by=('owner_name',), attrs=labelled_cell('Owner'), default='nobody')
    state = tables.Column('State', attrs=labelled_cell('State'))
    result = tables.Column('Last result', accessor='summary', orderable=False, attrs=labelled_cell('Last result'))
    following = tables.Column('Next', accessor='summary', orderable=False, attrs=labelled_cell('Next'))
    counts = tables.Column('Done / failed', accessor='summary', orderable=False, attrs=labelled_cell('Done / failed'))

    class Meta(ListTable.Meta):
        """The columns."""

        model = ManagedCadence
        fields = ('selection', 'target', 'strategy', 'facility', 'observed', 'owner', 'state', 'result', 'following', 'counts')
        sequence = fields

    partial_template_name = 'tom_cadence/partials/overview_table.html'

    def render_selection(self, value: int, record: ManagedCadence) -> Any:
        """A box that says what it selects."""
        return format_html(
            '<input type="checkbox" class="form-check-input" name="selected-row" form="bulk-form" value="{}" '
            'aria-label="Select cadence {} ({})">',
            value,
            record.host_cadence_id,
            self.render_target(record.summary.target),  # type: ignore[attr-defined]
        )

    def render_target(self, value: str) -> str:
        """The target's name as it is now."""
        return value or 'no observation yet'

    def render_strategy(self, value: str) -> str:
        """By the name that people know, not by its class."""
        return registry.strategy_name(value)

    def render_state(self, value: str, record: ManagedCadence) -> Any:
        """The state in words, on the colour that it has on every page."""
        return badge(record.state, value)

    def render_observed(self, value: summary.CadenceSummary) -> Any:
        """With what, and how long in all: asked for, and observed so far."""
        if not value.seconds_asked:
            return value.observed or '—'
        asked, used = hours_of(value.seconds_asked), hours_of(value.seconds_used)
        return format_html('<div>{}<div class="cadence-quiet">{} asked for, {} taken</div></div>', value.observed, asked, used)

    def render_result(self, value: summary.CadenceSummary) -> Any:
        """What became of the newest finished observation, and when."""
        if value.result is None:
            return 'none yet'
        return format_html('<div>{}<div>{}</div></div>', badge(value.result.value), when(value.result_when))

    def render_following(self, value: summary.CadenceSummary) -> Any:
        """What happens next, and when; why nothing does."""
        if value.next_when is None:
            return value.next_action or '—'
        return format_html('<div>{}<div>{} {}</div></div>', value.next_action, value.next_words, when(value.next_when))

    def render_counts(self, value: summary.CadenceSummary) -> Any:
        """Observations that succeeded and that failed."""
        return format_html(
            '<span aria-hidden="true">{} / {}</span><span class="visually-hidden">{} done, {} failed</span>',
            value.done,
            value.failed,
            value.done,
            value.failed,
        )

    def order_strategy(self, rows: Rows, is_descending: bool) -> tuple[Rows, bool]:
        """By the words, not by the names of classes."""
        names = sorted(registry.strategies(), key=lambda name: str(registry.strategy_name(name)).lower())
        return _ordered(rows, 'strategy', names, is_descending)

    def order_state(self, rows: Rows, is_descending: bool) -> tuple[Rows, bool]:
        """What a person has to see first comes first."""
        return _ordered(rows, 'state', summary.URGENCY, is_descending)


def _ordered(rows: Rows, name: str, order: Any, is_descending: bool) -> tuple[Rows, bool]:
    place = summary.rank(name, order)
    return rows.order_by(place.desc() if is_descending else place.asc(), '-pk'), True


#: The whole path, because an empty one would keep what the address says already.
INSTANT, DELAYED = filter_attributes('#cadence-table', '#cadence-progress', **{'hx-get': reverse_lazy('cadences:list')})
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
        facilities, strategies = summary.facilities_and_strategies()
        self.filters['facility'].extra['choices'] = [(name, name) for name in facilities]
        self.filters['strategy'].extra['choices'] = [(name, registry.strategy_name(name)) for name in strategies]

    @property
    def form(self) -> Any:
        """All fields in one row, without a button: the table follows as they are changed."""
        if not hasattr(self, '_form'):
            names = ['query', 'target', 'state', 'facility', 'strategy']
            if getattr(getattr(self.request, 'user', None), 'is_authenticated', False):
                names.append('mine')
            in_one_row(super().form, {name: WIDTHS.get(name, WIDTH) for name in names})
        return self._form

    def only_mine(self, rows: QuerySet[ManagedCadence], _name: str, value: bool) -> QuerySet[ManagedCadence]:
        """Cadences that the user owns."""
        user = getattr(self.request, 'user', None)
        return rows.filter(owner=user.pk) if value and user is not None and user.pk else rows

    def named(self, rows: QuerySet[ManagedCadence], _name: str, value: str) -> QuerySet[ManagedCadence]:
        """By target, as far as the user may know its name: an owner keeps a cadence whose target may not be seen any more."""
        return rows.filter(self._named(value.strip()))

    def _named(self, text: str) -> Q:
        return Q(target_name__icontains=text) & names_visible_to(getattr(self.request, 'user', AnonymousUser()))

    def general_search(self, rows: QuerySet[ManagedCadence], _name: str, value: str) -> QuerySet[ManagedCadence]:
        """In target, facility, strategy, owner, reason and number."""
        text = value.strip()
        found = [self._named(text), *(Q(**{f'{name}__icontains': text}) for name in ('facility', 'owner_name', 'reason'))]
        named = [name for name in registry.strategies() if text.lower() in registry.strategy_name(name).lower()]
        where = Q(strategy__in=named)
        for each in found:
            where |= each
        if (number := read_pk(text)) is not None:
            where |= Q(host_cadence_id=number)
        return rows.filter(where)
