"""Sending the mails of notices when a run has done its work: each in a thread with a deadline, for servers that stay silent."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from django.core.mail import get_connection
from django.db import connections

from tom_cadence.core.bounds import error_text
from tom_cadence.engine.containment import is_lost
from tom_cadence.journal.notices import mail_failed, mail_sent, take_mails
from tom_cadence.models import OutgoingMail
from tom_followup.mails import Message, mail_to

logger = logging.getLogger(__name__)
MOST, PATIENCE = 50, 3
"""Mails in one run, and failures in a row after which the server is left alone until the next run."""
TIMEOUT, BUDGET = 10.0, 30.0
"""Seconds for one mail, and for all of a run."""


@dataclass
class Try:
    """What became of one sending; ``over`` is False while the server has not answered."""

    error: Exception | None = None
    over: bool = False


def send_mails() -> int:
    """Send what is due; how many mails a server has taken. It raises only what the database raises."""
    sent, failed, ends = 0, 0, time.monotonic() + BUDGET
    for mail in take_mails(MOST):
        if not mail.user.email or not mail.user.is_active:
            mail_failed(mail, 'The user has no address, or is not active.')
            continue
        began = time.monotonic()
        tried = _try(mail)
        if tried.over and tried.error is None:
            mail_sent(mail)
            sent, failed = sent + 1, 0
        elif tried.over:
            failed += 1
            mail_failed(mail, error_text(tried.error) if tried.error else '')
            logger.error('A mail was not taken: %s', error_text(tried.error or Exception()), extra={'event': 'notice_not_mailed'})
        else:  # it stays taken: the server may have it, and says nothing
            logger.error('The mail server did not answer in %g s', TIMEOUT, extra={'event': 'notice_not_mailed'})
            break
        slow = bool(failed) and time.monotonic() - began > TIMEOUT / 2
        if slow or failed >= PATIENCE or time.monotonic() > ends:
            break
    return sent


def _try(mail: OutgoingMail) -> Try:
    tried = Try()
    message = Message(subject=mail.subject, text=mail.body, action=mail.action, path=mail.path)
    try:
        ready = mail_to(mail.user.email, message, headers={'Message-ID': mail.message_id})  # here, as it may ask the database
    except Exception as error:  # the names and addresses in it are the site's: this mail is tried again, the others are sent
        if is_lost(error):
            raise
        return Try(error=error, over=True)

    def send() -> None:
        try:
            ready.connection = _connection()
            ready.send()
        except Exception as error:  # the mail backend is the site's: it may raise anything
            tried.error = error
        finally:
            tried.over = True
            connections.close_all()

    thread = threading.Thread(target=send, name='mail', daemon=True)
    thread.start()
    thread.join(1.1 * TIMEOUT)
    return tried if tried.over else Try()


def _connection() -> Any:
    connection: Any = get_connection()
    if getattr(connection, 'timeout', 0) is None:
        connection.timeout = TIMEOUT
    return connection
