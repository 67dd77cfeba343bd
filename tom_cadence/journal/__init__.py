"""The only writer of this app's rows, and of observation records made by cadences.

``claims`` who may decide; ``intents`` an observation request before it is sent, ``requests`` what became of it (``together``,
of several at once); ``states`` active, paused, finished, needs attention; ``notes`` the history of decisions; ``adoption``
taking over the host's cadences; ``resolve`` a person's word.
"""

from tom_cadence.journal.adoption import adopt, adopt_missing, close_deleted, complete, reconcile, switched
from tom_cadence.journal.claims import Claim, claim, expire_claims, release
from tom_cadence.journal.log import Checked, note, note_checked, note_late_checks
from tom_cadence.journal.requests import (
    Accepted,
    Intent,
    Reply,
    accept,
    accept_together,
    adopt_records,
    discard,
    know,
    know_groups,
    mark_uncertain,
    note_refused,
    open_request,
    open_requests,
    refuse,
    save_status,
    say_booked,
    say_send_again,
)
from tom_cadence.journal.states import (
    pause,
    pause_for_credentials,
    raise_version,
    resume,
    resume_after_credentials,
    stop,
)

__all__ = [
    'Accepted',
    'Checked',
    'Claim',
    'Intent',
    'Reply',
    'accept',
    'accept_together',
    'adopt',
    'adopt_missing',
    'adopt_records',
    'claim',
    'close_deleted',
    'complete',
    'discard',
    'expire_claims',
    'know',
    'know_groups',
    'mark_uncertain',
    'note',
    'note_checked',
    'note_late_checks',
    'note_refused',
    'open_request',
    'open_requests',
    'pause',
    'pause_for_credentials',
    'raise_version',
    'reconcile',
    'refuse',
    'release',
    'resume',
    'resume_after_credentials',
    'save_status',
    'say_booked',
    'say_send_again',
    'stop',
    'switched',
]
