"""Trouble of one cadence never reaches another: what raises for many at once is done for each alone, and whom it hits says so.

Only a database that is lost ends a run: nothing could be kept of what it did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from tom_cadence.core.bounds import bounded_text, error_text
from tom_cadence.exceptions import CadenceError
from tom_cadence.models import ManagedCadence

logger = logging.getLogger(__name__)


def is_lost(error: Exception) -> bool:
    """Whether the database cannot be asked any more, so that going on makes no sense."""
    if not isinstance(error, (DatabaseError, InterfaceError)):
        return False
    if _ended_by_the_server(error):  # Django may have connected again by now, so that the connection is no witness
        return True
    if connection.in_atomic_block:
        return bool(connection.needs_rollback)
    try:
        return not connection.is_usable()
    except Exception:  # a connection that is closed has nothing to ask
        return True


ENDED = ('08', '57P')
"""Classes of PostgreSQL's error codes (appendix A of its manual): connection exceptions, and shutdowns."""


def _ended_by_the_server(error: Exception) -> bool:
    """Whether PostgreSQL, or the way to it, has ended the connection; without a code where nothing more was heard."""
    state = getattr(error.__cause__, 'sqlstate', '')
    return isinstance(error, (OperationalError, InterfaceError)) and (state is None or str(state).startswith(ENDED))


def describe_error(error: Exception, doing: str) -> str:
    """What is said of an error: its own words where it is one of ours, else its class and what was being done."""
    own = bounded_text(error) if isinstance(error, CadenceError) else ''
    return own or f'An error nobody foresaw, while {doing}: {error_text(error)}'


def trouble_of(managed: ManagedCadence, error: Exception, doing: str) -> str:
    """What is said of an error that belongs to this cadence, which needs a person; a lost database comes through."""
    if is_lost(error):
        raise error
    if not isinstance(error, CadenceError):
        extra = {'event': 'cadence_error', 'cadence': managed.host_cadence_id, 'doing': doing}
        logger.error('A cadence failed, while %s', doing, exc_info=error, extra=extra)
    return describe_error(error, doing)


class OfCadence(Protocol):
    """Whatever belongs to one cadence."""

    @property
    def managed(self) -> ManagedCadence:
        """The cadence."""
        ...


Item = TypeVar('Item', bound=OfCadence)
Result = TypeVar('Result')


def batch_or_singly(
    items: Sequence[Item], do: Callable[[Sequence[Item]], Mapping[int, Result] | None], doing: str
) -> tuple[dict[int, Result], dict[int, str]]:
    """Do something for all of these cadences together, or, where that raises, for each alone.

    The results, and for those whom it hits what is said of it; both by cadence.
    """
    results: dict[int, Result] = {}
    troubles: dict[int, str] = {}
    if not items:
        return results, troubles
    try:
        return dict(do(items) or {}), troubles
    except Exception as error:
        if is_lost(error):
            raise
        logger.warning('One cadence after the other, while %s: %s', doing, error_text(error), extra={'event': 'one_by_one'})
    for item in items:
        try:
            results.update(do([item]) or {})
        except Exception as error:
            troubles[item.managed.pk] = trouble_of(item.managed, error, doing)
    return results, troubles
