"""The states of observations, asked for by a person: those of what this person may see, with this person's own account.

The toolkit's own buttons ask for the observations of everybody, with the account of the site, one after the other, without an end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import Q, QuerySet
from tom_observations.models import ObservationRecord

from tom_cadence import conf, journal
from tom_cadence.core.bounds import bounded_text, error_text
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.calls import Call
from tom_followup.clock import monotonic_seconds

MOST, AT_ONCE = 100, 8
"""How many observations are asked for on a page, the newest first, and how many at the same time."""


@dataclass(kw_only=True)
class Refreshed:
    """What came of the questions; ``left`` were not asked for, or not answered in time."""

    asked: int = 0
    changed: int = 0
    left: int = 0
    troubles: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        """For a person."""
        if not self.asked and not self.troubles:
            return 'There is no unfinished observation whose state could be asked for.'
        parts = [f'{_observations(self.asked)} asked for, {self.changed} changed.'] if self.asked else []
        parts += [f'{text} ({_observations(number)})' for text, number in self.troubles.items()]
        if self.left:
            parts.append(
                f'{_observations(self.left)} not asked for in this time: the next run of the command asks for those of cadences.'
            )
        return ' '.join(parts)


def _observations(number: int) -> str:
    return f'{number} observation{"" if number == 1 else "s"}'


def refresh(records: QuerySet[ObservationRecord], user: Any) -> Refreshed:
    """Ask for the states of those of these records that are unfinished, and save them; FACILITY_TIMEOUT for all of it."""
    found, facilities = Refreshed(), Facilities()
    gateways = _gateways(records, user, facilities, found)
    unfinished = Q(pk__in=())
    for name, gateway in gateways.items():
        unfinished |= Q(facility=name) & ~Q(status__in=gateway.terminal)
    due = list(records.filter(unfinished).order_by('-pk')[: MOST + 1])
    seconds = conf.get('FACILITY_TIMEOUT')
    calls = Calls(at_once=AT_ONCE, per_facility=conf.get('FACILITY_CALLS'), breaker=facilities.breaker, pool=facilities.pool)
    for record in due[:MOST]:
        calls.start(record, record.facility, partial(_state, gateways[record.facility], record), seconds)
    last = monotonic_seconds() + seconds
    while len(calls) and monotonic_seconds() < last:
        call = calls.next_within(max(0.0, last - monotonic_seconds()))
        if call is not None and not call.late:
            _take(call, found)
    found.left = len(calls) + max(0, len(due) - MOST)
    return found


def _gateways(records: QuerySet[Any], user: Any, facilities: Facilities, found: Refreshed) -> dict[str, Gateway]:
    """The facilities of these records that can be asked, for this user; what is wrong with the others is said."""
    gateways = {}
    for name in records.order_by().values_list('facility', flat=True).distinct():
        try:
            gateway = facilities.gateway(name, user)
            if gateway.can_poll and isinstance(gateway.terminal, frozenset):  # read here, so that what it raises is said here
                gateways[name] = gateway
        except Exception as error:  # a facility class is the site's code
            found.troubles[_words(error)] += records.filter(facility=name).count()
    return gateways


def _state(gateway: Gateway, record: ObservationRecord) -> Status | None:
    """What the facility says; None where its class saves that by itself."""
    if not gateway.updates_itself:
        return gateway.status(record.observation_id)
    gateway.update_itself(record.observation_id)
    return None


def _take(call: Call, found: Refreshed) -> None:
    record: Any = call.key
    if call.error is not None:
        if not isinstance(call.error, Exception):
            raise call.error
        found.troubles[_words(call.error)] += 1
        return
    found.asked += 1
    if isinstance(call.result, Status):
        schedule = (call.result.scheduled_start, call.result.scheduled_end) if call.result.has_schedule else None
        found.changed += journal.save_status(record, call.result.state, schedule)
    else:
        found.changed += not ObservationRecord.objects.filter(pk=record.pk, status=record.status).exists()


def _words(error: Exception) -> str:
    return bounded_text(error) if isinstance(error, CadenceError) else error_text(error)
