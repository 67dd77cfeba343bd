"""Users of a simulated service that is written with Django REST framework: tokens, passwords, and how often each may ask."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter, deque
from collections.abc import Callable

from simulators.service import Answer, Request, as_json

MINUTE = 60.0
WRITES = ('POST', 'PUT', 'PATCH', 'DELETE')


class Refused(Exception):
    """Answered without doing anything."""

    def __init__(self, answer: Answer) -> None:
        """Hold the answer."""
        super().__init__(answer.status)
        self.answer = answer


def token_of(user: str) -> str:
    """The token of a user: 40 hexadecimal digits."""
    return hashlib.blake2b(user.encode(), digest_size=20).hexdigest()


class Throttle:
    """So many requests in any ``period`` (a sliding window), by the service's clock; the caller holds the service's lock.

    Only allowed requests are counted, as Django REST framework does it: asking while throttled costs nothing.
    """

    def __init__(self, now: Callable[[], float], period: float = MINUTE) -> None:
        """Start with nobody."""
        self.now, self.period = now, period
        self._times: dict[str, deque[float]] = {}

    def wait(self, who: str, limit: int | None) -> int:
        """How many seconds to wait; 0: the request is allowed, and counted."""
        if limit is None:
            return 0
        now, times = self.now(), self._times.setdefault(who, deque())
        while times and times[0] <= now - self.period:
            times.popleft()
        if len(times) >= limit:
            return max(1, math.ceil(times[0] + self.period - now))
        times.append(now)
        return 0

    def clear(self) -> None:
        """Forget everybody."""
        self._times.clear()


class Accounts:
    """The users and what they may; ``seen`` counts requests by verb and user ('submit tom')."""

    def __init__(self, now: Callable[[], float], users: dict[str, str]) -> None:
        """Know these users (name to password); ``token`` is the first one's."""
        self.users = dict(users)
        self.tokens = {token_of(user): user for user in self.users}
        self.token = next(iter(self.tokens))
        self.throttle = Throttle(now)
        self.seen: Counter[str] = Counter()

    def note(self, verb: str, request: Request) -> None:
        """Count whose token came with a request, also where none is needed."""
        secret = request.headers.get('authorization', '').partition(' ')[2]
        self.seen[f'{verb} {self.tokens.get(secret, "nobody")}'] += 1

    def login(self, said: dict[str, object]) -> Answer:
        """The token of a user for a password."""
        missing = {name: ['This field is required.'] for name in ('username', 'password') if not said.get(name)}
        if missing:
            return as_json(400, missing)
        if self.users.get(str(said['username'])) != said['password']:
            return as_json(400, {'non_field_errors': ['Unable to log in with provided credentials.']})
        return as_json(200, {'token': token_of(str(said['username']))})

    def user(self, request: Request) -> str | None:
        """Who asks: by token or password, or nobody; Refused if the credentials are wrong."""
        scheme, _, secret = request.headers.get('authorization', '').partition(' ')
        if scheme == 'Token':
            if secret in self.tokens:
                return self.tokens[secret]
            raise Refused(unauthorized('Invalid token.'))
        if scheme == 'Basic':
            try:
                name, _, password = base64.b64decode(secret).decode('utf-8', 'replace').partition(':')
            except ValueError:
                name, password = '', ''
            if name in self.users and self.users[name] == password:
                return name
            raise Refused(unauthorized('Invalid username/password.'))
        return None

    def limit(self, request: Request, user: str | None, reads: int | None, writes: int | None) -> None:
        """Refused with 429 if this user (without one: this address) asks more often than so many times a minute."""
        write = request.method in WRITES
        wait = self.throttle.wait(f'{user or request.peer} {write}', writes if write else reads)
        if wait:
            raise Refused(throttled(wait))


def unauthorized(text: str) -> Answer:
    """401; Basic is the first authenticator of the ATLAS server, so the challenge is Basic's (its settings.py)."""
    return as_json(401, {'detail': text}, WWW_Authenticate='Basic realm="api"')


def throttled(wait: int) -> Answer:
    """429 as Django REST framework writes it."""
    unit = 'second' if wait == 1 else 'seconds'
    return as_json(429, {'detail': f'Request was throttled. Expected available in {wait} {unit}.'}, Retry_After=str(wait))
