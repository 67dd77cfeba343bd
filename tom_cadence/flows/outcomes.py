"""What became of an observation whose facility cannot be asked: a person looks there, and says it here.

It is written as the state of its record, through the host's own ``save()``, and stands in the history of each of its cadences with
the name of who said it; at their next runs these go on from it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from tom_observations.models import ObservationRecord

from tom_cadence import journal
from tom_cadence.core.history import Outcome
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.journal import notices
from tom_cadence.models import CadenceRun, ManagedCadence
from tom_cadence.permissions import cancellable_records, changeable_cadences

WORDS = {'observed': 'Observed', 'failed': 'Failed', 'not-observed': 'Not observed'}
"""What a person may say, and how the buttons call it. Not observed: the window ended before its turn came."""


def may_say(user: Any, record: ObservationRecord) -> bool:
    """Whether this user may: whoever may cancel the observation, or change a cadence that it belongs to."""
    own = cancellable_records(user, ObservationRecord.objects.filter(pk=record.pk))
    return own.exists() or changeable_cadences(user, _cadences(record)).exists()


def choices(record: ObservationRecord) -> dict[str, str]:
    """What may be said of this observation, {word: the state that is recorded}; empty where its facility says it itself."""
    try:
        return Facilities().gateway(record.facility, None).states_by_hand
    except Exception:  # a facility class is the site's code, or configured no more: nobody knows its states
        return {}


def say(record: ObservationRecord, word: str, by: str, now: datetime, shown: str | None = None) -> str:
    """Record what became of it, and say what was done. ``shown``: the state that the page showed; ``by``: who says it.

    CadenceError where the facility can be asked, or where the state is another one by now.
    """
    state = choices(record).get(word)
    if state is None:
        raise CadenceError(f'{record.facility} says itself what became of an observation: nothing was changed.')
    with transaction.atomic():
        found = ObservationRecord.objects.select_for_update().get(pk=record.pk)
        if shown is not None and shown != found.status:
            raise CadenceError(f'Observation {found.observation_id} is {found.status or "without a state"} by now: look again.')
        if not journal.save_status(found, state, None):
            return f'Observation {found.observation_id} is {state} already.'
        journal.raise_version(pk__in=[managed.pk for managed in _cadences(found)])
        for managed in _cadences(found):
            text = f'{by} said of observation {found.observation_id}: {WORDS[word].lower()}.'
            journal.note(managed, CadenceRun.Decision.NOTE, text, now)
            if managed.owner is not None and managed.owner.get_username() != by:
                notices.tell_owner(managed, 'said', text)
    return f'Observation {found.observation_id}: {WORDS[word].lower()}.'


def is_unfinished(record: ObservationRecord) -> bool:
    """Whether nobody has said yet what became of it."""
    try:
        return Facilities().gateway(record.facility, None).outcome(record.status) is Outcome.WAITING
    except Exception:  # as above
        return False


def _cadences(record: ObservationRecord) -> Any:
    groups = record.observationgroup_set.values('pk')
    return ManagedCadence.objects.filter(cadence__observation_group__in=groups).select_related('owner', 'cadence').order_by('pk')
