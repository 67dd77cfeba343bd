"""The list of queries, one query, what is done to them, and what a user is told of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path


def query_list(request: HttpRequest) -> HttpResponse:
    """To be built."""
    return HttpResponse('')


urlpatterns: list[Any] = [path('', query_list, name='list')]
