"""What the pages of both apps show in the same way: dates, lengths of time, pages of a table, plotly's own script."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import plotly
from crispy_forms.helper import FormHelper
from crispy_forms.layout import Column, Layout, Row
from django.contrib import admin
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET
from plotly.offline import get_plotlyjs
from tom_common.htmx_table import HTMXTable, htmx_attributes_delayed, htmx_attributes_instant

PAGE_SIZE = 25
#: Of white text on Bootstrap's own info and warning colours the contrast is too low for WCAG AA: these carry dark text.
DARK_TEXT = {'info', 'warning'}
PK = re.compile(r'[0-9]{1,18}')
"""No database has a larger key, and some cannot even compare what is larger."""
SPANS = (('d', 86400.0), ('h', 3600.0), ('min', 60.0))


def read_pk(text: object) -> int | None:
    """The primary key that an address or a form names; None for whatever is none, so that no text from outside is an error."""
    given = str(text).strip()
    return int(given) if PK.fullmatch(given) else None


def read_text(text: str) -> str:
    """What was typed, to be looked for: without a NUL, which no text in PostgreSQL has and which is an error there."""
    return text.replace('\0', '').strip()


def read_pks(texts: Iterable[object]) -> list[int]:
    """Those of the texts that are primary keys, each once, in their order; one text may name several, with commas between."""
    parts = (read_pk(part) for text in texts for part in str(text).split(','))
    return list(dict.fromkeys(pk for pk in parts if pk is not None))


def labelled_cell(label: str) -> dict[str, Any]:
    """What a narrow screen writes before the value, where there is no room for a head."""
    return {'td': {'data-label': label}}


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that have one writer, which is no person: a row that is lost is a booking made twice, or a lost query."""

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Nobody deletes."""
        return False


class FixedPaginator(Paginator[Any]):
    """Pages of one size, whatever the address says about ``per_page``."""

    def __init__(self, rows: Any, per_page: int) -> None:
        """Leave the size alone."""
        super().__init__(rows, PAGE_SIZE)


class SortableTable(HTMXTable):
    """The host's table; what the address names that is no column of it sorts nothing.

    django_tables2 takes a name with a dot for a path of its past, and warns of it.
    """

    class Meta(HTMXTable.Meta):
        """The host's look."""

    @property
    def order_by(self) -> Any:
        """The columns that it is sorted by, as django_tables2 has them."""
        return super().order_by

    @order_by.setter
    def order_by(self, value: Any) -> None:
        named = value.split(',') if isinstance(value, str) else value or ()
        HTMXTable.order_by.fset(self, [name for name in named if str(name).removeprefix('-') in self.columns.names()])


def badge_of(colour: str, words: str) -> SafeString:
    """A word as a badge of one of Bootstrap's colours."""
    contrast = ' text-dark' if colour in DARK_TEXT else ''
    return format_html('<span class="badge text-bg-{}{}">{}</span>', colour, contrast, words)


def duration_text(seconds: float) -> str:
    """A length of time in one unit: ``3 h``, ``2 d``, ``40 min``, ``20 s``."""
    for unit, length in SPANS:
        if abs(seconds) >= 1.95 * length or (unit == 'min' and abs(seconds) >= length):
            return f'{seconds / length:.0f} {unit}'
    return f'{seconds:.0f} s'


def date_with_distance(instant: datetime | None, now: datetime, nothing: str = 'never') -> SafeString | str:
    """A date in UTC with its distance from now: ``2026-11-21 03:40 UTC (in 3 h)``."""
    if instant is None:
        return nothing
    utc = instant.astimezone(timezone.utc)
    seconds = (utc - now).total_seconds()
    distance = f'in {duration_text(seconds)}' if seconds > 0 else f'{duration_text(abs(seconds))} ago'
    return format_html(
        '<time datetime="{}">{} UTC</time> <small class="text-body-secondary text-nowrap">({})</small>',
        utc.isoformat(timespec='seconds'),
        utc.strftime('%Y-%m-%d %H:%M'),
        distance,
    )


@lru_cache(maxsize=1)
def _plotly() -> bytes:
    return gzip.compress(get_plotlyjs().encode(), 6)


@require_GET
def plotly_js(request: HttpRequest, version: str) -> HttpResponse:
    """The installed plotly's own script, once for all pages: its address changes with its version."""
    if version != plotly.__version__:
        raise Http404
    packed = 'gzip' in request.headers.get('Accept-Encoding', '')
    response = HttpResponse(_plotly() if packed else get_plotlyjs(), content_type='text/javascript; charset=utf-8')
    if packed:
        response['Content-Encoding'] = 'gzip'
    response['Vary'] = 'Accept-Encoding'
    response['Cache-Control'] = 'public, max-age=31536000, immutable'
    return response


def filter_attributes(table: str, indicator: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes of fields that filter the table with this id as they are chosen from, and as they are written in."""
    here = {'hx-target': table, 'hx-push-url': 'true', 'hx-indicator': indicator, **more}
    return {**htmx_attributes_instant, **here}, {**htmx_attributes_delayed, **here}


def in_one_row(form: Any, widths: Mapping[str, str], *hidden: str) -> None:
    """Lay out a table's filters: these fields (name: CSS classes) side by side, without a button, for the table follows them."""
    form.helper = FormHelper()
    form.helper.form_tag, form.helper.disable_csrf = False, True
    columns = [Column(name, css_class=width) for name, width in widths.items()]
    form.helper.layout = Layout(Row(*columns, css_class='g-2'), *hidden)
