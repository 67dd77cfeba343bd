"""The observatory's log held against the TOM's records: was anything booked twice, or without a record?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tom_observations.models import ObservationRecord

from tom_cadence.models import Submission


@dataclass(frozen=True)
class Balance:
    """The demo's last line."""

    bookings: int
    causes: int
    doubles: tuple[str, ...]
    orphans: tuple[str, ...]
    missing: tuple[str, ...]
    past: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.doubles or self.orphans or self.missing or self.past)

    def complaints(self) -> list[str]:
        """A line for each kind of thing that went wrong, with the observatory's numbers."""
        kinds = {'doubles': self.doubles, 'orphans': self.orphans, 'without a booking': self.missing, 'in the past': self.past}
        return [f'{kind}: {", ".join(numbers)}' for kind, numbers in kinds.items() if numbers]

    def __str__(self) -> str:
        """One line of figures."""
        counts = (f'bookings {self.bookings}', f'distinct causes {self.causes}', f'doubles {len(self.doubles)}')
        rest = (f'orphans {len(self.orphans)}', f'records without a booking {len(self.missing)}')
        return ', '.join((*counts, *rest, f'windows in the past {len(self.past)}'))


def balance(log: Sequence[dict[str, Any]], facility: str) -> Balance:
    """Count from the observatory's log.

    A cause is what an observation was asked for: a cadence's follow-up of certain records (from the journal), or a form sent
    by a person (its record). Booked while another one alike was still open counts as a double too, whatever the journal says.
    """
    records = set(ObservationRecord.objects.filter(facility=facility).values_list('observation_id', flat=True))
    causes = {
        observation_id: submission.cause.partition(':late:')[0]
        for submission in Submission.objects.all()
        for observation_id in submission.observation_ids
    }
    booked = [str(entry['id']) for entry in log]
    known = [number for number in booked if number in records]
    per_cause = Counter(causes.get(number, f'form:{number}') for number in known)
    twice = {cause for cause, count in per_cause.items() if count > 1}
    return Balance(
        bookings=len(booked),
        causes=len(per_cause),
        doubles=tuple(str(entry['id']) for entry in log if entry['beside'] or causes.get(str(entry['id']), '') in twice),
        orphans=tuple(number for number in booked if number not in records),
        missing=tuple(sorted(records - set(booked))),
        past=tuple(str(entry['id']) for entry in log if entry['end'] <= entry['created']),
    )
