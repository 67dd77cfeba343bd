"""This app's own pages, below ``/forced-photometry/``. Each room of the house hands in its own paths."""

from __future__ import annotations

from importlib import import_module
from typing import Any

app_name = 'tom_forced_phot'
#: Modules of tom_forced_phot.views with a list ``urlpatterns``, in the order in which they are asked.
ROOMS = ('asking', 'watching', 'subscriptions', 'services', 'credentials', 'lightcurve', 'tab')
urlpatterns: list[Any] = [pattern for room in ROOMS for pattern in import_module(f'tom_forced_phot.views.{room}').urlpatterns]
