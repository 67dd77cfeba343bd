"""Fresh looks: what strategies wish to know from a photometry service is asked through a port, so that no service is needed.

``TOM_CADENCE['FRESH_LOOKS']`` names a class with the methods of ``Port``; by default it is that of ``tom_forced_phot`` where that
app is installed. A wish that cannot be granted is answered at once, with the reason, so that no cadence waits in vain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from django.apps import apps
from django.utils.module_loading import import_string

from tom_cadence import conf
from tom_cadence.bounds import said
from tom_cadence.decisions import FreshLook, Wait
from tom_cadence.history import Look
from tom_cadence.runner.read import Around, Looked

FORCED = 'tom_cadence.runner.fresh_forced.ForcedLooks'


class Port(Protocol):
    """Whom wishes are told to."""

    def looks(self, wanted: Iterable[tuple[int, str]]) -> dict[tuple[int, str], tuple[Look, ...]]:
        """What became of earlier questions about these targets (primary keys) to these services, oldest first."""
        ...

    def ask(self, target: int, wish: FreshLook, owner: Any, now: datetime) -> None:
        """Ask about a target; what it raises says why that is impossible."""
        ...


def port() -> Port | None:
    """Whom this TOM asks, or None."""
    path = conf.get('FRESH_LOOKS') or (FORCED if apps.is_installed('tom_forced_phot') else '')
    found: Port | None = import_string(path)() if path else None
    return found


def read_looks(looked: Iterable[Looked]) -> dict[int, tuple[Look, ...]]:
    """What became of earlier wishes, by the id() of each cadence that may have any: one statement for all."""
    wanted = {id(item): (item.rows[-1].target, service) for item in looked if item.rows and (service := _service(item))}
    asked = port() if wanted else None
    found = asked.looks(set(wanted.values())) if asked is not None else {}
    return {key: found.get(pair, ()) for key, pair in wanted.items()}


def _service(item: Looked) -> str:
    asks = getattr(item.strategy, 'asks_service', None)
    try:
        return str(asks()) if callable(asks) and not item.trouble else ''
    except Exception:  # a parameter that cannot be used: decide says which, and a person is asked
        return ''


def wishing(looked: Iterable[Looked]) -> list[Looked]:
    """The cadences that wait for a fresh look that was not asked for yet."""
    return [item for item in looked if isinstance(item.decision, Wait) and item.decision.wish is not None]


def grant(items: Sequence[Looked], now: datetime) -> list[Looked]:
    """Ask for what these cadences wish; those for which that is impossible, with the reason in their history."""
    refused = []
    for item in items:
        try:
            asked = port()
            if asked is None:
                raise LookupError('this TOM asks no photometry services')
            asked.ask(item.rows[-1].target, item.decision.wish, item.managed.owner, now)
        except Exception as error:  # one service, one target: the others go on
            look = Look(service=item.decision.wish.service, asked=now, ended=now, problem=said(error) or type(error).__name__)
            around = item.around or Around()
            item.around = replace(around, looks=(*around.looks, look))
            refused.append(item)
    return refused
