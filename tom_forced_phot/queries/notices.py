"""Telling those who asked, once, that their queries ended: one notice a user and announcing, and a mail where it is wanted.

What is closed and belongs to no announcement is still to be told. Taking it and writing the notices is one transaction, begun by a
conditional UPDATE: of two that announce at once each gets other queries, and who is killed in between has told nothing.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet

from tom_followup.failpoints import PhotometryPoint, reach
from tom_followup.mails import Message, mail_to, path_of
from tom_forced_phot import conf, http
from tom_forced_phot.core import redaction
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import (
    PhotometryAnnouncement,
    PhotometryNotice,
    PhotometryNoticePreference,
    PhotometryQuery,
)
from tom_forced_phot.permissions import visible_targets

__all__ = ['Words', 'announce', 'mark_read', 'prefer', 'preference_of', 'wish_of']


logger = logging.getLogger(__name__)
#: So many askings are told of in one transaction.
AT_ONCE = 50
#: And so many in one run: after a month without a driver nobody waits until all of it is told.
MOST = 500
MAIL_TRIES = 5
#: After so many mails in one run that were not taken, the mail server is thought to be away.
MAIL_FAILURES = 3
#: So many mails go out in one run, so that a mail server that hangs does not hold up the queries for long.
MAILS = 50
UNTOLD = Q(closed__isnull=False, announcement__isnull=True)


def announce(now: datetime, *, mail: bool = True) -> int:
    """Tell of what has ended, and send mails that are due; how many notices were written. It stops nobody's work by an error.

    ``mail`` is False in web requests: nobody is to wait for a mail server.
    """
    try:
        with transaction.atomic():
            told = _announce(now)
    except Exception:
        logger.exception('Notices of forced photometry could not be written', extra={'event': 'notice_not_written'})
        told = 0
    if mail:  # after a transaction around this: nothing is mailed that may still be rolled back
        transaction.on_commit(_mail, robust=True)
    return told


def _announce(now: datetime) -> int:
    groups = [Group(user=user, created=created, first_end=first) for user, created, first in _groups()]
    if not groups:
        return 0
    told = ripe(groups, _open(groups), now, conf.seconds('NOTICE_WAIT'))
    return sum(_contained(told[first : first + AT_ONCE], now) for first in range(0, len(told), AT_ONCE))


def _contained(groups: Sequence[Group], now: datetime) -> int:
    """Tell of these together; where that fails each by itself, and of what cannot be told of, that it ended."""
    try:
        with transaction.atomic():
            return _tell(groups, now)
    except Exception as error:
        logger.exception('A notice of forced photometry could not be written', extra={'event': 'notice_not_written'})
        if len(groups) > 1:
            return sum(_contained([group], now) for group in groups)
        with transaction.atomic():
            return _tell_plainly(groups[0], now, redaction.clean(type(error).__name__, redaction.LONGEST_NAME))


def _tell_plainly(group: Group, now: datetime, problem: str) -> int:
    announcement = PhotometryAnnouncement.objects.create(made=now)
    mine = Q(asked_by=group.user) if group.user else Q(asked_by__isnull=True)
    number = PhotometryQuery.objects.filter(UNTOLD).filter(mine, created=group.created).update(announcement=announcement)
    if not number or not group.user:
        return 0
    what = 'A query has ended' if number == 1 else f'{number:,} queries have ended'
    text = f'{what}; what became of it could not be put into words here ({problem}). Look at the list of queries.'
    PhotometryNotice.objects.create(user_id=group.user, announcement=announcement, text=text, bad=True, created=now)
    return 1


def _groups() -> Iterable[tuple[int | None, datetime, datetime]]:
    rows = PhotometryQuery.objects.filter(UNTOLD).order_by()
    return rows.values_list('asked_by', 'created').annotate(first=Min('closed')).order_by('first')[:MOST]


def _open(groups: Sequence[Group]) -> set[tuple[int | None, datetime]]:
    """Who has open queries of which asking."""
    rows = PhotometryQuery.objects.filter(state__in=QueryState.open_values()).order_by()
    if len(groups) <= AT_ONCE:
        rows = rows.filter(created__in={group.created for group in groups})
    return set(rows.values_list('asked_by', 'created').distinct())


def _tell(groups: Sequence[Group], now: datetime) -> int:
    """Take what has ended of these askings, and write a notice for everybody who asked or follows."""
    which = Q(pk__in=[])
    for group in groups:
        which |= Q(asked_by=group.user, created=group.created) if group.user else Q(asked_by__isnull=True, created=group.created)
    announcement = PhotometryAnnouncement.objects.create(made=now)
    if not PhotometryQuery.objects.filter(UNTOLD).filter(which).update(announcement=announcement):
        announcement.delete()  # another process was quicker
        return 0
    reach(PhotometryPoint.ANNOUNCING)
    queries = PhotometryQuery.objects.filter(announcement=announcement).select_related('target', 'asked_by')
    by_user, users = _by_user(queries.prefetch_related('followers'))
    waiting = _waiting(groups)
    return sum(
        _write(announcement, users[pk], found, sum(waiting.get((pk, group.created), 0) for group in groups), now)
        for pk, found in by_user.items()
    )


def inform(user: Any, text: str, now: datetime) -> None:
    """Tell one user that something stopped, once; what cannot be told undoes nothing of what it tells of."""
    wish = wish_of(user)
    if not user.is_active or not (wish.in_tom or wish.by_mail):
        return
    try:
        with transaction.atomic():
            PhotometryNotice.objects.create(
                user=user,
                announcement=PhotometryAnnouncement.objects.create(made=now),
                text=redaction.clean(text),
                bad=True,
                in_tom=wish.in_tom,
                created=now,
                mail_due=bool(wish.by_mail and user.email),
            )
    except Exception as error:
        known = {'event': 'notice_not_written', 'user': user.pk}
        logger.error('A notice of forced photometry could not be written: %s', type(error).__name__, extra=known)


def _waiting(groups: Sequence[Group]) -> dict[tuple[int | None, datetime], int]:
    """How many of the same askings are still open."""
    created = {group.created for group in groups}
    rows = PhotometryQuery.objects.filter(state__in=QueryState.open_values(), created__in=created).order_by()
    return {(user, when): number for user, when, number in rows.values_list('asked_by', 'created').annotate(Count('pk'))}


def _by_user(queries: QuerySet[PhotometryQuery]) -> tuple[dict[int, list[PhotometryQuery]], dict[int, Any]]:
    """Each user's queries: own ones, and those that the user follows."""
    found: dict[int, list[PhotometryQuery]] = defaultdict(list)
    users: dict[int, Any] = {}
    for query in queries:
        for user in {*([query.asked_by] if query.asked_by else []), *query.followers.all()}:
            users[user.pk] = user
            found[user.pk].append(query)
    return found, users


def _write(announcement: PhotometryAnnouncement, user: Any, found: list[PhotometryQuery], waiting: int, now: datetime) -> int:
    """The notice of one user, without targets that the user may not see any more; a mail of it is sent later."""
    seen = set(visible_targets(user).filter(pk__in={query.target_id for query in found}).values_list('pk', flat=True))
    wish = wish_of(user)
    said = words([_ended(query) for query in found if query.target_id in seen], str(user), wish, waiting)
    if said is None or not (wish.in_tom or wish.by_mail) or not user.is_active:
        return 0
    PhotometryNotice.objects.create(
        user=user,
        announcement=announcement,
        query_id=said.query,
        text=said.text,
        body=said.body,
        bad=said.bad,
        in_tom=wish.in_tom,
        created=now,
        mail_due=bool(wish.by_mail and user.email),
    )
    return 1


def _ended(query: PhotometryQuery) -> Ended:
    return Ended(
        pk=query.pk,
        service=query.service,
        target=query.target.name,
        state=QueryState(query.state),
        message=query.message,
        new=query.new,
        by_subscription=query.subscription_id is not None,
    )


def wish_of(user: Any) -> Wish:
    """What the site's settings and the user's own say."""
    mine = preference_of(user)
    return Wish(
        in_tom=bool(conf.get('NOTIFY_IN_TOM') and mine.in_tom),
        by_mail=bool(conf.get('NOTIFY_BY_MAIL') and mine.by_mail),
        failures_only=mine.failures_only,
    )


def preference_of(user: Any) -> PhotometryNoticePreference:
    """The user's own, or everything."""
    return PhotometryNoticePreference.objects.filter(user=user.pk).first() or PhotometryNoticePreference()


def prefer(user: Any, *, in_tom: bool, by_mail: bool, failures_only: bool) -> None:
    """Keep what the user wants to be told, and how."""
    wish = {'in_tom': in_tom, 'by_mail': by_mail, 'failures_only': failures_only}
    PhotometryNoticePreference.objects.update_or_create(user=user, defaults=wish)


def mark_read(user: Any, now: datetime, pks: Sequence[int] | None = None, query: int | None = None) -> int:
    """Mark these of the user's notices as read, those about one query, or all of them; how many were unread."""
    rows = PhotometryNotice.objects.filter(user=user, read=None)
    if query is not None:
        rows = rows.filter(query=query)
    return (rows if pks is None else rows.filter(pk__in=pks)).update(read=now)


def _mail() -> None:
    """Send what is due. A mail is taken before it is sent: who is killed meanwhile has sent one too few, not one too many.

    A mail server that is silent, or trickles, holds up nobody: all mails of a run have a time limit together.
    """
    due = PhotometryNotice.objects.filter(mail_due=True, mail_tries__lt=MAIL_TRIES).select_related('user').order_by('created', 'pk')
    left, failures = float(conf.get('MAIL_TIMEOUT')), 0
    for notice in due[:MAILS]:
        mine = PhotometryNotice.objects.filter(pk=notice.pk, mail_due=True, mail_tries=notice.mail_tries)
        if not mine.update(mail_due=False, mail_tries=notice.mail_tries + 1):
            continue
        sent, left = _send(notice, left)
        if not sent:
            PhotometryNotice.objects.filter(pk=notice.pk).update(mail_due=True)
            failures += 1
        if not left or failures == MAIL_FAILURES:
            return  # the mail server is away: the others have to wait as well


def _send(notice: PhotometryNotice, seconds: float) -> tuple[bool, float]:
    """Whether it was sent within so many seconds, and how many are left for others."""
    try:
        mail = mail_to(notice.user.email, message_of(notice))  # here, as it may ask the database
        left = http.within(seconds, lambda: _deliver(mail, seconds))
    except Exception as error:  # the mail backend is the site's: it may raise anything
        logger.error('A notice could not be mailed: %s', type(error).__name__, extra={'event': 'notice_not_mailed'})
        return False, 0.0 if isinstance(error, TimeoutError) else seconds
    if left is None:
        logger.error('A notice could not be mailed in time', extra={'event': 'notice_not_mailed'})
    return left is not None, left or 0.0


def _deliver(mail: EmailMessage, seconds: float) -> None:
    """By a connection with a time limit of its own, where the site's backend knows one: so that no thread waits for ever."""
    backend = get_connection()
    if getattr(backend, 'timeout', seconds) is None:
        setattr(backend, 'timeout', seconds)  # noqa: B010 - only the SMTP backend has it
    mail.connection = backend
    mail.send()


def message_of(notice: PhotometryNotice) -> Message:
    """What a mail says of a notice, with the page where its reader goes on."""
    if notice.query_id is not None:
        action = 'See why, and ask again' if notice.bad else 'Look at what it brought'
        path = path_of('photometry:query', notice.query_id)
    elif not notice.body:  # what stopped by itself: see inform()
        action, path = 'See your subscriptions', path_of('photometry:subscriptions')
    else:
        action = 'See which failed and why' if notice.bad else 'Look at what they brought'
        path = path_of('photometry:list', query=f'notice={notice.pk}')
    return Message(subject=subject(notice.text), text=f'{notice.text}\n\n{notice.body}', action=action, path=path)


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
    more = f' {waiting:,} of the same asking {"is" if waiting == 1 else "are"} still open.' if waiting else ''
    return Words(text=text + more, body=_names(told), bad=bad, query=None)


def subject(text: str) -> str:
    """The first sentence, for the subject of a mail: one line, not too long."""
    line = ' '.join(text.split())
    first = line.partition(': ')[0] if len(line) > LONGEST_NAME else line
    return f'Forced photometry: {first[:LONGEST_NAME].rstrip(".")}'


def _sentence(query: Ended) -> str:
    return f'{query.service}, {query.target}: {query.state.words.lower()}. {query.message}'.strip()


def _summary(service: str, ended: Sequence[Ended]) -> str:
    """``12 queries at a service ended: 9 with points, 1 without data, 2 failed.``"""
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
