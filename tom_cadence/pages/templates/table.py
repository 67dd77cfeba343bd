"""The list of observation templates."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.db.models import BooleanField, Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from tom_common.htmx_table import HTMXTableFilterSet
from tom_observations.models import ObservationTemplate

from tom_cadence.core.template_fields import parameter_lines
from tom_cadence.pages.overview.table import ListTable
from tom_cadence.permissions import changeable_templates, visible_templates
from tom_followup.pages import filter_attributes, in_one_row, labelled_cell

SHOWN = 5
PARTIALS = 'tom_cadence/partials/template_'
INSTANT, DELAYED = filter_attributes('#template-table', '#template-wait')


def listed(user: Any) -> QuerySet[ObservationTemplate]:
    """The templates this user may see, with what the list shows, in one statement."""
    rows = visible_templates(user).select_related('ownership__owner')
    mine = changeable_templates(user).values('pk')
    return rows.annotate(
        owner_name=F('ownership__owner__username'),
        used=Coalesce(F('ownership__used'), Value(0)),
        changeable=Case(When(pk__in=mine, then=Value(True)), default=Value(False), output_field=BooleanField()),
    ).order_by('name', 'pk')


class TemplateTable(ListTable):
    """One line a template."""

    about = 'observation templates'
    place, wait, top = 'template-table', 'template-wait', 'filter-form'

    name = tables.TemplateColumn(template_name=f'{PARTIALS}name.html', order_by=('name',), attrs=labelled_cell('Name'))
    facility = tables.Column(attrs=labelled_cell('Facility'))
    owner = tables.Column(accessor='owner_name', default='nobody', order_by=('owner_name',), attrs=labelled_cell('Owner'))
    fields_set = tables.TemplateColumn(
        template_name=f'{PARTIALS}fields.html', orderable=False, verbose_name='Fields set', attrs=labelled_cell('Fields set')
    )
    used = tables.Column(verbose_name='Used', attrs=labelled_cell('Used'))
    modified = tables.TemplateColumn(
        '{% load cadences %}<div>{% when record.modified %}</div>', verbose_name='Changed', attrs=labelled_cell('Changed')
    )
    actions = tables.TemplateColumn(
        template_name=f'{PARTIALS}actions.html', orderable=False, verbose_name='', attrs=labelled_cell('')
    )

    class Meta(ListTable.Meta):
        """Columns, and what to say where there is none."""

        model = ObservationTemplate
        fields = ('name', 'facility', 'owner', 'fields_set', 'used', 'modified', 'actions')

    selection = None
    partial_template_name = 'tom_cadence/partials/template_table.html'

    def before_render(self, request: Any) -> None:
        """Put the fields into words, once for the page that is shown."""
        for row in self.page.object_list if self.page else self.rows:
            said = parameter_lines(row.record.parameters)
            row.record.said, row.record.more = said[:SHOWN], max(0, len(said) - SHOWN)


class TemplateFilter(HTMXTableFilterSet):
    """Facility, mine, and a search in names and descriptions."""

    facility = django_filters.ChoiceFilter(label='Facility', empty_label='All', choices=[], widget=forms.Select(attrs=INSTANT))
    mine = django_filters.BooleanFilter(method='only_mine', label='Mine only', widget=forms.CheckboxInput(attrs=INSTANT))

    class Meta:
        """What can be asked for."""

        model = ObservationTemplate
        fields = ('facility', 'mine')

    query = django_filters.CharFilter(
        method='_dispatch_general_search',
        label='Search',
        widget=forms.TextInput(attrs={**DELAYED, 'type': 'search'}),
    )

    @property
    def form(self) -> Any:
        """All fields in one row, without a button: the table follows as they are changed."""
        if not hasattr(self, '_form'):
            widths = {'query': 'col-12 col-md-5', 'facility': 'col-7 col-md-4'}
            if self.request.user.is_authenticated:
                widths['mine'] = 'col-5 col-md-3 align-self-center pt-3'
            in_one_row(super().form, widths)
        return self._form

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the facilities of the templates that this user sees."""
        super().__init__(*args, **kwargs)
        names = self.queryset.order_by('facility').values_list('facility', flat=True).distinct()
        self.filters['facility'].extra['choices'] = [(name, name) for name in names]

    def only_mine(self, rows: Any, name: str, value: bool) -> Any:
        """Those of the user who asks."""
        user = self.request.user
        return rows.filter(ownership__owner=user) if value and user.is_authenticated else rows

    def general_search(self, rows: Any, name: str, value: str) -> Any:
        """In name, description, facility and owner."""
        if not value:
            return rows
        found = Q(name__icontains=value) | Q(ownership__description__icontains=value) | Q(facility__icontains=value)
        return rows.filter(found | Q(ownership__owner__username__icontains=value))
