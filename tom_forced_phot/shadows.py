"""Every URL of the host that this app answers in its place, and the version of the host it was checked against.

The host's page asks without looking whether the user may see the target, and tells the service nothing about who asks
(tom_dataproducts/views.py 90-173 of tomtoolkit 3.1.0). A test fails when the host's code changes.
"""

from __future__ import annotations

from typing import Any

from django.urls import path

HOST_VERSION = '3.1.0'


def url_paths() -> list[Any]:
    """Handed to the host by ``include_url_paths``; the host puts them before its own."""
    from tom_forced_phot.views.ask import AskView

    return [path('dataproducts/data/single_target_data_service/<str:service>/query/', AskView.as_view())]
