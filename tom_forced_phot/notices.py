"""Who is told what when queries end, and when. Pure: values in, values out.

Questions that were asked together are told of together: when all of them have ended, or after a while those that have. What a
subscription asked is worth a word only where it brought something new, or failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tom_forced_phot.states import QueryState

FAILED = frozenset({QueryState.FAILED, QueryState.EXPIRED})
#: So many targets are named in a mail, those that failed first.
NAMED = 20
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One query that ended, for one user."""

    pk: int
    service: str
    target: str
    state: QueryState
    message: str
    new: int
    by_subscription: bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """Queries that one user asked in one go, as far as they have ended and nobody was told."""

    user: int | None
    created: datetime
    first_end: datetime


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a user, or the site for everybody, wants."""

    in_tom: bool = True
    by_mail: bool = True
    failures_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Words:
    """A notice: its text, what a mail says beyond it, whether something failed, and the query where it is about one."""

    text: str
    body: str
    bad: bool
    query: int | None


def ripe(groups: Iterable[Group], still_open: set[tuple[int | None, datetime]], now: datetime, wait: timedelta) -> list[Group]:
    """The groups that are told of now: nothing of them is open any more, or they have waited for long enough."""
    return [
        group
        for group in groups
        if (group.user, group.created) not in still_open or not group.first_end <= now < group.first_end + wait
    ]


def worth_a_word(query: Ended, user: str) -> bool:
    """Not what the user stopped, and of what a subscription asked only what is news."""
    if query.state is QueryState.CANCELLED and query.message == f'Cancelled by {user}.':
        return False
    return not query.by_subscription or query.state in FAILED or query.new > 0


def words(ended: Sequence[Ended], user: str, wish: Wish, waiting: int) -> Words | None:
    """What this user is told of these queries; None where it is nothing. ``waiting``: how many of the same asking are open."""
    told = [query for query in ended if worth_a_word(query, user)]
    bad = any(query.state in FAILED for query in told)
    if not told or (wish.failures_only and not bad):
        return None
    if len(told) == 1 and not waiting:
        one = told[0]
        return Words(text=_sentence(one), body='', bad=bad, query=one.pk)
    by_service: dict[str, list[Ended]] = {}
    for query in told:
        by_service.setdefault(query.service, []).append(query)
    text = ' '.join(_summary(service, by_service[service]) for service in sorted(by_service))
    more = f' {waiting:,} of the same asking {_are(waiting)} still open.' if waiting else ''
    return Words(text=text + more, body=_names(told), bad=bad, query=None)


def subject(text: str) -> str:
    """The first sentence, for the subject of a mail: one line, not too long."""
    line = ' '.join(text.split())
    first = line.partition(': ')[0] if len(line) > LONGEST_NAME else line
    return f'Forced photometry: {first[:LONGEST_NAME].rstrip(".")}'


def _sentence(query: Ended) -> str:
    return f'{query.service}, {query.target}: {query.state.words.lower()}. {query.message}'.strip()


def _summary(service: str, ended: Sequence[Ended]) -> str:
    """``12 queries at ATLAS ended: 9 with points, 1 without data, 2 failed.``"""
    counted = Counter(kind(query.state) for query in ended)
    parts = [f'{counted[name]:,} {name}' for name in KINDS if counted[name]]
    number = len(ended)
    return f'{number:,} {"query" if number == 1 else "queries"} at {service} ended: {", ".join(parts)}.'


KINDS = ('with points', 'without data', 'failed', 'cancelled')
KIND_OF: Mapping[QueryState, str] = {
    QueryState.DONE: 'with points',
    QueryState.NO_DATA: 'without data',
    QueryState.FAILED: 'failed',
    QueryState.EXPIRED: 'failed',
    QueryState.CANCELLED: 'cancelled',
}


def kind(state: QueryState) -> str:
    """How an end is counted."""
    return KIND_OF.get(state, 'open')


def _names(told: Sequence[Ended]) -> str:
    ordered = sorted(told, key=lambda query: query.state not in FAILED)
    lines = [f'- {_sentence(query)}' for query in ordered[:NAMED]]
    if len(ordered) > NAMED:
        lines.append(f'- and {len(ordered) - NAMED:,} more')
    return '\n'.join(lines)


def _are(number: int) -> str:
    return 'is' if number == 1 else 'are'
