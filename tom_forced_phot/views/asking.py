"""Asking one or several services about one or many targets: what will be asked, then the asking."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path


def ask(request: HttpRequest) -> HttpResponse:
    """To be built."""
    return HttpResponse('')


urlpatterns: list[Any] = [path('ask/', ask, name='ask')]
