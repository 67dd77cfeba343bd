"""The only writer of this app's rows, and of observation records that it asked for.

``claims`` who may decide; ``requests`` an observation request before it is sent, and its end; ``records`` what was booked, and a
person's word; ``states`` active, paused, finished, needs attention; ``notes`` the history of decisions; ``adoption`` taking over
the host's cadences; ``templates`` templates, and what precedes sending where one is applied.
"""

from tom_cadence.journal.adoption import adopt, adopt_missing, close_deleted, complete, reconcile, switched
from tom_cadence.journal.claims import Claim, claim, expire_claims, release
from tom_cadence.journal.log import Checked, note, note_checked, note_late_checks
from tom_cadence.journal.records import (
    Reply,
    accept,
    accept_together,
    adopt_records,
    confirm_booked,
    confirm_not_booked,
    follow_groups,
    forget_booking,
    know,
    lost_booking,
    record_again,
    recorded,
    save_status,
)
from tom_cadence.journal.requests import (
    Intent,
    check_still_current,
    discard,
    keep_replies,
    mark_of,
    mark_uncertain,
    note_refused,
    open_order,
    open_request,
    open_request_of,
    open_requests,
    refuse,
    tell_uncertain,
)
from tom_cadence.journal.states import (
    pause,
    pause_for_credentials,
    raise_version,
    resume,
    resume_after_credentials,
    stop,
)
from tom_cadence.journal.waits import ask_instead, pause_facilities, paused_facilities, postpone, warn_of_budget

__all__ = [
    'Checked',
    'Claim',
    'Intent',
    'Reply',
    'accept',
    'accept_together',
    'adopt',
    'adopt_missing',
    'adopt_records',
    'ask_instead',
    'check_still_current',
    'claim',
    'close_deleted',
    'complete',
    'confirm_booked',
    'confirm_not_booked',
    'discard',
    'expire_claims',
    'follow_groups',
    'forget_booking',
    'keep_replies',
    'know',
    'lost_booking',
    'mark_of',
    'mark_uncertain',
    'note',
    'note_checked',
    'note_late_checks',
    'note_refused',
    'open_order',
    'open_request',
    'open_request_of',
    'open_requests',
    'pause',
    'pause_facilities',
    'pause_for_credentials',
    'paused_facilities',
    'postpone',
    'raise_version',
    'reconcile',
    'record_again',
    'recorded',
    'refuse',
    'release',
    'resume',
    'resume_after_credentials',
    'save_status',
    'stop',
    'switched',
    'tell_uncertain',
    'warn_of_budget',
]
