"""What an exception from a facility means: (exception, stage, what left) -> one of this app's errors.

From the first byte of a submit call the answer is Uncertain, unless it is proven that nothing was booked: nothing but
questions left in the whole call, or each of its orders was answered by a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import requests
from django.core.exceptions import ImproperlyConfigured, ValidationError
from tom_common.exceptions import ImproperCredentialsException

from tom_cadence.core.seasons import Objection, objections_in, season_of
from tom_cadence.exceptions import CadenceError, ChangeNeeded, Credentials, NeedsAttention, NotYet, Refused, Temporary, Uncertain
from tom_cadence.facilities.calls import Busy, NotAsked
from tom_cadence.facilities.reply_text import redact, short_line
from tom_cadence.facilities.transport import HttpAttempt, Overdue, Traffic, never_connected

MISADDRESSED = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)
#: Answers by which a server says that it did not do what it was asked for; a conflict may be with an earlier try.
DECLINED = frozenset(range(400, 500)) - {408, 409, 423, 425}
LONGEST_WAIT = 6 * 3600.0
USUAL_WAIT = 60.0


class Declined(Refused):
    """The facility's own answer says that it booked nothing; whoever raises it has read that answer."""


class CallStage(str, Enum):
    """What was being done."""

    STATUS = 'status'
    PREPARE = 'prepare'
    SEND = 'send'
    LOOK_UP = 'look-up'
    CANCEL = 'cancel'


def classify(error: BaseException, stage: CallStage, facility: Any, traffic: Traffic | None = None) -> CadenceError:
    """The error of this app that says what happens next; its text says who did what.

    ``traffic`` is what left in the call. Without it nothing that was sent is taken for proven not to have arrived.
    """
    name = getattr(facility, 'name', str(facility))
    if stage is CallStage.SEND:
        return _sending(error, facility, name, traffic or Traffic(unseen=True))
    if isinstance(error, CadenceError):
        return _own(error)
    text = _unnamed(readable(error), name)
    mislabelled = _mislabelled(error, traffic)
    if mislabelled is not None and mislabelled.status == 400 and stage is CallStage.PREPARE:
        return Refused(f'{name} would refuse it: {text}')
    if mislabelled is None and _is_credentials(error):
        return Credentials(f'{name} does not accept the credentials: {text}')
    if isinstance(error, ImproperlyConfigured):
        return Credentials(f'{name} is not set up for this owner: {text}')
    status, retry_after = _answered(error) if mislabelled is None else (mislabelled.status or 0, mislabelled.retry_after)
    if _is_busy(status, retry_after):
        return _busy(name, retry_after)
    if status:
        return Temporary(f'{name} answered {text}.')
    if isinstance(error, NotAsked):
        return Temporary(text)
    if isinstance(error, (requests.RequestException, Overdue, OSError)):
        return Temporary(f'{name} did not answer: {text}')
    if isinstance(error, JSONDecodeError):
        return Temporary(f'{name} gave no usable answer: {text}')
    if stage is CallStage.PREPARE:
        if isinstance(error, ValidationError):
            return refusal(f'{name} would refuse it: {text}', objections_in(text))
        return Refused(f'The observation form of {name} does not accept the parameters: {text}')
    if isinstance(error, ValidationError):
        return Refused(f'{name} refuses: {text}') if stage is CallStage.CANCEL else Temporary(f'{name} refuses: {text}')
    return Temporary(f'{name} gave no usable answer: {text}')


def refusal(text: str, objections: Sequence[Objection], until: datetime | None = None) -> Refused:
    """A refusal by its class: one that passes by itself (``until``, where that is known), one for a person to mend, or any other.

    ``text`` says who refused what, in words.
    """
    season = season_of(objections)
    if season is None:
        return Refused(text)
    return NotYet(text, kind=season.kind, until=until) if season.passes else ChangeNeeded(text)


def _unnamed(text: str, name: str) -> str:
    """The toolkit's own facilities begin with their name, those of the OCS family with that of the family."""
    return text.removeprefix(f'{name}: ').removeprefix('OCS: ')


def _own(error: CadenceError) -> CadenceError:
    """An error of ours that a site's class raised: as it is, but for secrets in its text."""
    text = str(error)
    if redact(text) != text:
        error.args = (short_line(text), *error.args[1:])
    return error


def _sending(error: BaseException, facility: Any, name: str, traffic: Traffic) -> CadenceError:
    if isinstance(error, NotAsked):
        return Temporary(f'Nothing was sent: {short_line(error)}')
    if isinstance(error, Declined):
        return _own(error)
    text = _unnamed(readable(error), name)
    orders = traffic.orders
    last = orders[-1] if orders else None
    earlier_declined = all(_declined(attempt) for attempt in orders[:-1])
    if isinstance(error, CadenceError) and not isinstance(error, Uncertain):
        if all(_declined(attempt) or _throttled(attempt) for attempt in orders):
            return _own(error)
        return Uncertain(f'{name} may have accepted a part before: {text}')
    if isinstance(error, Uncertain):
        return _own(error)
    mislabelled = _mislabelled(error, traffic)
    refused = documented_refusals(facility) if mislabelled is None or mislabelled.status != 400 else (type(error),)
    # no answer, or an answer of success: then a class that says "refused" speaks of something else
    maybe_booked = last is not None and (last.status is None or last.status < 400)
    if isinstance(error, refused) and earlier_declined and not maybe_booked:
        return refusal(f'{name} refused the observation: {text}', objections_in(text))
    if never_arrived(error, traffic):
        return Temporary(f'{name} could not be reached: {text}')
    if traffic.unseen:
        return Uncertain(f'It is not known whether {name} booked the observation: {text}')
    if (mislabelled is None and _is_credentials(error)) or isinstance(error, ImproperlyConfigured):
        if earlier_declined and (last is None or _declined(last)):
            what = 'does not accept the credentials' if _is_credentials(error) else 'is not set up for this owner'
            return Credentials(f'{name} {what}: {text}')
    elif last and _throttled(last) and all(_declined(each) or _throttled(each) for each in orders):
        return _busy(name, last.retry_after)
    elif isinstance(error, NotImplementedError) and not orders:
        return NeedsAttention(f'{name} cannot take observations from this TOM: {text}')
    if any(attempt.status is not None and attempt.status < 400 for attempt in orders[:-1]):
        return Uncertain(f'{name} had accepted a part before: {text}')
    return Uncertain(f'It is not known whether {name} booked the observation: {text}')


def _declined(attempt: HttpAttempt) -> bool:
    return attempt.status in DECLINED


def _throttled(attempt: HttpAttempt) -> bool:
    return attempt.status is not None and _is_busy(attempt.status, attempt.retry_after)


def _is_busy(status: int, retry_after: str) -> bool:
    return status == 429 or (status == 503 and bool(retry_after))


def _busy(name: str, retry_after: str) -> Busy:
    wait = seconds_of(retry_after)
    return Busy(f'{name} asks to be left alone for {round(wait)} s; nothing was booked.', wait)


def seconds_of(retry_after: str) -> float:
    """How long a server's Retry-After (seconds, or a date) asks to wait, within bounds."""
    text = retry_after.strip()
    if re.fullmatch(r'\d{1,9}(\.\d{1,9})?', text):
        return min(max(float(text), 1.0), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return USUAL_WAIT
    until = until if until.tzinfo else until.replace(tzinfo=timezone.utc)
    return min(max((until - datetime.now(timezone.utc)).total_seconds(), 1.0), LONGEST_WAIT)


def documented_refusals(facility: Any) -> tuple[type[BaseException], ...]:
    """Exceptions by which this facility says "refused, nothing booked".

    The toolkit's OCS family raises ValidationError for HTTP 400 only (``facilities/ocs.py`` make_request), and a portal
    that answers 400 has booked nothing. Other facilities say so with ``refusals``.
    """
    declared = getattr(facility, 'refusals', None)
    if declared is not None:
        return tuple(declared)
    from tom_observations.facilities.ocs import OCSFacility

    return (ValidationError,) if isinstance(facility, OCSFacility) else ()


def never_arrived(error: BaseException, traffic: Traffic) -> bool:
    """Whether it is proven that the facility got no more than questions in the call that ended with this error.

    The error must be the transport's own, of an attempt that was watched: another one may hide a try before it. An address
    that cannot be used is found before any attempt.
    """
    if not traffic.silent:
        return False
    return isinstance(error, MISADDRESSED) or (never_connected(error) and traffic.raised(error))


def _is_credentials(error: BaseException) -> bool:
    if isinstance(error, ImproperCredentialsException):
        return True
    return _answered(error)[0] in (401, 403)


def _mislabelled(error: BaseException, traffic: Traffic | None) -> HttpAttempt | None:
    """The answer behind an error that speaks of credentials and is about something else: tom-iag says so of all from 400 to 499."""
    last = traffic.attempts[-1] if traffic is not None and traffic.attempts else None
    if not isinstance(error, ImproperCredentialsException) or last is None or last.status is None:
        return None
    return last if 400 <= last.status < 500 and last.status not in (401, 402, 403) else None


def _answered(error: BaseException) -> tuple[int, str]:
    """The status and the Retry-After of the answer that an HTTP error tells of; 0 where there was none."""
    response = getattr(error, 'response', None)
    if not isinstance(error, requests.HTTPError) or response is None:
        return 0, ''
    return int(response.status_code or 0), str(response.headers.get('Retry-After', ''))


def readable(error: BaseException) -> str:
    """The error as one short line without secrets: its kind where it has no text."""
    text = '; '.join(error.messages) if isinstance(error, ValidationError) else _in_words(error) or str(error)
    return short_line(text) or type(error).__name__


def _in_words(error: BaseException) -> str:
    """What went wrong on the way, without the address and the objects that a client's own text names; empty for other errors."""
    response = getattr(error, 'response', None)
    if isinstance(error, requests.HTTPError) and response is not None and response.status_code:
        return f'HTTP {response.status_code}{f" ({response.reason})" if response.reason else ""}'
    host = urlsplit(str(getattr(getattr(error, 'request', None), 'url', '') or '')).hostname or ''
    if isinstance(error, requests.exceptions.ConnectTimeout) or (host and never_connected(error)):
        return f'nobody answers at {host}' if host else 'nobody answers at its address'
    if isinstance(error, requests.Timeout):
        return 'no answer came in time'
    if isinstance(error, requests.exceptions.SSLError):
        return 'its certificate was not accepted'
    if isinstance(error, requests.exceptions.ChunkedEncodingError) or (host and isinstance(error, requests.ConnectionError)):
        return 'the connection broke off'
    if isinstance(error, JSONDecodeError):
        return 'its answer is not JSON'
    return error.strerror if isinstance(error, ConnectionError) and error.strerror else ''


def answered_with_an_error(error: Exception) -> bool:
    """Whether the facility did answer, with an error of its own or with what cannot be read."""
    cause = error.__cause__
    if isinstance(error, Busy) or isinstance(cause, (Overdue, NotAsked)):
        return False
    if isinstance(cause, requests.HTTPError):
        return cause.response is not None and cause.response.status_code not in (502, 503, 504)
    return not isinstance(cause, (requests.ConnectionError, requests.Timeout))
