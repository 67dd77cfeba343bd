"""What a service says and is told, as values: requests, replies, positions, progress. Pure.

A service builds a ``Request`` and reads a ``Reply``; it never sees a socket, a row or a secret of another service. Secrets stay
apart from requests, so that a request can be logged and shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any

from tom_forced_phot.core.redaction import without
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.exceptions import Credentials, Refused, Temporary, Throttled, Uncertain, UnexpectedReply

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """One request. ``path`` is below the configured address, or an address from a reply, which is checked to be of that origin.

    ``changes`` is true where the service does something that must not be done twice: without a usable reply it is uncertain.
    ``brings_result``: its reply may be as long as a result; the engine says so.
    ``signed`` adds the service's secret parameters (an account, not headers, which go out always).
    """

    method: str
    path: str
    query: Pairs = ()
    form: Pairs = ()
    changes: bool = False
    signed: bool = False
    brings_result: bool = False


@dataclass(frozen=True)
class Secrets:
    """What proves to a service who we are; never printed."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    def texts(self) -> list[str]:
        """Every text that must not be seen, longest first."""
        found = [*self.headers.values(), *self.parameters.values(), *(self.basic or ())]
        found += [value.rpartition(' ')[2] for value in self.headers.values()]
        return sorted({text for text in found if len(text) > 3}, key=len, reverse=True)


@dataclass(frozen=True)
class Reply:
    """What came back, whole; header names are lower case."""

    status: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ''
    #: Texts that must not be shown, in all their spellings.
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The body as it may be shown; hidden before anything is cut off, so that no half of a secret stays."""
        return without(self.text, self.hidden)

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.content.decode('utf-8', 'replace')

    def json(self) -> Any:
        """The body as JSON; ValueError where it is none."""
        return json.loads(self.content)


@dataclass(frozen=True)
class Position:
    """Where to measure: what a service can be told about a target. Degrees (ICRS), mas/yr, epoch as a year."""

    name: str
    ra: float | None = None
    dec: float | None = None
    moving: bool = False
    mpc_name: str = ''
    pm_ra: float | None = None
    pm_dec: float | None = None
    epoch: float | None = None

    @property
    def proper_motion(self) -> bool:
        """Whether it moves measurably and its motion is known."""
        return bool(self.pm_ra or self.pm_dec)

    def as_json(self) -> dict[str, Any]:
        """As a query's row keeps it: what is not said is left out."""
        return {name: value for name, value in vars(self).items() if value is not None and value is not False and value != ''}


@dataclass(frozen=True)
class Job:
    """A request to a service as its row describes it."""

    mark: str
    positions: tuple[Position, ...]
    parameters: Mapping[str, Any]
    remote: Mapping[str, Any] = field(default_factory=dict)
    last_sent: datetime | None = None
    #: Numbers at the service that are other jobs of ours about the same targets.
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """One position of a job at the service."""

    index: int
    position: Position
    parameters: Mapping[str, Any]
    remote: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """What the service says about one position."""

    state: QueryState
    message: str = ''
    remote: Mapping[str, Any] = field(default_factory=dict)
    #: Seconds after which another look is worth while, where the service says so.
    look_again: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a reply says: progress by index of the position; what belongs to the whole job; the next page, if there is one."""

    parts: Mapping[int, Progress] = field(default_factory=dict)
    remote: Mapping[str, Any] = field(default_factory=dict)
    more: Request | None = None


class Split(Exception):
    """The service refused the request as a whole: some positions (by index) for a reason, the others are to be asked anew."""

    def __init__(self, refused: Mapping[int, str], text: str) -> None:
        """``refused`` may be empty: then each position is asked alone."""
        super().__init__(text)
        self.refused = dict(refused)


SHOWN = 300
DEFAULT_WAIT = 60.0
LONGEST_WAIT = 3600.0
#: 'Expected available in 1 second.' has no plural (Django REST Framework): a client that looks for 'seconds' misses it.
WAIT = re.compile(r'(?<!\d)(\d{1,9}(?:\.\d{1,9})?)\s{0,9}(second|minute|hour)', re.IGNORECASE)
#: Characters of a body in which an explanation, or a time to wait, is looked for.
READ = 20_000
MARKUP = re.compile(r'<[^<>]*>')
HIDDEN = frozenset({'script', 'style', 'title'})
TAG = re.compile(r'<(/?)([a-zA-Z]{1,10})\b[^<>]*>?')
UNITS = {'second': 1.0, 'minute': 60.0, 'hour': 3600.0}
GENERAL = {'non_field_errors', 'detail', '__all__', 'error', 'errors', 'message'}


def check(reply: Reply, request: Request, name: str) -> Reply:
    """The reply if the status is a success; otherwise the error it means, by class."""
    if 200 <= reply.status < 300:
        return reply
    says = f'{name} answered {reply.status}'
    if reply.status == 429:
        seconds = wait_of(reply)
        raise Throttled(f'{name} wants fewer requests: it is asked again in {seconds:.0f} s.', seconds)
    if reply.status in (401, 403):
        raise Credentials(f'{name} does not accept the credentials ({reply.status}): {sentence(reply)}')
    if reply.status >= 500 or reply.status == 408:
        text = f'{says}: {sentence(reply)}'
        raise (Uncertain if request.changes else Temporary)(text)
    if 400 <= reply.status < 500:
        raise Refused(f'{name} refused it ({reply.status}): {sentence(reply)}')
    raise UnexpectedReply(f'{says}: {beginning(reply)}')


def json_of(reply: Reply, name: str) -> Any:
    """The JSON body; UnexpectedReply where it is something else."""
    try:
        return reply.json()
    except (ValueError, RecursionError):  # the latter for a body of brackets only
        raise UnexpectedReply(f'{name} answered {reply.status} with something that is no JSON: {beginning(reply)}') from None


def beginning(reply: Reply) -> str:
    """The first 300 characters of the body, on one line."""
    text = ' '.join(reply.shown[: 4 * SHOWN].split())
    return repr(text[:SHOWN]) if text else 'an empty body'


def sentence(reply: Reply) -> str:
    """What an error body says: JSON of any nesting, HTML or text."""
    try:
        found = list(_texts(json.loads(reply.shown)))
    except (ValueError, RecursionError):
        found = [readable(reply.shown)]
    text = ' '.join(dict.fromkeys(part for part in found if part))
    return text[:SHOWN] or 'no explanation.'


def readable(html: str) -> str:
    """The text of a page, without its title, markup and line breaks."""
    page = html[:READ]
    return _words(_without_hidden(page)) or _words(page)


def _words(page: str) -> str:
    return ' '.join(unescape(MARKUP.sub(' ', page)).split())


def _without_hidden(page: str) -> str:
    """A page without the elements that are not shown, each from its first tag to its last; one that never ends stays."""
    kept, start, open_since, inside = [], 0, 0, ''
    for tag in TAG.finditer(page):
        name = tag[2].lower()
        if not inside and not tag[1] and name in HIDDEN:
            inside, open_since = name, tag.start()
        elif inside == name and tag[1]:
            kept.append(page[start:open_since])
            start, inside = tag.end(), ''
    return ' '.join([*kept, page[start:]])


def _texts(found: Any, path: str = '') -> Iterator[str]:
    """Each text with the names of the fields above it; a field that repeats its parent is named once."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            name = str(key)
            named = path if name in GENERAL or path.endswith(name) else f'{path} {name}'.strip()
            yield from _texts(value, named)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _texts(value, path)
    elif found is not None:
        text = str(found).strip()
        if text:
            yield f'{path}: {_ended(text)}' if path else _ended(text)


def _ended(text: str) -> str:
    return text if text[-1] in '.!?)' else f'{text}.'


def wait_of(reply: Reply) -> float:
    """How many seconds a 429 asks us to wait: ``Retry-After`` (seconds or a date), else its text, else a minute."""
    header = reply.headers.get('retry-after', '').strip()
    if header:
        try:
            return _bounded(float(header))
        except ValueError:
            pass  # it may be a date
        try:
            until = parsedate_to_datetime(header)
            return _bounded((until - parsedate_to_datetime(reply.headers['date'])).total_seconds())
        except (KeyError, TypeError, ValueError):
            pass  # the text may say it
    found = WAIT.search(reply.text[:READ])
    return _bounded(float(found[1]) * UNITS[found[2].lower()]) if found else DEFAULT_WAIT


def _bounded(seconds: float) -> float:
    """At least a second, at most an hour: nobody is believed beyond that."""
    return max(1.0, min(LONGEST_WAIT, seconds)) if seconds == seconds else DEFAULT_WAIT
