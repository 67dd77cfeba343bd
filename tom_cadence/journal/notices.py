"""The rows of notices: written once, marked as read, and what each user wants to be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tom_cadence.journal.persist import until_written
from tom_cadence.models import ManagedCadence, Notice, NoticePreference

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
