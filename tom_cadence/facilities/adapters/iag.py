"""The telescopes of the Institute for Astrophysics and Geophysics in Göttingen (MONET), by tom-iag 0.2: a portal of the OCS family.

``tom_iag/iag.py``: the class is none of the toolkit's OCS family, but its portal and its payload are, so that a request is marked
and found as there. Every answer from 400 to 499 is raised as wrong credentials; ``errors`` reads what the answer was.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from tom_cadence.facilities import marks
from tom_cadence.facilities.adapters.plugin import Adapter
from tom_cadence.facilities.marks import Sought


class Iag(Adapter):
    """Marked and found by name."""

    facilities = ('tom_iag.iag.IAGFacility',)

    def can_look_up(self) -> bool:
        """By the mark in the name."""
        return True

    def mark(self, payload: Any, token: str) -> Any:
        """As at any portal of that family."""
        return marks.mark(payload, token)

    def find(self, facility: Any, what: Sought) -> list[str]:
        """The plugin's own address and key, asked as the toolkit's class would."""
        home = next(each for each in type(facility).__mro__ if f'{each.__module__}.{each.__qualname__}' in self.facilities)
        address = sys.modules[home.__module__].PORTAL_URL
        portal = SimpleNamespace(
            facility_settings=SimpleNamespace(get_setting=lambda name: address), _portal_headers=facility._portal_headers
        )
        return marks.find(portal, what)
