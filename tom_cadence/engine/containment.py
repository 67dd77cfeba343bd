"""Trouble of one cadence never reaches another: what raises for many at once is done for each alone, and whom it hits says so.

Only a database that is lost ends a run: nothing could be kept of what it did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.db import DatabaseError, InterfaceError, connection

from tom_cadence.core.bounds import failure, said
from tom_cadence.engine.snapshot import Looked
from tom_cadence.exceptions import CadenceError

logger = logging.getLogger(__name__)


def is_lost(error: Exception) -> bool:
    """Whether the database cannot be asked any more, so that going on makes no sense."""
    if not isinstance(error, (DatabaseError, InterfaceError)):
        return False
    if connection.in_atomic_block:
        return bool(connection.needs_rollback)
    try:
        return not connection.is_usable()
    except Exception:  # a connection that is closed has nothing to ask
        return True


def words(error: Exception, doing: str) -> str:
    """What is said of an error: its own words where it is one of ours, else its class and what was being done."""
    own = said(error) if isinstance(error, CadenceError) else ''
    return own or f'An error nobody foresaw, while {doing}: {failure(error)}'


def trouble(item: Looked, error: Exception, doing: str) -> None:
    """This cadence needs a person because of this error; a lost database comes through."""
    if is_lost(error):
        raise error
    if not isinstance(error, CadenceError):
        extra = {'event': 'cadence_error', 'cadence': item.managed.host_cadence_id, 'doing': doing}
        logger.error('A cadence failed, while %s', doing, exc_info=error, extra=extra)
    item.trouble = item.caught = words(error, doing)


def each_alone(looked: Sequence[Looked], do: Callable[[Sequence[Looked]], object], doing: str) -> None:
    """Do something for all of these cadences together, or, where that raises, for each alone; whom it hits gets the trouble."""
    if not looked:
        return
    try:
        do(looked)
        return
    except Exception as error:
        if is_lost(error):
            raise
        logger.warning('One cadence after the other, while %s: %s', doing, failure(error), extra={'event': 'one_by_one'})
    for item in looked:
        try:
            do([item])
        except Exception as error:
            trouble(item, error, doing)
