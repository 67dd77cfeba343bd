"""Who may do what at the simulated ATLAS server, and how often (Django REST framework's texts; services.md 1.1, 1.3)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from simulators.service import Answer, Request, as_json
from simulators.throttle import Throttle

if TYPE_CHECKING:
    from simulators.atlas import AtlasOptions

USERS = {'tom': 'look-up', 'jerry': 'look-down'}
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


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a form or of a JSON body."""
    if 'json' not in request.headers.get('content-type', ''):
        form = parse_qs(request.body.decode('utf-8', 'replace'), keep_blank_values=True)
        return {name: values[-1] for name, values in form.items()}
    try:
        said = json.loads(request.body or b'{}')
    except ValueError as error:
        raise Refused(as_json(400, {'detail': f'JSON parse error - {error}'})) from None
    if not isinstance(said, dict):
        text = f'Invalid data. Expected a dictionary, but got {type(said).__name__}.'
        raise Refused(as_json(400, {'non_field_errors': [text]}))
    return said


class Access:
    """The part of the server that knows users."""

    options: AtlasOptions

    def seconds(self) -> float:
        """Now, in Unix seconds."""
        raise NotImplementedError

    def set_users(self, users: dict[str, str] | None) -> None:
        """Know these users (name to password), or ``USERS``."""
        self.users = dict(USERS if users is None else users)
        self.tokens = {token_of(user): user for user in self.users}
        self.token = next(iter(self.tokens))
        self.throttle = Throttle(self.seconds)
        self.seen: Counter[str] = Counter()  # 'submit tom': requests by verb and user

    def note(self, verb: str, request: Request) -> None:
        """Count whose token came with a request, also where none is needed."""
        secret = request.headers.get('authorization', '').partition(' ')[2]
        self.seen[f'{verb} {self.tokens.get(secret, "nobody")}'] += 1

    def _auth(self, request: Request) -> Answer:
        said = fields_of(request)
        missing = {name: ['This field is required.'] for name in ('username', 'password') if not said.get(name)}
        if missing:
            return as_json(400, missing)
        if self.users.get(str(said['username'])) != said['password']:
            return as_json(400, {'non_field_errors': ['Unable to log in with provided credentials.']})
        return as_json(200, {'token': token_of(str(said['username']))})

    def _user(self, request: Request) -> str | None:
        scheme, _, secret = request.headers.get('authorization', '').partition(' ')
        if scheme == 'Token':
            if secret in self.tokens:
                return self.tokens[secret]
            raise Refused(self._unauthorized('Invalid token.'))
        if scheme == 'Basic':
            try:
                name, _, password = base64.b64decode(secret).decode('utf-8', 'replace').partition(':')
            except ValueError:
                name, password = '', ''
            if name in self.users and self.users[name] == password:
                return name
            raise Refused(self._unauthorized('Invalid username/password.'))
        return None

    def _unauthorized(self, text: str) -> Answer:
        # Basic is the first authenticator, so the challenge is Basic's (settings.py of the server)
        return as_json(401, {'detail': text}, WWW_Authenticate='Basic realm="api"')

    def _permit(self, verb: str, request: Request, user: str | None) -> None:
        text = 'Authentication credentials were not provided.'
        if user is None and request.method in WRITES:
            raise Refused(self._unauthorized(text))
        if user is None and verb in ('list', 'positions'):
            raise Refused(as_json(403, {'detail': text}))
        write = request.method in WRITES
        limit = self.options.writes_per_minute if write else self.options.reads_per_minute
        wait = self.throttle.wait(f'{user or request.peer} {write}', limit)
        if wait:
            unit = 'second' if wait == 1 else 'seconds'
            text = f'Request was throttled. Expected available in {wait} {unit}.'
            raise Refused(as_json(429, {'detail': text}, Retry_After=str(wait)))
