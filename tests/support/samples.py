"""Plain values for tests without a database: attempts, windows and histories."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

from tom_cadence.core.history import Attempt, History, Outcome
from tom_cadence.core.windows import Window

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
WORDS = {
    'waiting': 'PENDING',
    'succeeded': 'COMPLETED',
    'failed': 'WINDOW_EXPIRED',
    'cancelled': 'CANCELED',
}


def window(start: float = -4, hours: float = 4) -> Window:
    """A window that starts so many hours from NOON."""
    return Window(start=NOON + start * HOUR, end=NOON + (start + hours) * HOUR)


def attempt(record: int = 1, outcome: str = 'waiting', **given: Any) -> Attempt:
    """One record; each in a call of its own unless ``submission`` says otherwise."""
    values: dict[str, Any] = {
        'observation_id': f'obs-{record}',
        'facility': 'Sim',
        'status': WORDS[outcome],
        'outcome': Outcome(outcome),
        'created': NOON - 10 * HOUR + record * HOUR,
        'window': window(),
        'submission': record,
    }
    return Attempt(record=record, **{**values, **given})


def history(*outcomes: str, **given: Any) -> History:
    """Records 1, 2, ... with these outcomes, oldest first."""
    return History(attempts=tuple(attempt(number, outcome) for number, outcome in enumerate(outcomes, 1)), **given)


def cadence(**parameters: Any) -> Any:
    """What a strategy needs of a DynamicCadence."""
    return SimpleNamespace(cadence_parameters={'cadence_frequency': 24, **parameters})
