"""Every URL and template of the host that this app answers in its place, and the version of the host it was checked against.

The two for observations call the host's own code; they only check first what the host checks after the observation was sent, or
never: who may see the target (tom_observations/views.py 379-437 and api_views.py 75-171 of tomtoolkit 3.1.0). Both send, so neither
runs inside a transaction of the request. Those for templates lead to this app's pages. SHADOWED lists the host's templates of which
this app has one of the same name. A test fails when the host's code or templates change.
"""

from __future__ import annotations

from typing import Any

from django.db.transaction import non_atomic_requests
from django.urls import path

HOST_VERSION = '3.1.0'
#: Templates of the host that this app has under the same name (it stands before the host in INSTALLED_APPS), and what for.
SHADOWED = {
    'tom_observations/observationgroup_list.html': 'extended: a way to start a cadence for a group',
    'tom_observations/observationrecord_detail.html': (
        'extended: the cadence of the observation, and the observations before and after it'
    ),
    'tom_observations/partials/observationtemplate_from_record.html': 'replaced: the button that makes a template of any record',
}


def url_paths() -> list[Any]:
    """Handed to the host by ``include_url_paths``; the host puts them before its own."""
    from tom_cadence.api import CheckedObservationViewSet
    from tom_cadence.views import templates
    from tom_cadence.views.start import CheckedObservationCreateView

    return [
        path('api/observations/', non_atomic_requests(CheckedObservationViewSet.as_view({'get': 'list', 'post': 'create'}))),
        path('observations/template/list/', templates.host_list),
        path('observations/template/<str:facility>/create/', templates.host_create),
        path('observations/template/<int:pk>/update/', templates.host_update),
        path('observations/template/<int:pk>/delete/', templates.delete),
        path('observations/template/<int:pk>/', templates.host_update),
        path('observations/<int:pk>/template/', templates.host_record),
        path('observations/<str:facility>/create/', non_atomic_requests(CheckedObservationCreateView.as_view())),
    ]
