"""The simulated observatory's book: what it accepted and, by weather and telescope, what became of it; kept in SQLite."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from simulators.service import Clock, read_instant

TERMINAL = ('COMPLETED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'CANCELED', 'NOT_ATTEMPTED')
STATES = ('PENDING', 'IN_PROGRESS', *TERMINAL)
FILTERS = ('B', 'V', 'g', 'r', 'i', 'z')
NAME_LENGTH = 50
DAY = timedelta(days=1)


def night_of(instant: datetime) -> date:
    """The night that an instant belongs to: the UTC date twelve hours before."""
    return (instant - DAY / 2).date()


@dataclass
class Weather:
    """Which nights are cloudy, which observations fail, and at what time of night each is made, from a seed.

    A night depends on (seed, night), a failure of the telescope on (seed, id), the time of night on (seed, id): never on
    the order of the requests.
    """

    seed: int = 0
    clouds: float = 0.0
    failures: float = 0.0
    nights: dict[date, str] = field(default_factory=dict)

    def chance(self, *key: object) -> float:
        """A number in [0, 1) that depends on the seed and the key only."""
        digest = hashlib.blake2b(repr((self.seed, *key)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, 'big') / 2**64

    def is_cloudy(self, night: date) -> bool:
        """Whether nothing can be observed in a night."""
        outcome = self.nights.get(night)
        if outcome is not None:
            return outcome == 'cloudy'
        return self.clouds > 0 and self.chance('night', night.isoformat()) < self.clouds

    def breaks(self, identifier: int) -> bool:
        """Whether the telescope fails in the middle of this observation."""
        return self.failures > 0 and self.chance('failure', identifier) < self.failures

    def slots(self, identifier: int, start: datetime, end: datetime, length: timedelta) -> Iterator[datetime]:
        """The times at which the observation could begin, one a day, while it still fits into its window."""
        room = min(end - start, DAY) - length
        if room < timedelta():
            return
        slot = start + room * self.chance('slot', identifier)
        while slot + length <= end:
            yield slot
            slot += DAY


@dataclass
class Booking:
    """One accepted request. ``plan``: the outcome it will have in its slot. ``fixed``: its state was set by hand."""

    id: int
    owner: str
    name: str
    target: str
    start: str
    end: str
    created: str
    timestamp: float
    seconds: float
    fields: dict[str, Any]
    state: str = 'PENDING'
    plan: str | None = None
    fixed: bool = False
    slot: str | None = None
    beside: list[int] = field(default_factory=list)

    def as_reply(self) -> dict[str, Any]:
        """The observation as the API shows it: scheduled times once it was begun."""
        began = self.slot if self.state in ('IN_PROGRESS', 'COMPLETED', 'FAILURE_LIMIT_REACHED') else None
        ended = began and _iso(read_instant(began) + timedelta(seconds=self.seconds))
        shown = {k: self.fields[k] for k in ('filter', 'exposure_time', 'exposure_count')}
        window = {'target': self.target, 'start': self.start, 'end': self.end}
        schedule = {'scheduled_start': began, 'scheduled_end': ended}
        return {'id': self.id, 'name': self.name, 'state': self.state, 'created': self.created} | schedule | window | shown


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace('+00:00', 'Z')


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def errors_in(asked: Mapping[str, Any], now: datetime) -> dict[str, list[str]]:
    """What is wrong with a request, by field, in the words a portal uses."""
    errors: dict[str, list[str]] = {}
    window: dict[str, datetime] = {}
    for name in ('name', 'target'):
        if not isinstance(asked.get(name), str) or not asked[name].strip():
            errors[name] = ['This field is required.']
    if 'name' not in errors and len(asked['name']) > NAME_LENGTH:
        errors['name'] = [f'Ensure this field has no more than {NAME_LENGTH} characters.']
    for name in ('start', 'end'):
        try:
            window[name] = read_instant(asked.get(name))
        except (ValueError, OverflowError):
            errors[name] = ['Datetime has wrong format.']
    if len(window) == 2 and window['end'] <= window['start']:
        errors['end'] = ['The end of the window must be after its start.']
    elif 'end' in window and window['end'] <= now:
        errors['end'] = ['The window has ended already.']
    for name, low, high in (('ra', 0, 360), ('dec', -90, 90)):
        number = _number(asked.get(name))
        if number is None or not low <= number <= high:
            errors[name] = [f'A number from {low} to {high} is required.']
    if asked.get('filter') not in FILTERS:
        errors['filter'] = [f'{asked.get("filter")!r} is not one of {", ".join(FILTERS)}.']
    for name in ('exposure_time', 'exposure_count'):
        number = _number(asked.get(name))
        if number is None or number <= 0:
            errors[name] = ['A positive number is required.']
    if not errors and _seconds(asked) > (window['end'] - window['start']).total_seconds():
        errors['exposure_time'] = ['The exposures do not fit into the window.']
    return errors


def _seconds(asked: Mapping[str, Any]) -> float:
    return float(asked['exposure_time']) * float(asked['exposure_count'])


class Book:
    """All bookings. Every method may be called from any thread."""

    def __init__(self, storage: Path | None, clock: Clock, weather: Weather) -> None:
        """Open the file in the folder ``storage`` (None: in memory only) and read what it holds."""
        self.clock, self.weather = clock, weather
        self._lock = threading.RLock()
        self._open: dict[tuple[str, str], set[int]] = {}  # by owner and target
        self.plans: list[str] = []
        name = ':memory:' if storage is None else str(storage / 'observatory.sqlite3')
        self._file = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
        self._file.execute('PRAGMA journal_mode=WAL')
        self._file.execute('PRAGMA synchronous=OFF')
        self._file.execute('CREATE TABLE IF NOT EXISTS bookings (id INTEGER PRIMARY KEY, data TEXT NOT NULL)')
        rows = self._file.execute('SELECT data FROM bookings ORDER BY id').fetchall()
        self._all = {booking.id: booking for booking in (Booking(**json.loads(data)) for (data,) in rows)}
        for booking in self._all.values():
            self._note(booking)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            yield

    def close(self) -> None:
        """Close the file."""
        with self._locked():
            self._file.close()

    def clear(self) -> None:
        """Forget everything."""
        with self._locked():
            self._all.clear()
            self._open.clear()
            self.plans.clear()
            self._file.execute('DELETE FROM bookings')

    def _keep(self, booking: Booking) -> None:
        self._file.execute('INSERT OR REPLACE INTO bookings VALUES (?, ?)', (booking.id, json.dumps(asdict(booking))))
        self._note(booking)

    def _note(self, booking: Booking) -> None:
        alike = self._open.setdefault((booking.owner, booking.target), set())
        (alike.discard if booking.state in TERMINAL else alike.add)(booking.id)

    def accept(self, asked: Mapping[str, Any], owner: str) -> Booking:
        """Book one observation; the same request twice is two bookings."""
        with self._locked():
            now = self.clock.now()
            start, end = (_iso(read_instant(asked[name])) for name in ('start', 'end'))
            booking = Booking(
                id=next(reversed(self._all), 0) + 1,
                owner=owner,
                name=asked['name'],
                target=asked['target'],
                start=start,
                end=end,
                created=_iso(now),
                timestamp=now.timestamp(),
                seconds=_seconds(asked),
                fields=dict(asked),
                plan=self.plans.pop(0) if self.plans else None,
                beside=[other.id for other in self._alike(asked, owner)],
            )
            self._all[booking.id] = booking
            self._keep(booking)
            return booking

    def _alike(self, asked: Mapping[str, Any], owner: str) -> Iterator[Booking]:
        for key in sorted(self._open.get((owner, asked['target']), ())):
            other = self._settle(self._all[key])
            if other.state not in TERMINAL and other.fields['filter'] == asked['filter']:
                yield other

    def _settle(self, booking: Booking) -> Booking:
        """Let the weather and the telescope do what they did until now."""
        if booking.fixed or booking.state in TERMINAL:
            return booking
        state, slot = self._outcome(booking, self.clock.now())
        if (state, slot) != (booking.state, booking.slot):
            booking.state, booking.slot = state, slot
            self._keep(booking)
        return booking

    def _outcome(self, booking: Booking, now: datetime) -> tuple[str, str | None]:
        start, end = read_instant(booking.start), read_instant(booking.end)
        if now < start:
            return 'PENDING', None
        length = timedelta(seconds=booking.seconds)
        for slot in self.weather.slots(booking.id, start, end, length):
            if slot > now or booking.plan in ('WINDOW_EXPIRED', 'PENDING', 'NOT_ATTEMPTED', 'CANCELED'):
                break
            if booking.plan is None and self.weather.is_cloudy(night_of(slot)):
                continue
            if now < slot + length:
                return 'IN_PROGRESS', _iso(slot)
            return booking.plan or ('FAILURE_LIMIT_REACHED' if self.weather.breaks(booking.id) else 'COMPLETED'), _iso(slot)
        if now < end or booking.plan == 'PENDING':
            return 'PENDING', None
        return booking.plan if booking.plan in ('NOT_ATTEMPTED', 'CANCELED') else 'WINDOW_EXPIRED', None

    def get(self, key: str | int, owner: str | None = None) -> Booking | None:
        """One booking as it is now; None if unknown or not the owner's."""
        with self._locked():
            booking = self._all.get(int(key)) if str(key).isascii() and str(key).isdigit() else None
            if booking is None or owner not in (None, booking.owner):
                return None
            return self._settle(booking)

    def find(self, owner: str | None, fits: Callable[[Booking], bool], offset: int, limit: int) -> tuple[int, list[Booking]]:
        """How many of the owner's bookings fit, and one page of them, newest first."""
        with self._locked():
            found = [each for each in reversed(self._all.values()) if owner in (None, each.owner) and fits(each)]
            return len(found), [self._settle(each) for each in found[offset : offset + limit]]

    def everything(self, since: int = 0) -> list[Booking]:
        """All bookings with an id above ``since``, as they are now, oldest first."""
        with self._locked():
            return [self._settle(each) for each in self._all.values() if each.id > since]

    def set_state(self, key: str | int, state: str) -> Booking:
        """Give a booking a state by hand, whatever it had: terminal is not final. It stays until told otherwise."""
        if state not in STATES:
            raise ValueError(f'unknown state {state!r}; known: {", ".join(STATES)}')
        with self._locked():
            booking = self._all[int(key)]
            now, length = self.clock.now(), timedelta(seconds=booking.seconds)
            begun = max(read_instant(booking.start), now - length) if state == 'IN_PROGRESS' else now - length
            if booking.slot is None and state in ('IN_PROGRESS', 'COMPLETED', 'FAILURE_LIMIT_REACHED'):
                slots = self.weather.slots(booking.id, read_instant(booking.start), read_instant(booking.end), length)
                booking.slot = _iso(min([begun, *list(slots)[:1]]))
            booking.state, booking.fixed = state, True
            self._keep(booking)
            return booking

    def cancel(self, key: str | int, owner: str) -> Booking | None:
        """Cancel a booking that is not terminal yet; a terminal one stays as it is."""
        with self._locked():
            booking = self.get(key, owner)
            if booking is not None and booking.state not in TERMINAL:
                booking.state, booking.fixed = 'CANCELED', True
                self._keep(booking)
            return booking

    def plan(self, state: str, *, key: str | int | None = None, count: int = 1) -> None:
        """Fix the outcome that a booking, or each of the next ``count``, will have when its time comes."""
        if state not in STATES:
            raise ValueError(f'unknown state {state!r}; known: {", ".join(STATES)}')
        with self._locked():
            if key is None:
                self.plans.extend([state] * count)
            else:
                booking = self._all[int(key)]
                booking.plan, booking.fixed = state, False
                self._keep(booking)
