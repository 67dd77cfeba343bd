"""The app, as the TOM Toolkit finds it."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig


class TomForcedPhotConfig(AppConfig):
    """Forced photometry of a TOM's targets."""

    name = 'tom_forced_phot'
    verbose_name = 'Forced photometry'
    default_auto_field = 'django.db.models.BigAutoField'

    def ready(self) -> None:
        """Connect the signals and checks, and let the host's own page ask through the engine."""
        from tom_forced_phot import checks, hosted, signals
        from tom_forced_phot.services import base

        signals.connect()
        checks.register_all()
        base.ask = hosted.ask

    def include_url_paths(self) -> list[Any]:
        """URLs of the host that are answered here (an integration point of the host)."""
        from tom_forced_phot.shadows import url_paths

        return url_paths()
