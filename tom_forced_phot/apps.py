"""The app, as the TOM Toolkit finds it."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.urls import include, path


class TomForcedPhotConfig(AppConfig):
    """Forced photometry of a TOM's targets."""

    name = 'tom_forced_phot'
    verbose_name = 'Forced photometry'
    default_auto_field = 'django.db.models.BigAutoField'

    def ready(self) -> None:
        """Connect the signals and checks, and let the host's own page ask through the engine."""
        from tom_forced_phot import checks, host, registry, signals
        from tom_forced_phot.services import base

        signals.connect()
        checks.register_all()
        base.ask, base.config_of = host.ask, registry.config_of

    def include_url_paths(self) -> list[Any]:
        """URLs of the host that are answered here (an integration point of the host)."""
        from tom_forced_phot.host import url_paths

        return [*url_paths(), path('forced-photometry/', include('tom_forced_phot.urls', namespace='photometry'))]

    def nav_items(self) -> list[dict[str, str]]:
        """In every page's navigation: the list of queries."""
        return [{'partial': 'tom_forced_phot/partials/nav.html', 'position': 'left'}]

    def target_detail_buttons(self) -> list[dict[str, str]]:
        """Beside the buttons of a target: asking about it."""
        return [
            {'partial': 'tom_forced_phot/partials/ask_button.html', 'context': 'tom_forced_phot.pages.ask.views.button_context'}
        ]

    def target_detail_tabs(self) -> list[dict[str, str]]:
        """One tab on a target's page, fetched when it is opened."""
        return [
            {
                'partial': 'tom_forced_phot/partials/target_tab.html',
                'label': 'Forced photometry',
                'context': 'tom_forced_phot.pages.services.tab_context',
            }
        ]

    def profile_details(self) -> list[dict[str, str]]:
        """On the user's own profile: own credentials at the services."""
        return [
            {'partial': 'tom_forced_phot/partials/profile.html', 'context': 'tom_forced_phot.pages.credentials.profile_context'}
        ]
