"""Every URL of the host that this app answers in its place, and the version of the host it was checked against.

Both call the host's own code; they only check first what the host checks too late: after the observation was sent
(tom_observations/views.py 379-437 and api_views.py 75-171 of tomtoolkit 3.1.0). A test fails when the host's code changes.
"""

from __future__ import annotations

from typing import Any

from django.urls import path

HOST_VERSION = '3.1.0'


def url_paths() -> list[Any]:
    """Handed to the host by ``include_url_paths``; the host puts them before its own."""
    from tom_cadence.api import CheckedObservationViewSet
    from tom_cadence.views.start import CheckedObservationCreateView

    return [
        path('api/observations/', CheckedObservationViewSet.as_view({'get': 'list', 'post': 'create'})),
        path('observations/<str:facility>/create/', CheckedObservationCreateView.as_view()),
    ]
