"""The list of queries."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import django_tables2 as tables
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django_tables2.data import TableQuerysetData

from tom_forced_phot import watch
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.tables import PlainTable, cell
from tom_forced_phot.templatetags.phot_extras import utc


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
        return watch.read(PhotometryQuery.objects.all(), list(self.data.values_list('pk', flat=True)[key]))


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
    service = tables.Column('Service', order_by=('service', 'pk'), attrs=cell('Service'))
    state = tables.Column('State', order_by=('state', 'pk'), attrs=_cell('State', 'phot-wide'))
    asked = tables.Column('Asked', accessor='created', order_by=('pk',), attrs=cell('Asked'))
    following = tables.Column('Next / ended', accessor='pk', order_by=('closed', 'pk'), attrs=cell('Next / ended'))
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
            'data-bad': lambda record: 'yes' if record.state in watch.BAD else None,
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
        context = {'query': record, 'watched': watch.of(record), 'csrf_token': self.csrf}
        return render_to_string(f'tom_forced_phot/partials/query_cell_{name}.html', context)


def rows_of(found: QuerySet[PhotometryQuery]) -> Slices:
    """What a table shows of these."""
    return Slices(found)
