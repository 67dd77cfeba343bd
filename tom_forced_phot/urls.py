"""This app's own pages, below ``/forced-photometry/``. Each page hands in its own paths."""

from __future__ import annotations

from importlib import import_module
from typing import Any

app_name = 'tom_forced_phot'
#: Modules of tom_forced_phot.pages with a list ``urlpatterns``, in the order in which they are asked.
PAGES = ('ask.views', 'queries.views', 'subscriptions', 'services', 'credentials', 'lightcurve.views')
urlpatterns: list[Any] = [pattern for page in PAGES for pattern in import_module(f'tom_forced_phot.pages.{page}').urlpatterns]
