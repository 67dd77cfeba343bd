"""This app's own pages, below ``/cadences/`` and ``/observation-templates/``."""

from __future__ import annotations

from typing import Any

app_name = 'tom_cadence'
urlpatterns: list[Any] = []
