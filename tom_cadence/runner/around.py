"""What is around cadences: light curves, fresh looks and the sky, each read for many at once, and only where it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tom_cadence.facilities import Facilities
from tom_cadence.history import Attempt
from tom_cadence.models import ManagedCadence
from tom_cadence.parameters import Parameters
from tom_cadence.photometry import EMPTY
from tom_cadence.runner.attempts import Row
from tom_cadence.runner.fresh import read_looks
from tom_cadence.runner.photometry import read_photometry
from tom_cadence.runner.read import Around, Looked
from tom_cadence.runner.sky import read_sky

NOTHING = Around()


def read_around(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> None:
    """Fill in what these cadences look at besides their observations; no statement where none looks at anything."""
    curves, looks, skies = read_photometry(looked, now), read_looks(looked), read_sky(looked, facilities)
    for item in looked:
        key = id(item)
        sky = skies.get(key)
        known, trouble = (None, sky) if isinstance(sky, str) else (sky, '')
        found = Around(photometry=curves.get(key, EMPTY), looks=looks.get(key, ()), sky=known, trouble=trouble)
        item.around = found if key in curves or key in looks or sky is not None else NOTHING


def around_new(strategy: Any, parameters: Parameters, owner: Any, first: Attempt, target: int, now: datetime) -> Around:
    """What is around a cadence that does not exist yet, whose first observation would be ``first``."""
    row = Row(
        pk=first.record,
        observation_id=first.observation_id,
        facility=first.facility,
        status=first.status,
        created=first.created,
        scheduled_start=None,
        scheduled_end=None,
        start=None,
        end=None,
        submission=None,
        target=target,
    )
    managed = ManagedCadence(owner=owner, facility=first.facility)
    item = Looked(managed=managed, strategy=strategy, parameters=parameters, rows=[row])
    read_around([item], Facilities(), now)
    return item.around or NOTHING
