"""Cancelling a query, and asking the same again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.queries import rows
from tom_forced_phot.queries.advance import Next, advance
from tom_forced_phot.queries.asking import Asked, ask_again
from tom_forced_phot.states import QueryState


def cancel(pk: int, user: Any, now: datetime) -> bool:
    """Stop a query here at once, and its job at the service where it can be stopped; whether there was anything to stop."""
    who = f'by {user}' if user is not None else 'here'
    mine = PhotometryQuery.objects.filter(pk=pk)
    if not rows.end(mine, QueryState.CANCELLED, now, f'Cancelled {who}.'):
        return False
    rows.tidy_later(pk, now)
    # what is done at the service cannot be rolled back
    transaction.on_commit(lambda: advance(pk, now))
    return True


def retry(pk: int, user: Any, now: datetime) -> Asked:
    """Ask the same again, as a new query; of an open one, or one that is asked again already, that one is given back."""
    return ask_again(PhotometryQuery.objects.select_related('target').get(pk=pk), user, now)


__all__ = ['Next', 'cancel', 'retry']
