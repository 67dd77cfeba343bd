"""The rows of notices: written once, marked as read, and what each user wants to be told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import make_msgid
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from tom_cadence import conf, registry
from tom_cadence.core.bounds import bounded_text, error_text
from tom_cadence.models import ManagedCadence, Notice, NoticePreference, OutgoingMail
from tom_cadence.permissions import names_visible_to, without_names
from tom_followup.mails import Message, path_of
from tom_followup.retry import until_written

FEW = 5
STALE, FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(minutes=5), timedelta(hours=6)
MOST_TRIES = 40
"""A mail is tried for more than a week; the notice in the TOM stays in any case."""
KEPT = timedelta(days=90)


def write_notice(user: Any, managed: ManagedCadence | None, text: str, now: datetime) -> None:
    """One notice for one user, cut to 3,000 characters, without secrets; a busy database is asked FEW times."""
    notice = Notice(user=user, managed=managed, text=bounded_text(text, 3000), created=now)
    until_written(lambda: Notice.objects.bulk_create([notice]), most=FEW)  # no receiver of the site is called


def write_mail(user: Any, message: Message, now: datetime) -> None:
    """One mail to be sent later; it is rolled back with what it tells of."""
    mail = OutgoingMail(
        user=user,
        subject=bounded_text(message.subject, 200),
        body='\n'.join(bounded_text(line) for line in message.text.splitlines()),
        action=message.action[:200],
        path=message.path if len(message.path) <= 300 else '',
        message_id=make_msgid(domain='tom'),
        created=now,
        not_before=Now(),
    )
    until_written(lambda: OutgoingMail.objects.bulk_create([mail]), most=FEW)


def take_mails(most: int) -> Iterator[OutgoingMail]:
    """Mails that are due, each taken for this process: of two that send at once each gets other ones.

    Who is killed while sending leaves a mail taken. After STALE it is tried again under its Message-ID, which a mail server that
    had it already knows: rather that than a mail that never comes.
    """
    free = Q(taken__isnull=True) | Q(taken__lt=Now() - STALE)
    due = OutgoingMail.objects.filter(free, sent__isnull=True, tries__lt=MOST_TRIES, not_before__lte=Now())
    for mail in due.select_related('user').order_by('created', 'pk')[:most]:
        mine = OutgoingMail.objects.filter(free, pk=mail.pk, tries=mail.tries, sent__isnull=True)
        if until_written(lambda mine=mine, mail=mail: mine.update(taken=Now(), tries=mail.tries + 1), most=FEW):  # type: ignore[misc]
            mail.tries += 1
            yield mail


def mail_sent(mail: OutgoingMail) -> None:
    """A mail server has it. Mails are kept for a while, for who asks what was sent."""
    until_written(lambda: OutgoingMail.objects.filter(pk=mail.pk).update(sent=Now(), taken=None, problem=''))
    OutgoingMail.objects.filter(sent__lt=Now() - KEPT).delete()


def mail_failed(mail: OutgoingMail, problem: str) -> None:
    """No mail server has it: it is tried again, later and later."""
    pause = min(FIRST_PAUSE * 2 ** min(mail.tries - 1, 10), LONGEST_PAUSE)
    late = {'taken': None, 'not_before': Now() + pause, 'problem': bounded_text(problem, 300)}
    until_written(lambda: OutgoingMail.objects.filter(pk=mail.pk, sent__isnull=True).update(**late))


def mark_read(user: Any, now: datetime, pks: Sequence[int] | None = None) -> int:
    """Mark these of the user's notices as read, or all of them; how many were unread."""
    rows = Notice.objects.filter(user=user, read=None)
    return (rows if pks is None else rows.filter(pk__in=pks)).update(read=now)


def prefer(user: Any, *, in_tom: bool, by_mail: bool) -> None:
    """Keep what the user wants to be told, and how."""
    NoticePreference.objects.update_or_create(user=user, defaults={'in_tom': in_tom, 'by_mail': by_mail})


logger = logging.getLogger(__name__)
WORDS = {
    'finished': 'has finished',
    'attention': 'needs attention',
    'paused': 'was paused',
    'deleted': 'was deleted',
    'changed': 'has a late change',
    'waits': 'waits',
    'asks': 'asks for something else',
    'lost': 'has lost a target',
    'untold': 'waits for your word',
    'said': 'has news of an observation',
}
ACTIONS = {
    'finished': 'Look at what it brought',
    'attention': 'See what is wrong, put it right and resume it',
    'paused': 'See why, and resume it when it is to go on',
    'deleted': 'See what it had booked',
    'changed': 'Look at the observation that changed',
    'waits': 'See what it waits for; nothing need be done',
    'asks': 'See what it asks for now',
    'lost': 'See what is left of it',
    'untold': 'Say whether it was observed',
    'said': 'Look at what was said of it',
}


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What one user is told, about which cadences: a short notice, more of it by mail, and what to do next where."""

    cadences: Sequence[ManagedCadence] = ()
    subject: str
    reason: str
    details: str = ''
    action: str = 'See it in the list of cadences'
    path: str = ''


def tell_owner(managed: ManagedCadence, event: str, reason: str) -> None:
    """Tell the owner of one cadence that it finished, needs attention, was paused or was deleted."""
    told = Telling(
        cadences=[managed],
        subject=f'{managed} {WORDS[event]}',
        reason=reason,
        details=f'{_what_it_does(managed)}\nFacility: {managed.facility}',
        action=ACTIONS[event],
        path=path_of('cadences:page', managed.pk),
    )
    _tell(managed.owner, told)


def tell_about_credentials(stopped: Sequence[ManagedCadence], facility: str, reason: str) -> None:
    """One notice for all cadences that wait for new credentials."""
    told = Telling(
        cadences=stopped,
        subject=f'{_count(stopped)}: {facility} does not accept your credentials',
        reason=f'{reason} They wait until you set them right and resume them.',
        details=_names(stopped),
        action='Set the credentials right, then resume what waits',
        path=path_of('cadences:list', query='state=attention'),
    )
    _tell(stopped[0].owner, told)


def tell_about_lost_owner(user: Any, stopped: Sequence[ManagedCadence], reason: str) -> None:
    """One notice for whoever runs this TOM, about all cadences of an owner who was deleted."""
    told = Telling(
        cadences=stopped,
        subject=f'{_count(stopped)}: the owner was deleted',
        reason=reason,
        details=_names(stopped),
        action='Give them another owner',
        path=path_of('cadences:list', query='state=attention'),
    )
    _tell(user, told)


def tell(user: Any, subject: str, text: str, about: Sequence[ManagedCadence] = ()) -> None:
    """One notice that is of no single cadence."""
    _tell(user, Telling(cadences=about, subject=subject, reason=text, path=path_of('cadences:list')))


def tell_about_pause(stopped: Sequence[ManagedCadence], reason: str) -> None:
    """One notice for all cadences of one owner that somebody else paused together."""
    told = Telling(
        cadences=stopped,
        subject=f'{_count(stopped)} paused',
        reason=reason,
        details=_names(stopped),
        action='See which, and resume what is to go on',
        path=path_of('cadences:list', query='state=paused'),
    )
    _tell(stopped[0].owner, told)


def tell_again(user: Any, rows: Sequence[Any], lines: Sequence[str]) -> None:
    """One notice about everything that has been waiting for weeks, each in its line."""
    known = [row if isinstance(row, ManagedCadence) else row.managed for row in rows]
    cadences = [managed for managed in known if managed is not None]
    told = Telling(
        cadences=cadences,
        subject='Still waiting' if len(lines) == 1 else f'{len(lines)} still waiting',
        reason=' '.join(lines),
        details='\n'.join(f'- {line}' for line in lines),
        action='See what waits, and for what',
        path=path_of('cadences:list' if any(managed.cadence_id for managed in cadences) else 'cadences:requests'),
    )
    _tell(user, told)


def tell_about_budget(user: Any, text: str) -> None:
    """One notice that a proposal's hours are nearly used up."""
    told = Telling(subject='Hours of a proposal', reason=text, action='See what was used', path=path_of('cadences:budgets'))
    _tell(user, told)


def _what_it_does(managed: ManagedCadence) -> str:
    strategy = None
    if managed.cadence is not None:
        with suppress(Exception, SystemExit):  # a class of the site, which may not even be made: its name is told in any case
            strategy = registry.strategy_class(managed.strategy)(managed.cadence)
    where = managed.facility or 'a facility'
    return registry.strategy_sentence(managed.strategy, strategy, managed.target_name or 'its target', where)


def wants(user: Any) -> tuple[bool, bool]:
    """Whether this user is told in the TOM, and by mail: the site's settings and the user's own."""
    preference = preference_of(user)
    return bool(conf.get('NOTIFY_IN_TOM') and preference.in_tom), bool(conf.get('NOTIFY_BY_MAIL') and preference.by_mail)


def preference_of(user: Any) -> NoticePreference:
    """The user's preference as it is, or everything."""
    return NoticePreference.objects.filter(user=user.pk).first() or NoticePreference()


def _count(stopped: Sequence[ManagedCadence]) -> str:
    return str(stopped[0]) if len(stopped) == 1 else f'{len(stopped)} cadences'


def _names(stopped: Sequence[ManagedCadence]) -> str:
    return '\n'.join(f'- {managed}' for managed in stopped)


def _tell(owner: Any, told: Telling) -> None:
    if owner is not None:
        _keep(lambda: _write_both(owner, told))


def _keep(write: Callable[[], None]) -> None:
    """Write what an owner is told, and once more where the database failed for a moment.

    What cannot be told undoes nothing of what it tells of, and is said in the log.
    """
    for last in (False, True):
        try:
            with transaction.atomic():
                return write()
        except Exception as error:
            if last:
                logger.error('A notice could not be written: %s', error_text(error), extra={'event': 'notice_not_written'})


def _write_both(owner: Any, told: Telling) -> None:
    in_tom, by_mail = wants(owner)
    hidden, now = _hidden_names(owner, told.cadences), conf.utc_now()
    subject, reason, details = (without_names(hidden, text) for text in (told.subject, told.reason, told.details))
    if in_tom:
        only = told.cadences[0] if len(told.cadences) == 1 else None
        _keep(lambda: write_notice(owner, only, f'{subject}. {reason}', now))
    address: str = getattr(owner, 'email', '')  # a site's own users may have none
    if by_mail and address and owner.is_active:  # it is sent when the run has done its work: nobody waits for a mail server
        text = f'{reason}\n\n{details}'.strip()
        _keep(lambda: write_mail(owner, Message(subject=subject, text=text, action=told.action, path=told.path), now))


def _hidden_names(user: Any, cadences: Sequence[ManagedCadence]) -> list[str]:
    """Names of targets that this user may not see any more: an owner keeps a cadence, but not its name."""
    named = {managed.pk: managed.target_name for managed in cadences if managed.target_name}
    if not named or user.is_superuser:
        return []
    seen = ManagedCadence.objects.filter(names_visible_to(user), pk__in=named).values_list('pk', flat=True)
    return [named[pk] for pk in named.keys() - set(seen)]
