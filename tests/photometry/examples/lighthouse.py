"""The server that the example of a resumable service asks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.photometry.examples.tiny import Asked, Told

TOKEN = 'a-secret-token'
CURVE = b'mjd_start,flux,error,band,image\n61301.25,100.0,10.0,r,im1\n61302.25,-5.0,10.0,g,im2\n'


@dataclass
class Lighthouse:
    """The server: it needs one look before it is ready."""

    state: str = 'ready'
    curve: bytes = CURVE
    #: Verbs whose next reply is lost after the work is done.
    lose: list[str] = field(default_factory=list)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Told | None:
        if asked.headers.get('authorization') != f'Bearer {TOKEN}':
            return 401, b'{"detail": "Who are you?"}'
        told = self.answer(asked)
        if asked.method in self.lose:
            self.lose.remove(asked.method)
            return None
        return told

    def answer(self, asked: Asked) -> Told:
        parts = asked.path.removeprefix('/api/').split('/')
        if asked.method == 'POST':
            task = {'id': len(self.tasks) + 1, 'state': 'waiting', **asked.given}
            self.tasks[task['id']] = task
            return 201, json.dumps(task).encode()
        if len(parts) == 1:
            noted = [task for task in self.tasks.values() if task['note'] == asked.given['note']]
            return 200, json.dumps(noted).encode()
        number = int(parts[1])
        if number not in self.tasks:
            return 404, b'{"detail": "Not found."}'
        if asked.method == 'DELETE':
            del self.tasks[number]
            return 204, b''
        if len(parts) == 3:
            return 200, self.curve
        return 200, json.dumps({**self.tasks[number], 'state': self.state}).encode()
