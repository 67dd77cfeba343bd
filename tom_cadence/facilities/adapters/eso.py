"""ESO, by tom-eso 0.3: the plugin makes an observation block in P2, which a person completes and submits there.

``tom_eso/eso.py``: the form asks for run, folder and block, and for no window; ``submit_observation`` returns no id, and
``get_observation_status`` is not written. There is nothing that a cadence could repeat, or follow.
"""

from __future__ import annotations

from tom_cadence.facilities.adapters.plugin import Adapter


class Eso(Adapter):
    """No cadences."""

    facilities = ('tom_eso.eso.ESOFacility',)
    not_automated = (
        "ESO's plugin makes an observation block without a window, which a person completes and submits in P2: "
        'nothing is booked that a cadence could follow.'
    )
    answers = False
