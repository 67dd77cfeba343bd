"""What can go wrong; the class says what happens next.

``Temporary``
    Proven not to have changed anything at the service, or a question that can simply be asked again: later, by itself.
``Throttled``
    The service, or our own budget for it, says not now: later, by itself, after ``seconds``.
``Uncertain``
    The service may have accepted a request although no usable reply arrived: it is looked up, and never sent again before that.
``Refused``
    The service, or we before asking it, said no: the query failed, and a person reads why.
``Credentials``
    The service does not accept who we are: a person has to put it right.
``UnexpectedReply``
    The service answered something that it never should: asked again a few times, then a person reads the beginning of it.
``Expired``
    The result was removed at the service before it was fetched.
``BadFile``
    A file is not what this service sends.
``LostClaim``
    Another process works on it, or somebody cancelled it meanwhile: this one leaves it alone.
"""

from __future__ import annotations

from tom_followup.redaction import redact

LONGEST = 1000


class ForcedPhotometryError(Exception):
    """Base of this app's errors. Its text fits into a row and on a page and holds no secret, whoever it quotes.

    ``whole``: the text as it was given. Who knows the secrets takes them out of this one, before anything is cut in two.
    """

    def __init__(self, *given: object) -> None:
        """A text is cleaned and cut off here, so that no one who catches it has to."""
        self.whole = given[0] if given and isinstance(given[0], str) else ''
        texts = (
            each[:LONGEST].encode('utf-8', 'replace').decode().replace('\0', '') if isinstance(each, str) else each
            for each in given
        )
        super().__init__(*(redact(each, queries=True) if isinstance(each, str) else each for each in texts))


class Temporary(ForcedPhotometryError):
    """It is tried again later; nothing happened at the service."""


class Throttled(Temporary):
    """It is tried again after ``seconds``."""

    def __init__(self, text: str, seconds: float) -> None:
        """Say why, and how long to wait."""
        super().__init__(text)
        self.seconds = seconds


class Uncertain(ForcedPhotometryError):
    """The service may have accepted it although no usable reply arrived."""


class Refused(ForcedPhotometryError):
    """It was refused before anything was queued at the service."""


class Credentials(ForcedPhotometryError):
    """The service refused the credentials, or there are none."""


class UnexpectedReply(ForcedPhotometryError):
    """The service answered something else than it documents."""


class Expired(ForcedPhotometryError):
    """The result is no longer at the service."""


class BadFile(ForcedPhotometryError):
    """The file is not one of this service, or cannot be read at all."""


class LostClaim(ForcedPhotometryError):
    """Somebody else works on it, or it was cancelled in the meantime."""
