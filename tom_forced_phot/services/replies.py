"""Which error a reply is, by its status; and one readable sentence out of any error body. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any

from tom_forced_phot.exceptions import Credentials, Refused, Temporary, Throttled, Uncertain, UnexpectedReply
from tom_forced_phot.services.protocol import Reply, Request

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
