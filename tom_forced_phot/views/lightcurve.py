"""A target's light curve: its page, the part of it on the target's page, and the addresses of what these fetch."""

from __future__ import annotations

from typing import Any

import plotly
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_GET

from tom_forced_phot.lightcurve.export import FORMATS
from tom_forced_phot.models import IngestedFile
from tom_forced_phot.permissions import askable_targets, visible_points, visible_products
from tom_forced_phot.views.lightcurve_data import data, download, plotly_js, point, switches, target_of
from tom_forced_phot.views.lightcurve_table import points

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
]
