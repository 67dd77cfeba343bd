"""This app's own pages: below ``/cadences/`` and ``/observation-templates/``. Each page hands in its own paths."""

from __future__ import annotations

from importlib import import_module
from typing import Any

app_name = 'tom_cadence'
#: Modules of tom_cadence.pages with a list ``urlpatterns``, in the order in which they are asked.
PAGES = (
    *('overview.views', 'tonight.views', 'requests', 'outcomes', 'simulate'),
    *('cadence.change', 'cadence.views', 'start.views', 'templates.views'),
)
urlpatterns: list[Any] = [pattern for page in PAGES for pattern in import_module(f'tom_cadence.pages.{page}').urlpatterns]
