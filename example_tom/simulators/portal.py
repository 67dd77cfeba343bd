"""A stand-in of an OCS/LCO observation portal (Las Cumbres, SOAR, Blanco), over real HTTP.

In a test: ``with serve(Portal()) as server: portal = server.service``; ``portal.url`` and ``portal.token`` are what a
client is given. As a process: ``python example_tom/simulators --portal 0``.

Where each behaviour comes from (github.com/observatorycontrolsystem/observation-portal, read in November 2026, and a
real portal 4.18.10 that was tried):

- what a request group must hold and the words of a refusal: see portal_requests.py;
- routes, verbs, what ``validate`` and ``cadence`` answer: requestgroups/viewsets.py. There is no idempotency key: the
  same POST twice makes two request groups. Everybody sees the request groups of his proposals, also those of colleagues;
- the list's filters: requestgroups/filters.py. ``name`` contains, ignoring case; ``created_after`` and ``modified_after``
  are >=, the ``before`` ones <=, ``modified`` is that of the requests; a value that cannot be read is a 400, an unknown
  filter is ignored. Newest first, or ``order=[-]created|modified|name``; LimitOffsetPagination with 10 a page;
- states: common/state_changes.py. A group can be cancelled only while PENDING; its COMPLETED requests stay so. Terminal
  is not final: see ``set_state``;
- throttling by scope, counted a day and a user: settings.py; Django REST framework's 429;
- 403 for a wrong or missing token, never 401; 404 for anything unknown or not yours; 500 with HTML for any page that
  would show a request of an instrument that is not offered any more (its duration cannot be computed), also if it is a
  colleague's, while the other requests can still be read one by one.

Switches; each is a method or attribute of ``Portal``, the methods are in ``/control/`` as well (beside those of
service.py: clock, fault, latency, options, log, requests, reset):

``submissions``, ``log()``   what was accepted: the truth. ``doubles()``: requests that are like an earlier one that is
                             still to be observed, or was; ``orphans(known)``: requests whose number nobody recorded
``set_state(id, state)``     any state from any state; ``observation='NOT_ATTEMPTED'``: COMPLETED without an observation
``settle_all(state)``        all that are pending; ``schedule(id, start, end)``: into the telescope's schedule, in place of
                             what was there; ``unschedule(id)``: out of it
``book(payload)``            accepted as if it was typed in at the portal's page; ``forget(group_id)``: gone
``retire(code)``             an instrument is out of service for good; ``offer(*codes)``: these only
``add_colleagues(count)``    newer requests of other users of a proposal, with any ``instrument``, ``state``, ``age``
``set_semesters(...)``       windows must lie within one; none set: no bounds. Also ``/api/semesters/``
``set_proposal(id, ...)``    ``hours`` left in a semester, ``current`` or rolled over, ``members``
``add_user(name)``           another user; his token
``close_until(instant)``     503 with Retry-After for everything until then
``fault(verb, kind)``        kinds of faults.py, and those of ``REFUSALS``: how a portal's page, proxy or plugin refuses
                             otherwise than the serializers do. Verbs: see ``VERBS``; ``match`` is looked for in the
                             path, the query and the body (``match='offset=200'``: a page of the list)
``reply(verb, status, ...)`` the next requests of a verb are answered with this, and nothing is done, until there are no
                             more of these ``answers``
``asked``                    each request's verb and query, in order
``options``                  ``create_rate``, ``cancel_rate``, ``validate_rate`` a day, ``minute_rate`` for everything

Not imitated: what is visible from the sites, checks of modes, IPP.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from simulators.accounts import MINUTE, Refused, Throttle, throttled, token_of
from simulators.faults import Fault
from simulators.portal_groups import (
    BLOCK_STATES,
    STATES,
    USER,
    PortalSubmission,
    aggregate,
    colleagues_group,
    doubles_of,
    list_filter,
    paged,
    schedule_filter,
)
from simulators.portal_requests import (
    INSTRUMENTS,
    NOT_VISIBLE,
    REFUSALS,
    Json,
    Proposal,
    Rules,
    Window,
    duration_of,
    expand_cadence,
    expand_dither,
    expand_mosaic,
    group_errors,
    pattern_errors,
    window_errors,
    window_of,
    write_instant,
)
from simulators.service import Answer, Request, Service, as_json, as_text, read_instant

DAY = 86400.0
VERBS = {
    'profile': ('GET', r'/api/profile'),
    'instruments': ('GET', r'/api/instruments'),
    'semesters': ('GET', r'/api/semesters'),
    'telescopes': ('GET', r'/api/telescope_states'),
    'list': ('GET', r'/api/requestgroups'),
    'submit': ('POST', r'/api/requestgroups'),
    'validate': ('POST', r'/api/requestgroups/validate'),
    'cadence': ('POST', r'/api/requestgroups/cadence'),
    'dither': ('POST', r'/api/configurations/dither'),
    'mosaic': ('POST', r'/api/requests/mosaic'),
    'group': ('GET', r'/api/requestgroups/(\d+)'),
    'cancel': ('POST', r'/api/requestgroups/(\d+)/cancel'),
    'request': ('GET', r'/api/requests/(\d+)'),
    'observations': ('GET', r'/api/requests/(\d+)/observations'),
    'schedule': ('GET', r'/api/observations'),
}
#: The throttle's scope of a verb, as an option.
RATES = {'submit': 'create_rate', 'cancel': 'cancel_rate', 'validate': 'validate_rate'}


@dataclass
class PortalOptions:
    """Throttling: so many requests a day (None: any), or of any kind a minute; the defaults are the real portal's."""

    create_rate: int | None = 5000
    cancel_rate: int | None = 2000
    validate_rate: int | None = 20000
    minute_rate: int | None = None


class Portal(Service):
    """The portal: users, proposals, request groups and their observations, all in memory."""

    name = 'portal'
    verbs = tuple(VERBS)
    kinds = tuple(REFUSALS)
    options: PortalOptions

    def __init__(
        self,
        storage: Path | None = None,
        seed: int = 0,
        *,
        token: str = 'portal-token',  # noqa: S107
        proposals: Iterable[str] = ('TOM2026B-001',),
        **options: Any,
    ) -> None:
        """One user, ``observer``, with this token, and these proposals, of which everybody is a member."""
        super().__init__(PortalOptions(**options), None, seed)
        self.token = token
        self.users = {token: USER}
        self._first_proposals = tuple(proposals)
        self._begin()

    def _begin(self) -> None:
        self.proposals = {pk: Proposal(pk) for pk in self._first_proposals}
        self.instruments = dict(INSTRUMENTS)
        self.semesters: dict[str, Window] = {}
        self.submissions: list[PortalSubmission] = []
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.answers: dict[str, list[Answer]] = {}
        self.closed_until: datetime | None = None
        self._daily, self._minutely = (Throttle(lambda: self.now().timestamp(), period) for period in (DAY, MINUTE))
        self._groups: dict[int, Json] = {}
        self._group_of: dict[int, Json] = {}
        self._blocks: dict[int, list[Json]] = {}
        self._number_of_groups = self._number_of_requests = self._number_of_blocks = 0

    # what a test does to it

    def now(self) -> datetime:
        """The portal's instant, aware UTC."""
        return self.clock.now()

    def offer(self, *codes: str) -> None:
        """Offer these instruments only.

        The OCS form sends every kind of optical element there is at the portal with every instrument, so that one works
        only where all instruments have the same kinds.
        """
        self.instruments = {code: INSTRUMENTS[code] for code in codes}

    def retire(self, code: str) -> None:
        """Offer this instrument no more: what shows a request of it fails with 500 from now on."""
        del self.instruments[code]

    def add_user(self, name: str) -> str:
        """Let another user in; his token."""
        token = token_of(name)
        self.users[token] = name
        return token

    def set_proposal(
        self, id: str, *, current: bool = True, hours: float | None = None, semester: str = '', members: Iterable[str] | None = None
    ) -> None:
        """Make or change a proposal; ``hours`` is what is left in a semester ('' if there are none), None: no bound."""
        with self.lock:
            proposal = self.proposals.setdefault(id, Proposal(id))
            proposal.current = current
            proposal.members = None if members is None else frozenset(members)
            proposal.hours.pop(semester, None)
            if hours is not None:
                proposal.hours[semester] = hours

    def set_semesters(self, **bounds: tuple[datetime | str, datetime | str]) -> None:
        """Semesters by name, with their bounds (ISO texts or aware datetimes); none: windows may lie anywhere.

        Names begin with a digit as a rule: ``set_semesters(**{'2026B': (start, end)})``.
        """
        read = {
            name: tuple(each if isinstance(each, datetime) else read_instant(each) for each in pair)
            for name, pair in bounds.items()
        }
        self.semesters = {name: (pair[0], pair[1]) for name, pair in read.items()}

    def close_until(self, instant: datetime | str) -> None:
        """Answer everything with 503 and a Retry-After until then, by the portal's clock."""
        self.closed_until = read_instant(instant) if isinstance(instant, str) else instant

    def reply(self, verb: str, status: int, body: Any, headers: dict[str, str] | None = None, times: int = 1) -> None:
        """Answer the next requests of a verb with this, and do nothing else; a body that is text goes out as it is."""
        if verb not in VERBS:
            raise ValueError(f'unknown verb {verb!r}; known: {", ".join(VERBS)}')
        answer = as_text(status, body, 'text/html') if isinstance(body, str) else as_json(status, body)
        answer.headers |= {name: str(value) for name, value in (headers or {}).items()}
        self.answers.setdefault(verb, []).extend([answer] * times)

    def add_colleagues(
        self,
        count: int,
        *,
        user: str = 'colleague',
        proposal: str = '',
        instrument: str = '1M0-SCICAM-SINISTRO',
        state: str = 'PENDING',
        age: float = 0.0,
        spacing: float = 0.0,
    ) -> list[int]:
        """Requests of another user of the proposal (default: the first); their numbers.

        The newest was made and last changed ``age`` seconds ago, each one before it ``spacing`` seconds earlier.
        """
        with self.lock:
            now = self.now()
            window = {'start': write_instant(now), 'end': write_instant(now + timedelta(days=5))}
            numbers = []
            for place in range(count):
                created = write_instant(now - timedelta(seconds=age + spacing * (count - 1 - place)))
                payload = colleagues_group(f'RR Lyrae {place:05}', proposal or next(iter(self.proposals)), instrument, window)
                group = self._keep(payload, user, created, state)
                numbers.append(int(group['requests'][0]['id']))
            return numbers

    def book(self, payload: Json, user: str = USER) -> Json:
        """Accept a request group as if it had been typed in at the portal's own page; the group."""
        with self.lock:
            return self._accept(copy.deepcopy(payload), user, '')

    def forget(self, group_id: int) -> None:
        """Have no request group of this number any more."""
        with self.lock:
            for request in self._groups.pop(group_id)['requests']:
                del self._group_of[request['id']], self._blocks[request['id']]
            self.submissions = [each for each in self.submissions if each.group_id != group_id]

    def request_ids(self) -> list[int]:
        """The numbers of all requests that were submitted to it, colleagues' left out."""
        return sorted(number for each in self.submissions for number in each.request_ids)

    def state(self, id: int | str) -> str:
        """The state of a request."""
        return str(self._request(int(id))['state'])

    def set_state(self, id: int | str, state: str, observed: Window | None = None, observation: str = 'COMPLETED') -> None:
        """Move a request to any state from any state.

        COMPLETED comes with an observation, by default as soon as its window opened and COMPLETED as well; another state
        of it (NOT_ATTEMPTED) leaves the request completed without data. Back to PENDING (bad data) takes that
        observation's success away. What is completed is taken from the proposal's hours.
        """
        if state not in STATES:
            raise ValueError(f'unknown state {state!r}; known: {", ".join(STATES)}')
        with self.lock:
            request, now = self._request(int(id)), self.now()
            request['state'], request['modified'] = state, write_instant(now)
            blocks = self._blocks[request['id']]
            for block in blocks:
                if block['state'] in ('PENDING', 'COMPLETED'):
                    block |= {'state': BLOCK_STATES.get(state, 'FAILED'), 'modified': write_instant(now)}
            group = self._group_of[request['id']]
            if state == 'COMPLETED':
                start = read_instant(request['windows'][0]['start'])
                blocks.append(
                    self._block(request, observation, observed or (start, start + timedelta(seconds=request['duration'])))
                )
                hours = self.proposals[group['proposal']].hours
                semester = self._rules(USER).semester(*window_of(request['windows'][0], now)) or ''
                if semester in hours:
                    hours[semester] -= request['duration'] / 3600
            aggregate(group)

    def settle_all(self, state: str) -> list[int]:
        """Move every PENDING request that was submitted to that state; their numbers."""
        with self.lock:
            pending = [number for number in self.request_ids() if self.state(number) == 'PENDING']
            for number in pending:
                self.set_state(number, state)
        return pending

    def schedule(self, id: int | str, start: datetime | str, end: datetime | str) -> None:
        """Put a PENDING observation of the request into the telescope's schedule."""
        span = tuple(each if isinstance(each, datetime) else read_instant(each) for each in (start, end))
        with self.lock:
            request = self._request(int(id))
            self.unschedule(request['id'])
            self._blocks[request['id']].append(self._block(request, 'PENDING', (span[0], span[1])))

    def unschedule(self, id: int | str) -> None:
        """Take the PENDING observations of the request out of the schedule again."""
        with self.lock:
            for block in self._blocks[int(id)]:
                if block['state'] == 'PENDING':
                    block |= {'state': 'CANCELED', 'modified': write_instant(self.now())}

    # what it knows

    def log(self, since: int = 0) -> list[Json]:
        """Every accepted request group in order, with what became of it; ``since`` leaves out the first ones."""
        with self.lock:
            return [
                {
                    'id': each.group_id,
                    'request_ids': list(each.request_ids),
                    'name': each.name,
                    'user': each.user,
                    'proposal': each.payload['proposal'],
                    'created': write_instant(each.created),
                    'windows': [[write_instant(start), write_instant(end)] for start, end in each.windows],
                    'state': self._groups[each.group_id]['state'],
                    'states': [self.state(number) for number in each.request_ids],
                    'payload': each.payload,
                    'lost': each.lost,
                }
                for each in self.submissions[since:]
            ]

    def doubles(self) -> list[int]:
        """Requests booked although another one asks for the same of the same target in a window that overlaps.

        The same: instrument, exposures, optical elements and proposal; one that was cancelled or came to nothing is no
        reason against a second.
        """
        with self.lock:
            return doubles_of(self.submissions, self._request)

    def orphans(self, known: Iterable[int | str]) -> list[int]:
        """Requests that were accepted, whose numbers are not among the known ones."""
        recorded = {int(each) for each in known}
        return [number for number in self.request_ids() if number not in recorded]

    def _block(self, request: Json, state: str, span: Window) -> Json:
        self._number_of_blocks += 1
        place = {'site': 'lsc', 'enclosure': 'doma', 'telescope': '1m0a', 'priority': 10, 'configuration_statuses': []}
        times = {'start': write_instant(span[0]), 'end': write_instant(span[1])}
        times |= dict.fromkeys(('created', 'modified'), write_instant(self.now()))
        return {'id': 9000 + self._number_of_blocks, 'request': request['id'], 'state': state} | times | place

    def _request(self, number: int) -> Json:
        group = self._group_of.get(number)
        if group is None:
            raise Refused(as_json(404, {'detail': 'Not found.'}))
        requests: list[Json] = group['requests']
        return next(request for request in requests if request['id'] == number)

    def _keep(self, payload: Json, user: str, created: str, state: str = 'PENDING') -> Json:
        group = copy.deepcopy(payload)
        stamps = {'state': state, 'created': created, 'modified': created}
        self._number_of_groups += 1
        group |= {'id': 499 + self._number_of_groups, 'submitter': user} | stamps
        for number, request in enumerate(group['requests'], start=70000 + self._number_of_requests):
            request |= {'id': number, 'duration': duration_of(request), 'acceptability_threshold': 90.0} | stamps
            for window in request['windows']:
                start, end = window_of(window, self.now())
                window |= {'start': write_instant(start), 'end': write_instant(end)}
            self._group_of[number], self._blocks[number] = group, []
            self._number_of_requests += 1
        self._groups[group['id']] = group
        return group

    # what it answers

    def verb(self, request: Request) -> str | None:
        """What a request is about; with or without the slash at the end."""
        return next((verb for verb in VERBS if _route(verb, request)), None)

    def about(self, verb: str, request: Request) -> str:
        """Path, query and body."""
        return f'{request.path}?{urlencode(request.query, doseq=True)} {request.body.decode("utf-8", "replace")}'

    def begin(self, verb: str, request: Request) -> None:
        """Note the query, whatever becomes of the request."""
        with self.lock:
            self.asked.append((verb, request.query))
        super().begin(verb, request)

    def commit(self, fault: Fault, verb: str, request: Request) -> Answer:
        """An odd refusal, with other words if the fault has any."""
        status, body = REFUSALS[fault.kind]
        if isinstance(body, str) and fault.kind != 'string':
            return as_text(status, fault.text or body, 'text/html' if body.startswith('<') else 'text/plain')
        answer = as_json(status, body)
        if fault.text:
            answer.body = answer.body.replace(json.dumps(NOT_VISIBLE).encode(), json.dumps(fault.text).encode())
        return answer

    def work(self, verb: str, request: Request, lost: str) -> Answer:
        """Do what is asked."""
        with self.lock:
            wait = (self.closed_until - self.now()).total_seconds() if self.closed_until else 0
            if wait > 0:
                page = as_text(503, '<html><head><title>503 Service Temporarily Unavailable</title></head></html>', 'text/html')
                page.headers['Retry-After'] = str(round(wait))
                return page
            user = self.users.get(request.headers.get('authorization', '').removeprefix('Token '))
            if user is None:
                return as_json(403, {'detail': 'Invalid token.'})
            if self.answers.get(verb):
                return self.answers[verb].pop(0)
            try:
                self._permit(verb, user)
                return self._work(verb, user, request, lost)
            except Refused as refused:
                return refused.answer

    def _permit(self, verb: str, user: str) -> None:
        limit = getattr(self.options, RATES[verb]) if verb in RATES else None
        wait = max(self._minutely.wait(user, self.options.minute_rate), self._daily.wait(f'{verb} {user}', limit))
        if wait:
            raise Refused(throttled(wait))

    def _work(self, verb: str, user: str, request: Request, lost: str) -> Answer:
        number = int((_route(verb, request) or ('0',))[0] or 0)
        plain: dict[str, Callable[[], Any]] = {
            'profile': lambda: self._profile(user),
            'instruments': lambda: self.instruments,
            'semesters': lambda: self._semesters(request),
            'telescopes': dict,
            'list': lambda: self._list(user, request),
            'group': lambda: self._shown(self._group(user, number)),
            'cancel': lambda: self._cancel(user, number),
            'request': lambda: self._shown(self._request_of(user, number)),
            'observations': lambda: self._blocks[self._request_of(user, number)['id']],
            'schedule': lambda: self._schedule(user, request),
        }
        if verb in plain:
            return as_json(200, plain[verb]())
        payload = _payload(request)
        if verb == 'submit':
            return self._submit(payload, user, lost)
        if verb in ('dither', 'mosaic'):
            fields = ('configuration', 'point_spacing') if verb == 'dither' else ('request', 'point_overlap_percent')
            if errors := pattern_errors(payload, *fields):
                return as_json(400, errors)
            return as_json(200, expand_dither(payload) if verb == 'dither' else expand_mosaic(payload))
        return self._cadence(payload, user) if verb == 'cadence' else self._validate(payload, user)

    def _rules(self, user: str) -> Rules:
        return Rules(now=self.now(), user=user, instruments=self.instruments, proposals=self.proposals, semesters=self.semesters)

    def _shown(self, item: Json) -> Json:
        """A request or group, or 500 if its duration cannot be computed any more."""
        for request in item.get('requests', [item]):
            if any(each['instrument_type'] not in self.instruments for each in request['configurations']):
                raise Refused(as_text(500, '<!doctype html><html><body><h1>Server Error (500)</h1></body></html>', 'text/html'))
        return item

    def _profile(self, user: str) -> Json:
        own = [each for each in self.proposals.values() if each.admits(user)]
        proposals = [{'id': each.id, 'title': f'Proposal {each.id}', 'current': each.current} for each in own]
        return {'username': user, 'proposals': [*proposals, {'id': 'OLD', 'title': 'Over', 'current': False}]}

    def _semesters(self, request: Request) -> Json:
        try:
            at = read_instant(request.get('semester_contains')) if request.get('semester_contains') else None
        except ValueError:
            at = None
        found = [
            {'id': name, 'start': write_instant(start), 'end': write_instant(end)}
            for name, (start, end) in self.semesters.items()
            if at is None or start <= at <= end
        ]
        return {'count': len(found), 'next': None, 'previous': None, 'results': found}

    def _submit(self, payload: Json, user: str, lost: str) -> Answer:
        if errors := group_errors(payload, self._rules(user)):
            return as_json(400, errors)
        return as_json(201, self._accept(payload, user, lost))

    def _accept(self, payload: Json, user: str, lost: str) -> Json:
        now = self.now()
        group = self._keep(payload, user, write_instant(now))
        windows = tuple(window_of(window, now) for request in group['requests'] for window in request['windows'])
        numbers = tuple(request['id'] for request in group['requests'])
        self.submissions.append(PortalSubmission(group['id'], numbers, group['name'], now, windows, payload, user, lost))
        return group

    def _validate(self, payload: Json, user: str) -> Answer:
        if errors := group_errors(payload, self._rules(user)):
            return as_json(200, {'request_durations': {}, 'errors': errors})
        requests = [{'duration': duration_of(each), 'largest_interval': 36000.0} for each in payload['requests']]
        durations = {'requests': requests, 'duration': sum(each['duration'] for each in requests)}
        return as_json(200, {'request_durations': durations, 'errors': {}})

    def _cadence(self, payload: Json, user: str) -> Answer:
        rules = self._rules(user)
        template = dict(payload['requests'][0])
        cadence = template.pop('cadence', None) or {}
        missing = {name: ['This field is required.'] for name in ('start', 'period', 'jitter') if cadence.get(name) is None}
        if errors := missing or window_errors(cadence, rules):
            return as_json(400, {'requests': [{'cadence': errors}]})
        spans = [span for span in expand_cadence(cadence) if span[1] > rules.now]
        if not spans:
            return as_json(400, {'errors': 'No visible requests within cadence window parameters'})
        windows = [{'start': write_instant(start), 'end': write_instant(end)} for start, end in spans]
        expanded = payload | {'requests': [template | {'windows': [window]} for window in windows]}
        expanded |= {'operator': 'MANY'} if len(windows) > 1 else {}
        if errors := group_errors(expanded, rules):
            return as_json(400, errors)
        return as_json(200, expanded)

    def _group(self, user: str, number: int) -> Json:
        group = self._groups.get(number)
        if group is None or not self.proposals[group['proposal']].admits(user):
            raise Refused(as_json(404, {'detail': 'Not found.'}))
        return group

    def _request_of(self, user: str, number: int) -> Json:
        request = self._request(number)
        self._group(user, self._group_of[number]['id'])
        return request

    def _list(self, user: str, request: Request) -> Json:
        keeps = list_filter(request)
        mine = {each.id for each in self.proposals.values() if each.admits(user)}
        found = [group for group in reversed(self._groups.values()) if group['proposal'] in mine and keeps(group)]
        order = request.get('order')
        if order.lstrip('-') in ('created', 'modified', 'name'):
            found.sort(key=lambda group: str(group[order.lstrip('-')]), reverse=order.startswith('-'))
        return paged(request, found, self._shown)

    def _schedule(self, user: str, request: Request) -> Json:
        mine = {each.id for each in self.proposals.values() if each.admits(user)}
        numbers = (number for number, group in self._group_of.items() if group['proposal'] in mine)
        keeps = schedule_filter(request)
        found = [block for number in numbers for block in self._blocks[number] if keeps(block)]
        found.sort(key=lambda block: int(block['id']), reverse=True)
        return paged(request, found, lambda block: block | {'request': self._shown(self._request(block['request']))})

    def _cancel(self, user: str, number: int) -> Json:
        group = self._group(user, number)
        if group['state'] not in ('PENDING', 'CANCELED'):
            text = f'Cannot transition from request state {group["state"]} to CANCELED for {group["id"]}'
            raise Refused(as_json(400, {'errors': [text]}))
        for request in group['requests']:
            if request['state'] == 'PENDING':
                self.set_state(request['id'], 'CANCELED')
        group['state'] = 'CANCELED'
        return self._shown(group)

    def reset(self) -> None:
        """Forget everything but users, the first proposals and options."""
        super().reset()
        with self.lock:
            self._begin()

    def deeds(self) -> dict[str, Callable[..., Any]]:
        """What ``/control/`` can do here."""
        return super().deeds() | {
            'state': self.set_state,
            'settle': self.settle_all,
            'schedule': self.schedule,
            'book': self.book,
            'forget': self.forget,
            'retire': self.retire,
            'offer': lambda codes: self.offer(*codes),
            'colleagues': self.add_colleagues,
            'semesters': self.set_semesters,
            'proposal': self.set_proposal,
            'user': lambda name: {'token': self.add_user(name)},
            'reply': self.reply,
            'close': lambda until: self.close_until(until),
            'doubles': self.doubles,
            'orphans': self.orphans,
        }


def _route(verb: str, request: Request) -> tuple[str, ...] | None:
    method, pattern = VERBS[verb]
    found = re.fullmatch(pattern, request.path.rstrip('/')) if method == request.method else None
    return None if found is None else (found.groups() or ('0',))


def _payload(request: Request) -> Json:
    def refuse(constant: str) -> None:
        raise ValueError(f'Out of range float values are not JSON compliant: {constant}')

    try:
        payload = json.loads(request.body, parse_constant=refuse)
    except ValueError as error:
        raise Refused(as_json(400, {'detail': f'JSON parse error - {error}'})) from error
    if not isinstance(payload, dict):
        raise Refused(as_json(400, {'non_field_errors': ['Invalid data. Expected a dictionary.']}))
    return payload
