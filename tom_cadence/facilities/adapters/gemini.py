"""Gemini, as tomtoolkit 3.1.0 has it: its class answers an empty state for every observation (gemini.py 506)."""

from __future__ import annotations

from tom_cadence.facilities.adapters.plugin import Adapter


class Gemini(Adapter):
    """A person says what became of each; a lost reply is put before a person."""

    facilities = ('tom_observations.facilities.gemini.GEMFacility',)
    answers = False
