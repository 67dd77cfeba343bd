"""What an exception from a facility means: (exception, stage, facility) -> one of this app's errors.

From the first byte of a submit call the answer is Uncertain, unless the exception proves that nothing was booked.
"""

from __future__ import annotations

from enum import Enum
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

import requests
from django.core.exceptions import ImproperlyConfigured, ValidationError
from tom_common.exceptions import ImproperCredentialsException
from urllib3.exceptions import NameResolutionError, NewConnectionError

from tom_cadence.bounds import said
from tom_cadence.exceptions import CadenceError, Credentials, NeedsAttention, Refused, Temporary, Uncertain
from tom_cadence.facilities.calls import NotAsked, Overdue


class Stage(str, Enum):
    """What was being done."""

    STATUS = 'status'
    PREPARE = 'prepare'
    SEND = 'send'
    LOOK_UP = 'look-up'


def classify(error: BaseException, stage: Stage, facility: Any) -> CadenceError:
    """The error of this app that says what happens next; its text says who did what."""
    if isinstance(error, CadenceError):
        return error
    name = getattr(facility, 'name', str(facility))
    text = readable(error).removeprefix(f'{name}: ')  # the toolkit's own facilities begin with their name
    if _is_credentials(error):
        return Credentials(f'{name} does not accept the credentials: {text}')
    if isinstance(error, ImproperlyConfigured):
        return Credentials(f'{name} is not set up for this owner: {text}')
    if stage is Stage.SEND:
        return _sending(error, facility, name, text)
    if isinstance(error, (requests.RequestException, Overdue, OSError)):
        return Temporary(f'{name} did not answer: {text}')
    if stage is Stage.PREPARE:
        return Refused(f'The observation form of {name} does not accept the parameters: {text}')
    return Temporary(f'{name} gave no usable answer: {text}')


def _sending(error: BaseException, facility: Any, name: str, text: str) -> CadenceError:
    if isinstance(error, NotAsked) or never_arrived(error):
        return Temporary(f'{name} could not be reached: {text}')
    if isinstance(error, documented_refusals(facility)):
        return Refused(f'{name} refused the observation: {text}')
    if isinstance(error, NotImplementedError):
        return NeedsAttention(f'{name} cannot take observations from this TOM: {text}')
    return Uncertain(f'It is not known whether {name} booked the observation: {text}')


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


def never_arrived(error: BaseException) -> bool:
    """Whether it is proven that no byte of the request reached the facility: no address, or nobody listening."""
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema)):
        return True
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    if not isinstance(error, requests.exceptions.ConnectionError) or isinstance(error, requests.exceptions.ReadTimeout):
        return False
    reason = getattr(error.args[0], 'reason', error.args[0]) if error.args else None
    return isinstance(reason, (NewConnectionError, NameResolutionError))


def _is_credentials(error: BaseException) -> bool:
    if isinstance(error, ImproperCredentialsException):
        return True
    response = getattr(error, 'response', None)
    return isinstance(error, requests.HTTPError) and getattr(response, 'status_code', 0) in (401, 403)


def readable(error: BaseException) -> str:
    """The error as one short line without secrets: its kind where it has no text."""
    text = '; '.join(error.messages) if isinstance(error, ValidationError) else _in_words(error) or error
    return said(text, 500) or type(error).__name__


def _in_words(error: BaseException) -> str:
    """What went wrong on the way, without the address and the objects that a client's own text names; empty for other errors."""
    response = getattr(error, 'response', None)
    if isinstance(error, requests.HTTPError) and response is not None and response.status_code:
        return f'HTTP {response.status_code}{f" ({response.reason})" if response.reason else ""}'
    host = urlsplit(str(getattr(getattr(error, 'request', None), 'url', '') or '')).hostname or ''
    if isinstance(error, requests.exceptions.ConnectTimeout) or (host and never_arrived(error)):
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
