"""A target's light curve: its page, the part of it on the target's page, and the addresses of what these fetch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django_tables2 as tables
import numpy as np
import plotly
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.cache import patch_vary_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET
from django_tables2 import RequestConfig
from django_tables2.data import TableData

from tom_followup.pages import FixedPaginator, labelled_cell, plotly_js
from tom_followup.units import instant_of
from tom_forced_phot.cleaning.stack import BAD_DAY, FEW
from tom_forced_phot.lightcurve import reading
from tom_forced_phot.lightcurve.columns import Points
from tom_forced_phot.lightcurve.curve import Curve
from tom_forced_phot.lightcurve.export import FORMATS
from tom_forced_phot.lightcurve.words import brightness, with_error
from tom_forced_phot.models import IngestedFile
from tom_forced_phot.pages.lightcurve.data import curve_of, data, download, hide_point, options_of, point, switches, target_of
from tom_forced_phot.pages.queries.table import PlainTable
from tom_forced_phot.permissions import askable_targets, visible_points, visible_products

SORTED_BY = {'time': 'mjd', 'flux': 'flux', 'snr': 'snr', 'averaged': 'number'}


class Rows(TableData):
    """The rows of a light curve; one is made only when it is on the page."""

    def __init__(self, curve: Curve, target: int) -> None:
        """In order of time."""
        super().__init__(curve.shown)
        self.curve, self.target = curve, target
        self.order = np.arange(len(curve.shown))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.order)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All of them; nobody should."""
        return iter(self[:])

    def __getitem__(self, key: slice) -> list[dict[str, Any]]:
        """Some of them."""
        return [self._row(number) for number in self.order[key].tolist()]

    def order_by(self, aliases: Any) -> None:
        """Sort by one column; what has no value there comes last."""
        for alias in list(aliases)[:1]:
            found = _values(self.curve, alias.bare)
            order = np.argsort(-found if alias.is_descending else found, kind='stable')
            self.order = np.concatenate([order[np.isfinite(found[order])], order[~np.isfinite(found[order])]])

    def _row(self, number: int) -> dict[str, Any]:
        shown, series = self.curve.shown, self.curve.series[int(self.curve.shown.series[number])]
        pk, flags = int(shown.ids[number]), int(shown.flags[number])
        return {
            'time': float(shown.mjd[number]),
            'band': series.band,
            'service': series.service or 'unnamed',
            'kind': series.reduction,
            'magnitude': brightness(shown, number, self.curve.modulus),
            'flux': with_error(float(shown.flux[number]), float(shown.flux_error[number])),
            'snr': float(shown.snr[number]),
            'averaged': int(shown.number[number]),
            'flag': 'bad day' if flags & BAD_DAY else 'few exposures' if flags & FEW else '',
            'details': reverse('photometry:light-curve-point', args=[self.target, pk]) if pk else '',
        }


def _values(curve: Curve, name: str) -> Any:
    """What a column is sorted by; a limit among the magnitudes counts as bright as it is."""
    shown: Points = curve.shown
    if name == 'magnitude':
        return np.where(np.isfinite(shown.magnitude), shown.magnitude, shown.limit)
    if name in ('band', 'service', 'kind'):
        attribute = 'reduction' if name == 'kind' else name
        texts = sorted({getattr(series, attribute) for series in curve.series})
        ranks = np.array([texts.index(getattr(series, attribute)) for series in curve.series] or [0], dtype=np.float64)
        return ranks[shown.series]
    return np.asarray(getattr(shown, SORTED_BY[name]), dtype=np.float64)


class PointTable(PlainTable):
    """Points, or means."""

    selection = None
    time = tables.Column('Time (UTC)', attrs=labelled_cell('Time (UTC)'), initial_sort_descending=True)
    mjd = tables.Column('MJD', accessor='time', attrs=labelled_cell('MJD'), orderable=False)
    band = tables.Column('Band', attrs=labelled_cell('Band'))
    service = tables.Column('Source', attrs=labelled_cell('Source'))
    kind = tables.Column('Kind', attrs=labelled_cell('Kind'))
    magnitude = tables.Column('Magnitude', attrs=labelled_cell('Magnitude'))
    flux = tables.Column('Flux (µJy)', attrs=labelled_cell('Flux (µJy)'))
    snr = tables.Column('S/N', attrs=labelled_cell('S/N'))
    averaged = tables.Column('Exposures', attrs=labelled_cell('Exposures'))
    flag = tables.Column('Flag', attrs=labelled_cell('Flag'), orderable=False)
    details = tables.Column('Details', attrs=labelled_cell('Details'), orderable=False)

    caption = 'The points of this light curve'
    place = 'phot-points'
    wait = 'phot-points-wait'

    class Meta(PlainTable.Meta):
        """Its links stay in its place, on whichever page that is."""

        template_name = 'tom_forced_phot/partials/lightcurve_table.html'

    def render_time(self, value: float) -> SafeString:
        """To the second."""
        moment = instant_of(value)
        return format_html(
            '<time datetime="{}">{}</time>', moment.isoformat(timespec='seconds'), moment.strftime('%Y-%m-%d %H:%M:%S')
        )

    def render_mjd(self, value: float) -> str:
        """To about a second."""
        return f'{value:.5f}'

    def render_snr(self, value: float) -> str:
        """One decimal."""
        return f'{value:.1f}' if np.isfinite(value) else '—'

    def render_details(self, value: str, record: dict[str, Any]) -> SafeString:
        """Shown below the table."""
        words = f'All fields of the point at MJD {record["time"]:.5f}'
        attributes = format_html('hx-get="{}" hx-target="#phot-point" hx-swap="innerHTML show:top" aria-label="{}"', value, words)
        return format_html('<a href="{}" {}>All</a>', value, attributes)


@require_GET
def points(request: HttpRequest, pk: int) -> HttpResponse:
    """The table: to htmx the part, otherwise a page of its own."""
    target, form = target_of(request, pk), switches(request)
    part = bool(request.htmx)  # type: ignore[attr-defined]
    context: dict[str, Any] = {'target': target, 'form': form, 'part': part}
    if form.is_valid():
        options = options_of(request, target, form, request.GET.getlist('hide'))
        curve = curve_of(request, target, options, reading.stamp(request.user, target))
        without = ('details',) if curve.means is not None else ('averaged', 'flag')
        table = PointTable(Rows(curve, target.pk), order_by='-time', exclude=without)
        RequestConfig(request, paginate={'paginator_class': FixedPaginator}).configure(table)
        context |= {'table': table, 'number': len(curve.shown), 'means': curve.means is not None}
    response = render(request, f'tom_forced_phot/{"partials/lightcurve_points" if part else "lightcurve_points"}.html', context)
    patch_vary_headers(response, ['HX-Request'])
    return response


MOST_FILES = 50
WORDS = {'csv': 'CSV', 'ecsv': 'ECSV', 'votable': 'VOTable'}


@require_GET
def light_curve(request: HttpRequest, pk: int) -> HttpResponse:
    """The page, or with ``part=panel`` the part for a target's page; points are fetched by what it shows, not read here."""
    target = target_of(request, pk)
    panel = request.GET.get('part') == 'panel'
    context = {
        'target': target,
        'any': visible_points(request.user, target).exists(),
        'may_ask': askable_targets(request.user).filter(pk=pk).exists(),
        'form': switches(request),
        'formats': [(kind, WORDS[kind]) for kind in FORMATS],
        'files': _files(request.user, target),
        'plotly_version': plotly.__version__,
        'panel': panel,
    }
    return render(request, f'tom_forced_phot/{"partials/lightcurve_panel" if panel else "lightcurve"}.html', context)


def _files(user: Any, target: Any) -> list[Any]:
    """The newest files of services that brought points, as far as this user may see them."""
    products = visible_products(user).filter(target_id=target.pk).values('pk')
    rows = IngestedFile.objects.filter(light_curve__target_id=target.pk, data_product__in=products)
    return list(rows.select_related('light_curve', 'data_product').order_by('-ingested', '-pk')[:MOST_FILES])


HERE = 'light-curves/<int:pk>/'
urlpatterns: list[Any] = [
    path('plotly-<str:version>.js', plotly_js, name='plotly'),
    path(HERE, light_curve, name='light-curve'),
    path(f'{HERE}data.json', data, name='light-curve-data'),
    path(f'{HERE}download/<str:kind>/', download, name='light-curve-download'),
    path(f'{HERE}points/', points, name='light-curve-points'),
    path(f'{HERE}points/<int:point>/', point, name='light-curve-point'),
    path(f'{HERE}points/<int:point>/hidden/', hide_point, name='light-curve-hide'),
]
