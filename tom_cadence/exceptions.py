"""What can go wrong; the class says what happens next.

``Temporary``
    Proven not to have reached the facility, or a question that can simply be asked again: try at the next run.
``Uncertain``
    The facility may have booked it. Look it up; never send it again before that.
``Refused``
    The facility, or our own validation, said no before anything was booked: the failure policy counts it.
``NotYet``
    Refused for now, by the season and not for good (a semester's end, no time left): a cadence waits, and nothing has failed.
``ChangeNeeded``
    Refused until a person asks for something else (a proposal that is over): a cadence waits for that person.
``Credentials``
    The facility does not accept who we are: every cadence of that facility and owner waits for a person.
``NeedsAttention``
    Nothing a machine may decide: the cadence waits for a person.
``LostClaim``
    Another process holds the cadence, or somebody edited or paused it meanwhile: this run leaves it alone.
"""

from __future__ import annotations

from datetime import datetime

LONGEST = 3000


class CadenceError(Exception):
    """Base of this app's errors. Its text fits into a row and on a page, whoever it quotes."""

    def __init__(self, *words: object) -> None:
        """A text is cut off after ``LONGEST`` letters."""
        super().__init__(*(f'{word[: LONGEST - 1]}…' if isinstance(word, str) and len(word) > LONGEST else word for word in words))


class Temporary(CadenceError):
    """Nothing reached the facility; it is tried again at the next run."""


class Uncertain(CadenceError):
    """The facility may have accepted the observation although no usable reply arrived."""


class Refused(CadenceError):
    """The observation was refused before anything was booked.

    ``by_field``: what is wrong with which field of the facility's form (``__all__``: with the whole), where that is known.
    """

    by_field: tuple[tuple[str, str], ...] = ()


class NotYet(Refused):
    """The facility cannot take the observation now, and may later."""

    def __init__(self, text: str, *, kind: str = '', until: datetime | None = None, for_owner: str = '') -> None:
        """``kind`` is what it waits for (``core.seasons``); ``until`` when that is known to have come, aware UTC.

        ``for_owner`` is a sentence that only the owner is told: ``text`` is read by whoever may see the cadence.
        """
        super().__init__(text)
        self.kind, self.until, self.for_owner = kind, until, for_owner


class ChangeNeeded(Refused):
    """The facility will not take this observation as it is, however often it is asked; another one it may."""


class Credentials(CadenceError):
    """The facility refused the credentials."""


class NeedsAttention(CadenceError):
    """A person has to decide before this cadence goes on."""


class LostClaim(CadenceError):
    """The cadence was taken, edited or paused by somebody else in the meantime."""


class BadWindow(CadenceError):
    """The observing window of a record is missing, unreadable or reversed."""
