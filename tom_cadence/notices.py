"""Telling the owner, once, what happened to a cadence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from tom_cadence import conf

if TYPE_CHECKING:
    from tom_cadence.models import ManagedCadence

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
    _mail(
        managed.owner,
        subject,
        f'{subject}.\n\n{reason}\n\nStrategy: {managed.strategy}\nFacility: {managed.facility}\n',
    )


def tell_about_credentials(stopped: Sequence[ManagedCadence], facility: str, reason: str) -> None:
    """One notice for all cadences that wait for new credentials."""
    names = '\n'.join(f'- {managed}' for managed in stopped)
    subject = f'{len(stopped)} cadences wait: {facility} does not accept your credentials'
    _mail(
        stopped[0].owner,
        subject,
        f'{reason}\n\nThese cadences wait until you set them right and resume them:\n{names}\n',
    )


def _mail(owner: Any, subject: str, body: str) -> None:
    """Send after the transaction is through; a mail server that is down stops nothing, and is said in the log."""
    if not conf.get('NOTIFY_BY_MAIL') or not getattr(owner, 'email', ''):
        return

    def send() -> None:
        try:
            send_mail(subject, body, settings.DEFAULT_FROM_EMAIL, [owner.email])
        except Exception as error:  # the mail backend is the site's: it may raise anything
            logger.error('A notice could not be mailed: %s', error, extra={'event': 'notice_not_mailed'})

    transaction.on_commit(send)
