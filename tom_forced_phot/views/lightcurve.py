"""A target's light curve: the page, its data as columns, downloads, the table of points."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path


def light_curve(request: HttpRequest, pk: int) -> HttpResponse:
    """To be built."""
    return HttpResponse('')


urlpatterns: list[Any] = [path('light-curves/<int:pk>/', light_curve, name='light-curve')]
