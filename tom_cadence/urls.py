"""This app's own pages: below ``/cadences/`` and ``/observation-templates/``. Each room of the house hands in its own paths."""

from __future__ import annotations

from importlib import import_module
from typing import Any

app_name = 'tom_cadence'
#: Modules of tom_cadence.views with a list ``urlpatterns``, in the order in which they are asked.
ROOMS = ('overview', 'simulating', 'page', 'starting', 'templates')
urlpatterns: list[Any] = [pattern for room in ROOMS for pattern in import_module(f'tom_cadence.views.{room}').urlpatterns]
