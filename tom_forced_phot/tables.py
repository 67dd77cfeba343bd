"""What every table of this app shares: pages of one size, rows read by their keys, heads that a keyboard reaches."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.paginator import Paginator
from django.utils.functional import cached_property
from django_tables2.data import TableQuerysetData
from tom_common.htmx_table import HTMXTable

A_PAGE = 25


def cell(label: str) -> dict[str, Any]:
    """What a narrow screen writes before the value, where there is no room for a head."""
    return {'td': {'data-label': label}}


class Pages(Paginator[Any]):
    """Pages of one size, whatever the address says about ``per_page``."""

    def __init__(self, rows: Any, per_page: int) -> None:
        """Leave the size alone."""
        super().__init__(rows, A_PAGE)


class Page(TableQuerysetData):
    """Asks once which rows there are, in their order, and then reads only those of a page."""

    #: What is read together with a row of a page.
    related: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def pks(self) -> list[int]:
        """All of the list, as it is filtered and sorted."""
        return list(self.data.values_list('pk', flat=True))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.pks)

    def __getitem__(self, key: slice) -> list[Any]:
        """The rows of one page."""
        rows = self.data.model._default_manager.select_related(*self.related).in_bulk(self.pks[key])
        return [rows[pk] for pk in self.pks[key] if pk in rows]


class PlainTable(HTMXTable):
    """The host's HTMX table with this app's look; its page names ``caption``, ``place`` (id of what it fills) and ``wait``."""

    caption = ''
    place = ''
    wait = ''

    class Meta(HTMXTable.Meta):
        """Heads and page numbers as links, so that they work without a mouse and without a script."""

        template_name = 'tom_forced_phot/partials/table.html'
        attrs = {'class': 'table table-hover table-sm align-middle phot-list'}
