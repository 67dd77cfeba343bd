"""One facility, as the engine sees it: states, forms, submitting, looking up, each error with its class."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import requests
from django.utils import timezone
from tom_observations.facility import BaseRoboticObservationFacility, get_service_classes

from tom_cadence import conf
from tom_cadence.core.bounds import bounded_text
from tom_cadence.core.exposure import LONGEST as MOST_WORDS
from tom_cadence.core.exposure import SENT, SENT_WORDS, before_sending, exposure_of_payload, what_was_sent
from tom_cadence.core.history import Outcome
from tom_cadence.core.seasons import SEMESTER, Objection
from tom_cadence.core.visibility import Site
from tom_cadence.core.windows import UTC, Window, read_instant, window_in, window_or_none
from tom_cadence.exceptions import BadWindow, CadenceError, NeedsAttention, NotYet, Refused, Temporary, Uncertain
from tom_cadence.facilities import forms, marks, ocs
from tom_cadence.facilities.adapters import adapter_of
from tom_cadence.facilities.calls import Breaker, NotAsked, ThreadPool
from tom_cadence.facilities.errors import CallStage, classify, readable, refusal
from tom_cadence.facilities.interception import marked, watch
from tom_cadence.facilities.marks import Sought
from tom_cadence.facilities.reply_text import short_line
from tom_cadence.facilities.transport import Traffic, deadline, watched

USUAL_KEYWORDS = ('start', 'end')
LIST_SKEW = timedelta(days=2)
CLOCK_SKEW = timedelta(days=30)
"""How far apart a facility's clock and ours may be; a token is unique, so asking for more than needed does no harm."""
FAILED_WORDS = frozenset(
    ['FAILED', 'FAILURE', 'EXPIRED', 'WINDOW_EXPIRED', 'FAILURE_LIMIT_REACHED', 'NOT_ATTEMPTED', 'ABORTED', 'REJECTED', 'ERROR']
)


@dataclass(frozen=True, kw_only=True)
class Status:
    """What a facility says about one observation; the schedule only where it said something about it."""

    state: str
    scheduled_start: datetime | None = None
    scheduled_end: datetime | None = None
    has_schedule: bool = True


Listing = ocs.Listing


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An observation ready to be sent, and what its record will keep."""

    payload: Any
    parameters: dict[str, Any]
    window: Window


class Unknown(Temporary):
    """The facility answers that it has no such observation; it may be another's, or too new for the server that was asked."""


class Gateway:
    """A facility class for one owner."""

    def __init__(self, name: str, owner: Any, facility_class: type, breaker: Breaker | None = None) -> None:
        """Make the facility and set its user; Credentials where the owner has none."""
        self.name, self.owner, self.breaker = name, owner, breaker or Breaker()
        self.movements: dict[Hashable, Any] = {}
        try:
            self.facility: Any = facility_class()
            if owner is not None:
                self.facility.set_user(owner)
            self.adapter = adapter_of(self.facility)
        except (Exception, SystemExit) as error:
            raise classify(error, CallStage.STATUS, name) from error

    @contextmanager
    def call(self, stage: CallStage) -> Iterator[Traffic]:
        """One call to the facility's class: its whole-call deadline in whichever thread, and its errors as ours.

        A facility that asked to be left alone is not asked.
        """
        with watched() as traffic:
            try:
                if self.breaker.open(self.name):
                    raise NotAsked(self.breaker.why(self.name))
                with deadline(conf.get('FACILITY_TIMEOUT')):
                    yield traffic
            except (Exception, SystemExit) as error:
                found = classify(error, stage, self.facility, traffic)
                self.breaker.hold(self.name, found)
                if found is error:
                    raise
                raise found from error

    @cached_property
    def keywords(self) -> tuple[str, str]:
        """The names of the start and end parameters."""
        start, end = self.facility.get_start_end_keywords()
        return start, end

    def window(self, parameters: Any) -> Window:
        """The window that stored parameters of this facility ask for; BadWindow where there is none."""
        return window_in(parameters, self.keywords)

    def window_or_none(self, parameters: Any) -> Window | None:
        """The same; None where there is none."""
        return window_or_none(parameters, self.keywords)

    def asks_for(self, keyword: str, form: Any) -> bool:
        """Whether the facility's form asks for this end of the window, under its own name or in the adapter's fields."""
        return keyword in form.fields or any(name.startswith(keyword) for name in self.adapter.window_fields() & set(form.fields))

    @cached_property
    def terminal(self) -> frozenset[str]:
        """The states in which an observation is over."""
        return self._own_terminal | set(self.states_by_hand.values())

    @cached_property
    def _own_terminal(self) -> frozenset[str]:
        return self.adapter.terminal or frozenset(self.facility.get_terminal_observing_states())

    @cached_property
    def states_by_hand(self) -> dict[str, str]:
        """The states that a person's words stand for (``observed``, ``failed``, ``not-observed``), as the class writes them.

        Empty where the facility itself says what became of an observation.
        """
        if self.can_poll or self.updates_itself:
            return {}
        written = {state.upper(): state for state in sorted(self._own_terminal)}
        return {word: written.get(state.upper(), state) for word, state in self.adapter.by_hand.items()}

    @cached_property
    def _failed(self) -> frozenset[str]:
        by_hand = {state for word, state in self.states_by_hand.items() if word != 'observed'}
        if self.adapter.terminal:
            return self.adapter.failed | by_hand
        states = getattr(self.facility, 'get_failed_observing_states', None)
        if states is not None:
            return frozenset(states()) | by_hand
        return frozenset(state for state in self._own_terminal if state.upper() in FAILED_WORDS) | by_hand

    @cached_property
    def _cancelled(self) -> frozenset[str]:
        return frozenset(state.upper() for state in conf.get('CANCELLED_STATES'))

    def outcome(self, state: str) -> Outcome:
        """What a state of this facility means."""
        if state not in self.terminal:
            return Outcome.WAITING
        if state.upper() in self._cancelled:
            return Outcome.CANCELLED
        return Outcome.FAILED if state in self._failed else Outcome.SUCCEEDED

    @cached_property
    def updates_itself(self) -> bool:
        """Whether the class overrides ``update_observation_status``; it is then called as it is."""
        update = getattr(type(self.facility), 'update_observation_status', None)
        return update is not None and update is not BaseRoboticObservationFacility.update_observation_status

    @cached_property
    def can_poll(self) -> bool:
        """Whether states can be asked for (a manual facility has none to ask)."""
        return self.adapter.answers and hasattr(self.facility, 'get_observation_status')

    @cached_property
    def many_at_once(self) -> bool:
        """Whether one call of the class gives the states of many observations."""
        return hasattr(self.facility, 'get_observation_statuses')

    @cached_property
    def has_pages(self) -> bool:
        """Whether the facility lists states page by page, and tells what has changed since an instant."""
        return not self.many_at_once and ocs.is_ocs(self.facility) and ocs.asks_as_the_toolkit(self.facility)

    @cached_property
    def account(self) -> Hashable:
        """Who asks: gateways of one account see one list, whoever their owners are."""
        if self.has_pages:
            try:
                return ocs.account(self.facility)
            except Exception:  # a class that needs more for its headers says so where it is asked
                return getattr(self.owner, 'pk', None)
        return getattr(self.owner, 'pk', None)

    def first_status(self, observation_id: str) -> Status:
        """The state of what was just booked; nothing is scheduled yet, so that a portal is asked for the state alone."""
        if not (ocs.is_ocs(self.facility) and ocs.asks_as_the_toolkit(self.facility)):
            return self.status(observation_id)
        with self.call(CallStage.STATUS):
            return Status(state=ocs.state_alone(copy.copy(self.facility), observation_id), has_schedule=False)

    def status(self, observation_id: str, known: str = '') -> Status:
        """One state; touches no database. Raises Temporary or Credentials. ``known`` is the state that a list has told."""
        facility = copy.copy(self.facility)
        with self.call(CallStage.STATUS):
            try:
                if ocs.is_ocs(facility) and ocs.asks_as_the_toolkit(facility):
                    return _status(ocs.state(facility, observation_id, known))
                return _status(facility.get_observation_status(observation_id))
            except requests.HTTPError as error:
                if error.response is not None and error.response.status_code == 404:
                    raise Unknown(f'{self.name} does not know observation {observation_id}.') from error
                raise

    def statuses(self, ids: Sequence[str]) -> dict[str, Status]:
        """The states of many in one call; those that the facility does not list are left out."""
        facility = copy.copy(self.facility)
        with self.call(CallStage.STATUS):
            return {str(key): _status(value) for key, value in facility.get_observation_statuses(list(ids)).items()}

    def page(self, number: int, since: Mapping[str, datetime]) -> ocs.Page:
        """One page of the list of states; ``since`` is ``modified_after`` or ``created_after``, by this host's clock."""
        facility = copy.copy(self.facility)
        with self.call(CallStage.STATUS):
            return ocs.page(facility, number, since)

    def schedule_page(self, number: int, query: Mapping[str, str]) -> ocs.SchedulePage:
        """One page of the telescopes' schedules, where the facility has pages."""
        facility = copy.copy(self.facility)
        with self.call(CallStage.STATUS):
            return ocs.schedule_page(facility, number, query)

    def update_itself(self, observation_id: str) -> None:
        """Let the facility save the state in its own way; it writes to the database, in whichever thread."""
        facility = copy.copy(self.facility)
        with self.call(CallStage.STATUS):
            facility.update_observation_status(observation_id)

    def prepare(
        self,
        parameters: Mapping[str, Any],
        window: Window,
        changes: Mapping[str, Any],
        hook: Callable[[dict[str, Any]], dict[str, Any]] = dict,
        asks: bool = True,
    ) -> Prepared:
        """Fill in the facility's form with the stored parameters and a new window, and check it.

        Nothing is booked. Raises Refused with the form's errors, Temporary, Credentials or NeedsAttention. Without ``asks`` the
        form does not ask its portal.
        """
        kind = forms.observation_type(parameters)
        data = {**forms.with_window(before_sending(copy.deepcopy(dict(parameters))), self.keywords, window), **changes}
        with self.call(CallStage.PREPARE), timezone.override(UTC):
            try:
                return self._fill_in(kind, self._hooked(hook, data), parameters, asks)
            except BadWindow as error:
                raise Refused(str(error)) from error

    def _hooked(self, hook: Callable[[dict[str, Any]], dict[str, Any]], data: dict[str, Any]) -> dict[str, Any]:
        try:
            changed = hook(data)
        except CadenceError:
            raise
        except Exception as error:  # the strategy is the site's code
            raise NeedsAttention(f'update_observation_payload failed: {type(error).__name__}: {readable(error)}') from error
        if not isinstance(changed, Mapping):
            raise NeedsAttention(f'update_observation_payload returned {changed!r} in place of the parameters.')
        return dict(changed)

    def _fill_in(self, kind: str, data: dict[str, Any], before: Mapping[str, Any], asks: bool) -> Prepared:
        start, end = self.keywords
        form = self._bound(kind, data)
        if refused := self.adapter.not_automated or self.adapter.refuses(form.data):
            raise Refused(refused)
        if not asks and hasattr(form, 'validate_at_facility'):
            form.validate_at_facility = bool
        try:
            valid = form.is_valid()
        except Exception as error:
            found = forms.form_errors(form)
            if found:
                raise Refused(f'The observation form of {self.name} refuses: {short_line(found)}') from error
            raise
        if getattr(form, 'trouble', None) is not None:
            raise form.trouble
        if not valid:
            who = self.name if getattr(form, 'errors_of_portal', False) else f'The observation form of {self.name}'
            text = f'{who} refuses: {short_line(forms.form_errors(form)) or "it gives no reason."}'
            objections = forms.objections(form)
            refused_for = self._refusal(text, objections, self.window(data))
            refused_for.by_field = tuple((each.field, each.text.removeprefix(f'{each.field}: ')) for each in objections)
            raise refused_for
        payload = form.observation_payload()
        kept = forms.serialized(form, {key: value for key, value in data.items() if key not in self.keywords})
        asked = self.window({start: data[start], end: data[end], **kept})
        window = self.adapter.window(asked)
        kept = {start: data[start], end: data[end], **kept}
        if window != asked:
            kept.update(forms.in_shape_of(data, {start: window.start, end: window.end}))
        kept.update(forms.in_shape_of(before, {start: window.start, end: window.end}))
        seconds = self.adapter.exposure(kept)
        seconds = exposure_of_payload(payload) if seconds is None else seconds
        if seconds is not None:
            kept[SENT] = seconds
        observed = what_was_sent(payload)
        if observed:
            kept[SENT_WORDS] = bounded_text(observed, MOST_WORDS)
        return Prepared(payload=payload, parameters=kept, window=window)

    def _bound(self, kind: str, data: Mapping[str, Any]) -> Any:
        window = self.adapter.window(self.window(data))
        return forms.bind(self.facility, kind, {**data, **self.adapter.fields(data, window)}, window)

    def draft(self, parameters: Mapping[str, Any], window: Window) -> Any:
        """What would be sent in this window, as far as the form alone says it: the facility's own check is not asked.

        Raises as ``prepare`` does.
        """
        kind = forms.observation_type(parameters)
        data = forms.with_window(before_sending(copy.deepcopy(dict(parameters))), self.keywords, window)
        with self.call(CallStage.PREPARE), timezone.override(UTC):
            form = self._bound(kind, data)
            form.full_clean()  # is_valid() of many asks the facility
            if form.errors:
                raise Refused(short_line(forms.form_errors(form)))
            return form.observation_payload()

    def _refusal(self, text: str, objections: Sequence[Objection], window: Window) -> Refused:
        """What the form, or the portal that it asked, says against this window; a semester's end is asked for."""
        found = refusal(text, objections)
        if isinstance(found, NotYet) and found.kind == SEMESTER and ocs.is_ocs(self.facility):
            return refusal(text, objections, until=ocs.semester_end(self.facility, window))
        return found

    @cached_property
    def can_look_up(self) -> bool:
        """Whether a submission whose reply was lost can be found at the facility."""
        own = hasattr(self.facility, 'mark_observation') and hasattr(self.facility, 'find_observations')
        return own or ocs.is_ocs(self.facility) or self.adapter.can_look_up()

    def mark(self, payload: Any, token: str) -> Any:
        """The payload with the token in it, where the facility can be asked for it; else as it is."""
        return marked(self.facility, payload, token)

    def submit(self, payload: Any) -> list[str]:
        """Send it, and return the ids of what was booked, each once. Uncertain unless what left proves otherwise."""
        with self.call(CallStage.SEND):
            return _ids(self.adapter.submit(copy.copy(self.facility), payload), self.name)

    def find(self, what: Sought) -> list[str]:
        """Ids of what the facility has of a request. Raises Temporary, Credentials or NeedsAttention."""
        with self.call(CallStage.LOOK_UP):
            if hasattr(self.facility, 'find_observations'):
                return [str(found) for found in self.facility.find_observations(what.token, what.created - CLOCK_SKEW)]
            return (marks if ocs.is_ocs(self.facility) else self.adapter).find(self.facility, what)

    @cached_property
    def can_list(self) -> bool:
        """Whether the facility lists its observations, for the audit."""
        return hasattr(self.facility, 'list_observations') or ocs.is_ocs(self.facility)

    def listing(self, created_after: datetime) -> Listing:
        """What the facility holds: id, name, state, created, and the target where it says so; a deadline a page."""
        since = created_after - LIST_SKEW
        if hasattr(self.facility, 'list_observations'):
            with self.call(CallStage.LOOK_UP):
                return Listing(items=list(self.facility.list_observations(since)), complete=True)
        items: list[dict[str, Any]] = []
        for number in range(ocs.MOST_PAGES):
            with self.call(CallStage.LOOK_UP):
                more = ocs.listing(self.facility, since, number)
            items += more.items
            if more.complete:
                return Listing(items=items, complete=True)
        return Listing(items=items, complete=False)

    @staticmethod
    def is_unknown(error: Exception) -> bool:
        """Whether a state could not be told because the facility knows no such observation."""
        cause = error.__cause__
        return isinstance(error, Unknown) or (
            isinstance(cause, requests.HTTPError) and cause.response is not None and cause.response.status_code == 404
        )


def _status(reply: Any) -> Status:
    """A status from what a facility class returned; Temporary where it is no status."""
    if not isinstance(reply, Mapping) or not isinstance(reply.get('state'), str) or not reply['state']:
        raise Temporary(f'The facility returned "{short_line(reply, 100)}" in place of a status.')
    return Status(
        state=reply['state'],
        scheduled_start=_scheduled(reply.get('scheduled_start')),
        scheduled_end=_scheduled(reply.get('scheduled_end')),
        has_schedule=bool({'scheduled_start', 'scheduled_end'} & set(reply)),
    )


def _scheduled(value: Any) -> datetime | None:
    try:
        return read_instant(value) if value else None
    except BadWindow:
        return None


def _ids(reply: Any, name: str) -> list[str]:
    if isinstance(reply, (str, int)) and not isinstance(reply, bool):
        reply = [reply]
    if not isinstance(reply, (list, tuple, set)) or not reply or any(found in (None, '') for found in reply):
        raise Uncertain(f'{name} accepted the call but returned no observation id ("{short_line(reply, 100)}").')
    return list(dict.fromkeys(str(found) for found in reply))


def keywords_of(facility: Any) -> tuple[str, str]:
    """What an instance, or a class, calls the ends of a window; the usual names where it does not say."""
    try:
        start, end = facility.get_start_end_keywords()
    except Exception:  # a facility class is the site's code
        return USUAL_KEYWORDS
    return start, end


class Facilities:
    """The gateways of one run, made once for each facility and owner, and the threads that ask them."""

    def __init__(self) -> None:
        """Start with none."""
        self._made: dict[tuple[str, Any], Gateway] = {}
        self._classes: dict[str, type] | None = None
        self.breaker, self.pool = Breaker(), ThreadPool()

    def gateway(self, name: str, owner: Any) -> Gateway:
        """The facility ``name`` for ``owner``; NeedsAttention where it is not configured."""
        key = (name, getattr(owner, 'pk', None))
        if key not in self._made:
            self._made[key] = Gateway(name, owner, self._class(name), self.breaker)
        return self._made[key]

    def window(self, name: str, parameters: Any) -> Window | None:
        """The window that a record of facility ``name`` asks for; None where nobody can read one."""
        return window_or_none(parameters, self.keywords(name))

    def keywords(self, name: str) -> tuple[str, str]:
        """A facility's names of the ends of a window; of one that is configured no more, those that most have."""
        try:
            facility = self.gateway(name, None).facility
        except Exception:  # a facility class is the site's code
            return USUAL_KEYWORDS
        return keywords_of(facility)

    def knows(self, name: str) -> bool:
        """Whether a facility of this name is configured."""
        try:
            return bool(self._class(name))
        except NeedsAttention:
            return False

    def _class(self, name: str) -> type:
        try:
            if self._classes is None:
                self._classes = get_service_classes()
                for each in self._classes.values():  # also those that are no subclass of the host's
                    watch(each)
            return self._classes[name]
        except KeyError:
            raise NeedsAttention(f'The facility {name!r} is not in TOM_FACILITY_CLASSES any more.') from None
        except ImportError as error:
            raise NeedsAttention(f'The facilities of this TOM cannot be loaded: {bounded_text(error)}') from error


def cancel(gateway: Gateway, observation_id: str) -> str:
    """Ask the facility to cancel one observation: an empty text where it did, else why not."""
    try:
        with gateway.call(CallStage.CANCEL):
            done = gateway.facility.cancel_observation(observation_id)
    except CadenceError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return f'{gateway.name} cannot cancel observations for this TOM.'
        return str(error)
    return '' if done else f'{gateway.name} did not cancel it.'


def state_of(gateway: Gateway, observation_id: str) -> Status | None:
    """What the facility says about it now, or None where it does not say."""
    try:
        return gateway.status(observation_id)
    except CadenceError:
        return None


def is_booked(gateway: Gateway, state: str) -> bool:
    """Whether an observation in this state may still be carried out."""
    return gateway.outcome(state) is Outcome.WAITING


def sites_of(facility: Any) -> tuple[Site, ...]:
    """Every site with sensible coordinates (degrees, metres); none where the class says nothing of them.

    The shape is that of ``BaseRoboticObservationFacility.get_observing_sites`` of tomtoolkit 3.1.0 (facility.py 467).
    """
    asked = getattr(facility, 'get_observing_sites', None)
    try:
        found = asked() if callable(asked) else {}
    except Exception:  # the site's own code; a facility in space, for example, has none to tell
        return ()
    if not isinstance(found, Mapping):
        return ()
    sites = (_site(str(name), given) for name, given in found.items())
    return tuple(site for site in sites if site is not None)


def _site(name: str, given: Any) -> Site | None:
    try:
        latitude, longitude, elevation = (float(given.get(key, 0)) for key in ('latitude', 'longitude', 'elevation'))
    except (AttributeError, TypeError, ValueError):
        return None
    if not (math.isfinite(latitude + longitude + elevation) and abs(latitude) <= 90 and abs(longitude) <= 360):
        return None
    return Site(name=name, latitude=latitude, longitude=longitude, elevation=elevation)
