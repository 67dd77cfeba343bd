"""The app, as the TOM Toolkit finds it."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.urls import include, path


class TomCadenceConfig(AppConfig):
    """Dynamic cadences."""

    name = 'tom_cadence'
    verbose_name = 'Cadences'
    default_auto_field = 'django.db.models.BigAutoField'

    def ready(self) -> None:
        """Connect the signals and checks, bind deadlines to facility calls, watch
        who else books, and refuse a strategy path that cannot be loaded."""
        from tom_cadence import checks, registry, signals
        from tom_cadence.engine import run_one
        from tom_cadence.facilities import interception
        from tom_cadence.facilities.transport import install_transport_hook
        from tom_cadence.flows import other_code
        from tom_cadence.strategies import base

        install_transport_hook()
        base.carry_out = run_one
        interception.carry_out = other_code.carry_out
        interception.watch_facilities()
        signals.connect()
        checks.register_all()
        registry.validate_paths()

    def include_url_paths(self) -> list[Any]:
        """URLs of the host that are answered here (an integration point of the host)."""
        from tom_cadence.host import url_paths

        return [*url_paths(), path('', include('tom_cadence.urls', namespace='cadences'))]

    def nav_items(self) -> list[dict[str, str]]:
        """In every page's navigation: the list of cadences, and the bell."""
        return [
            {'partial': 'tom_cadence/partials/nav_cadences.html', 'position': 'left'},
            {'partial': 'tom_cadence/partials/nav_bell.html', 'position': 'right'},
        ]

    def target_detail_tabs(self) -> list[dict[str, str]]:
        """One tab on a target's page, fetched when it is opened."""
        return [
            {
                'partial': 'tom_cadence/partials/target_tab.html',
                'label': 'Cadences',
                'context': 'tom_cadence.pages.overview.views.tab_context',
            }
        ]

    def profile_details(self) -> list[dict[str, str]]:
        """On the user's own profile: what they are told."""
        return [
            {'partial': 'tom_cadence/partials/profile_notices.html', 'context': 'tom_cadence.pages.overview.views.profile_context'}
        ]
