"""The line to the observatory, in memory: ``requests`` goes its whole way, and what would leave is handed to the observatory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from urllib3 import HTTPResponse
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from simulators.observatory import Observatory
from simulators.service import Answer, Request
from tests.world.stage import Stage

ADDRESS = 'http://observatory.world'
BEFORE = ('refused', 'reset before', '500 before', '503 before')
AFTER = ('reset after', '500 after', 'cut after', 'late')
LATE = 'a late request'
LATEST = 420.0
"""Seconds after which what left late has arrived; the product believes "not found" after ten minutes."""


class Line:
    """Stands in for the connection pool of urllib3."""

    scheme, host, port = 'http', 'observatory.world', 80

    def __init__(self, stage: Stage, observatory: Observatory, later: Callable[[float, str, Callable[[], None]], None]) -> None:
        """``later`` does something after so many seconds."""
        self.stage, self.observatory, self.later = stage, observatory, later
        self.bad = 0.0
        self.down_until = 0.0
        self.under_way = 0

    def urlopen(self, method: str, url: str, body: Any = None, headers: Any = None, timeout: Any = None, **_: Any) -> HTTPResponse:
        """One request, as urllib3 would make it."""
        stage, parts = self.stage, urlsplit(url)
        stage.still_there()
        request = Request(
            method=method,
            path=parts.path,
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={name.lower(): value if isinstance(value, str) else value.decode() for name, value in (headers or {}).items()},
            body=body.encode() if isinstance(body, str) else body or b'',
            base=ADDRESS,
        )
        verb = self.observatory.verb(request) or 'nothing'
        about = self._about(verb, request)
        fault = self._fault(verb)
        if fault == 'refused':
            self._say(about, fault)
            raise MaxRetryError(self, url, NewConnectionError(self, 'refused'))  # type: ignore[arg-type]
        if fault == 'reset before':
            self._say(about, fault)
            raise ProtocolError('Connection aborted.', ConnectionResetError(104, 'reset'))
        return self._exchange(verb, request, fault, about, _seconds(timeout), method)

    def _exchange(self, verb: str, request: Request, fault: str, about: str, timeout: float, method: str) -> HTTPResponse:
        """The request travels, and so does the answer; the process may die, or stand still, on either way."""
        stage, began = self.stage, self.stage.clock.seconds
        answer = self._refusal(fault)
        if answer is None and fault != 'late' and stage.random.random() < 0.5:
            answer = self.observatory.work(verb, request, fault)
        self.under_way += verb == 'submit'
        try:
            stage.point(f'asks {about}')
        finally:
            self.under_way -= verb == 'submit'
        took = stage.clock.seconds - began
        if fault == 'late':
            self._leave_late(verb, request, about)
        elif answer is None and took <= LATEST:
            answer = self.observatory.work(verb, request, fault)
        if answer is None or took > timeout or fault == 'reset after':
            self._say(about, fault or 'no answer in time')
            raise ReadTimeoutError(self, request.path, 'slow')  # type: ignore[arg-type]
        self._say(about, fault or f'{answer.status} {self._number(verb, answer)}'.strip())
        stage.point(f'has its answer to {about}')
        if fault == '500 after':
            answer = Answer(500, b'{}')
        elif fault == 'cut after':
            answer = Answer(answer.status, answer.body[: len(answer.body) // 2])
        headers = {'Content-Type': answer.kind, **answer.headers}
        return HTTPResponse(io.BytesIO(answer.body), headers, answer.status, preload_content=False, request_method=method)

    def _about(self, verb: str, request: Request) -> str:
        if verb != 'submit':
            return f'{verb} {request.path.removeprefix("/api/observations/")}{request.get("ids")}'.strip()
        said = json.loads(request.body)
        return f'submit {said.get("target")} {said.get("start")}'

    def _say(self, about: str, what: str) -> None:
        process = self.stage.process
        self.stage.say(process.name if process else 'nobody', f'{about}: {what}')

    def _fault(self, verb: str) -> str:
        process, draw = self.stage.process, self.stage.random
        if self.stage.clock.seconds < self.down_until:
            return 'refused'
        if process is None or not process.spoilt or draw.random() >= self.bad:
            return ''
        after = AFTER if verb == 'submit' else AFTER[:-1]
        kinds = [*BEFORE, *after, *after, *(['no', '403'] if verb == 'submit' else [])]
        fault = draw.choice(kinds)
        if fault in ('late', 'reset after'):  # nobody gets a second connection at once
            self.down_until = self.stage.clock.seconds + 20
        return fault

    @staticmethod
    def _refusal(fault: str) -> Answer | None:
        refusals = {
            '500 before': Answer(500, b'{}'),
            '503 before': Answer(503, b'{}'),
            '403': Answer(403, b'{"detail": "Invalid token."}'),
            'no': Answer(400, b'{"non_field_errors": ["Not visible in this window."]}'),
        }
        return refusals.get(fault)

    @staticmethod
    def _number(verb: str, answer: Answer) -> str:
        return str(json.loads(answer.body).get('id')) if verb == 'submit' and answer.status == 201 else ''

    def _leave_late(self, verb: str, request: Request, about: str) -> None:
        def arrive() -> None:
            self.under_way -= 1
            answer = self.observatory.work(verb, request, 'late')
            self.stage.say('observatory', f'{about} arrives late: {answer.status} {self._number(verb, answer)}'.strip())

        self.under_way += 1
        self.later(self.stage.random.uniform(35, LATEST), LATE, arrive)


def _seconds(timeout: Any) -> float:
    read = getattr(timeout, 'read_timeout', None)
    return float(read) if isinstance(read, (int, float)) else 1e9
