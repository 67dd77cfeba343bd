"""What can go wrong; the class says what happens next.

``Temporary``
    Proven not to have reached the facility, or a question that can simply be asked again: try at the next run.
``Uncertain``
    The facility may have booked it. Look it up; never send it again before that.
``Refused``
    The facility, or our own validation, said no before anything was booked: the failure policy counts it.
``Credentials``
    The facility does not accept who we are: every cadence of that facility and owner waits for a person.
``NeedsAttention``
    Nothing a machine may decide: the cadence waits for a person.
``LostClaim``
    Another process holds the cadence, or somebody edited or paused it meanwhile: this run leaves it alone.
"""

from __future__ import annotations


class CadenceError(Exception):
    """Base of this app's errors."""


class Temporary(CadenceError):
    """Nothing reached the facility; it is tried again at the next run."""


class Uncertain(CadenceError):
    """The facility may have accepted the observation although no usable reply arrived."""


class Refused(CadenceError):
    """The observation was refused before anything was booked."""


class Credentials(CadenceError):
    """The facility refused the credentials."""


class NeedsAttention(CadenceError):
    """A person has to decide before this cadence goes on."""


class LostClaim(CadenceError):
    """The cadence was taken, edited or paused by somebody else in the meantime."""


class BadWindow(CadenceError):
    """The observing window of a record is missing, unreadable or reversed."""
