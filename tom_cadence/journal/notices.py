"""The rows of notices: written once, marked as read, and what each user wants to be told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from tom_cadence import conf, registry
from tom_cadence.models import ManagedCadence, Notice, NoticePreference
from tom_followup.retry import until_written

FEW = 5


def write_notice(user: Any, managed: ManagedCadence | None, text: str, now: datetime) -> None:
    """One notice for one user."""
    until_written(lambda: Notice.objects.create(user=user, managed=managed, text=text, created=now), most=FEW)


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
}


def tell_owner(managed: ManagedCadence, event: str, reason: str) -> None:
    """Tell the owner of one cadence that it finished, needs attention, was paused or was deleted."""
    subject = f'{managed} {WORDS[event]}'
    details = f'Strategy: {strategy_words(managed.strategy)}\nFacility: {managed.facility}\n'
    _tell(managed.owner, managed, subject, reason, f'{reason}\n\n{details}')


def tell_about_credentials(stopped: Sequence[ManagedCadence], facility: str, reason: str) -> None:
    """One notice for all cadences that wait for new credentials."""
    subject = f'{_count(stopped)}: {facility} does not accept your credentials'
    text = f'{reason}\n\nThese cadences wait until you set them right and resume them:\n{_names(stopped)}\n'
    _tell(stopped[0].owner, _only(stopped), subject, f'{reason} They wait until you set them right and resume them.', text)


def tell_about_pause(stopped: Sequence[ManagedCadence], reason: str) -> None:
    """One notice for all cadences of one owner that somebody else paused together."""
    subject = f'{_count(stopped)} paused'
    _tell(stopped[0].owner, _only(stopped), subject, reason, f'{reason}\n\n{_names(stopped)}\n')


def strategy_words(name: str) -> str:
    """A strategy's own name in place of its class name."""
    return str(getattr(registry.strategies().get(name), 'name', '') or name)


def wants(user: Any) -> tuple[bool, bool]:
    """Whether this user is told in the TOM, and by mail: the site's settings and the user's own."""
    preference = preference_of(user)
    return bool(conf.get('NOTIFY_IN_TOM') and preference.in_tom), bool(conf.get('NOTIFY_BY_MAIL') and preference.by_mail)


def preference_of(user: Any) -> NoticePreference:
    """The user's preference as it is, or everything."""
    return NoticePreference.objects.filter(user=user.pk).first() or NoticePreference()


def _count(stopped: Sequence[ManagedCadence]) -> str:
    return str(stopped[0]) if len(stopped) == 1 else f'{len(stopped)} cadences'


def _only(stopped: Sequence[ManagedCadence]) -> ManagedCadence | None:
    return stopped[0] if len(stopped) == 1 else None


def _names(stopped: Sequence[ManagedCadence]) -> str:
    return '\n'.join(f'- {managed}' for managed in stopped)


def _tell(owner: Any, managed: ManagedCadence | None, subject: str, reason: str, body: str) -> None:
    if owner is None:
        return
    in_tom, by_mail = wants(owner)
    if in_tom:
        _write(owner, managed, f'{subject}. {reason}')
    email: str = getattr(owner, 'email', '')
    if by_mail and email:
        _mail(email, subject, f'{subject}.\n\n{body}')


def _write(owner: Any, managed: ManagedCadence | None, text: str) -> None:
    """A notice that cannot be written stops nothing, and is said in the log."""
    pass

    try:
        with transaction.atomic():
            write_notice(owner, managed, text, conf.utc_now())
    except Exception as error:
        logger.error('A notice could not be written: %s', error, extra={'event': 'notice_not_written'})


def _mail(email: str, subject: str, body: str) -> None:
    """Send after the transaction is through; a mail server that is down stops nothing, and is said in the log."""

    def send() -> None:
        try:
            send_mail(subject, body, settings.DEFAULT_FROM_EMAIL, [email])
        except Exception as error:  # the mail backend is the site's: it may raise anything
            logger.error('A notice could not be mailed: %s', error, extra={'event': 'notice_not_mailed'})

    transaction.on_commit(send)
