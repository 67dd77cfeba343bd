"""Every URL and template of the host that this app answers in its place, and the version of the host it was checked against.

The host's page asks without looking whether the user may see the target, and tells the service nothing about who asks
(tom_dataproducts/views.py 90-173 of tomtoolkit 3.1.0). Its lists of targets have no hook for a button. Tests fail when the host's
code or templates change.
"""

from __future__ import annotations

from typing import Any

from django.urls import path

HOST_VERSION = '3.1.0'
#: Templates of the host that this app has under the same name (it stands before the host in INSTALLED_APPS), and what for.
SHADOWED = {
    'tom_targets/target_list.html': 'extended: a button that asks about the ticked targets, or about the list that is shown',
    'tom_targets/target_grouping.html': 'extended: a button that asks about the target lists that are ticked',
}


def url_paths() -> list[Any]:
    """Handed to the host by ``include_url_paths``; the host puts them before its own."""
    from tom_forced_phot.views.ask import AskView

    return [path('dataproducts/data/single_target_data_service/<str:service>/query/', AskView.as_view())]
