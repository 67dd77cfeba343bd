"""Quirks of observation portals of the OCS family (LCO, SOAR, ...), as tomtoolkit 3.1.0 talks to them.

Facts are from ``tom_observations/facilities/ocs.py`` and ``lco.py`` of 3.1.0, and from a running portal (4.18.10):
no idempotency key; ``GET /api/requestgroups/?name=<text>`` finds request groups whose name contains the
text; each result lists its requests with ``id`` and ``state``. Names may have 50 characters.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urljoin

from tom_cadence.core.windows import UTC, Window, read_instant
from tom_cadence.facilities.errors import CallStage, classify
from tom_cadence.facilities.reply_text import Place, name_in, placed_messages, short_line
from tom_followup.labels import label

logger = logging.getLogger(__name__)
PAGE = 200
MOST_PAGES = 20
UNDER_WAY = ('PENDING', 'IN_PROGRESS')
"""States of a block of the schedule that is still to be observed, or just is."""
#: The one strategy that the sequence forms offer (lco.py 816-819 and 893-897 of 3.1.0).
OFFERED = 'ResumeCadenceAfterFailureStrategy'


def is_ocs(facility: Any) -> bool:
    """Whether this facility talks to an observation portal of the OCS family."""
    from tom_observations.facilities.ocs import OCSFacility

    return isinstance(facility, OCSFacility)


def is_sequence(form_class: type) -> bool:
    """Whether this is one of LCO's sequence forms, whose window ends one cadence_frequency after its start."""
    from tom_observations.facilities.lco import LCOPhotometricSequenceForm, LCOSpectroscopicSequenceForm

    return issubclass(form_class, (LCOPhotometricSequenceForm, LCOSpectroscopicSequenceForm))


def adapt_sequence_form(
    form_class: type, data: dict[str, Any], keywords: tuple[str, str], window: Window
) -> tuple[type, dict[str, Any]]:
    """A form class and data by which an LCO sequence form accepts a window.

    Its start is a split date field behind one hidden input, which accepts no text at all; left empty, the form takes the
    local time of now (lco.py 824-896, 1056-1072 of 3.1.0). So the start is left empty and answered by ``clean_start``; the form
    itself sets its end one cadence_frequency later. It knows one strategy besides none; any other is no business of the portal.
    """
    if not is_sequence(form_class):
        return form_class, data
    start = window.start.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S')

    def clean_start(self: Any) -> str:
        return start

    given = type(f'Windowed{form_class.__name__}', (form_class,), {'clean_start': clean_start})
    left_out = {*keywords, *([] if data.get('cadence_strategy') == OFFERED else ['cadence_strategy'])}
    return given, {key: value for key, value in data.items() if key not in left_out}


class ReadableValidation:
    """Mixed into a form of the OCS family: what the portal's check says becomes an error of the form, whatever its shape.

    The toolkit's own reads one shape of several: from the others the page of the form is an HTTP 500 (ocs.py 785-821 of 3.1.0).
    ``trouble`` is the exception where the portal could not be asked.
    """

    trouble: Exception | None = None
    errors_of_portal = False

    def validate_at_facility(self) -> None:
        """Ask the portal whether it would take the observation."""
        form: Any = self
        if form._errors:  # there is no observation to ask about
            return
        facility = getattr(form, 'facility', None) or _facility_named(form.cleaned_data['facility'])
        try:
            reply = facility.validate_observation(form.observation_payload())
        except Exception as error:  # the portal's refusals come as exceptions, too
            self.trouble = error
            form.add_error(None, str(classify(error, CallStage.PREPARE, facility)))
            return
        found: list[tuple[Place, str]] = []
        if isinstance(reply, Mapping):
            found = list(placed_messages(reply.get('errors')))
            refused = bool(found) or bool(reply.get('errors'))
        elif refused := reply is None or isinstance(reply, (str, bytes, list, tuple, int, float)):
            found = list(
                placed_messages(reply)
            )  # only JSON comes from a portal: any other object has no objection, as for the toolkit
        if refused:
            self.errors_of_portal = True
            for place, text in found or [((), 'It gives no reason.')]:
                words, key = short_line(text), name_in(place)
                field = field_at(place, form.fields)
                form.add_error(field, words if field or not key else f'{label(key)}: {words}')
        elif isinstance(reply, Mapping) and (duration := (reply.get('request_durations') or {}).get('duration')):
            form.validation_message = f'This observation is valid with a duration of {duration} seconds.'


_AROUND = {'guiding_config': ('guide_',), 'acquisition_config': ('acquisition_',)}


def field_at(place: Place, fields: Container[str]) -> str | None:
    """The field of a portal's form that says what stands at this place of its request, or None.

    Fields of the n-th configuration begin with ``c_n_``, those of its m-th part with ``c_n_ic_m_`` (ocs.py 300-700 of 3.1.0).
    """
    numbers = {name: number + 1 for name, number in pairwise(place) if isinstance(number, int)}
    configuration = f'c_{numbers.get("configurations", 0)}_'
    part = f'{configuration}ic_{numbers.get("instrument_configs", 0)}_'
    name = name_in(place)
    around = next((words for kind, words in _AROUND.items() if kind in place), ('', 'readout_', 'configuration_'))
    names = [f'{words}{name}' for words in around]
    candidates = [f'{prefix}{each}' for prefix in (part, configuration) for each in names]
    return next((each for each in (*candidates, name) if each in fields), None)


def with_readable_validation(form_class: type) -> type:
    """The form class, with the portal's answers to its check in words; any other form as it is."""
    from tom_observations.facilities.ocs import OCSBaseObservationForm

    own = getattr(form_class, 'validate_at_facility', None)
    if own is not OCSBaseObservationForm.validate_at_facility:
        return form_class
    return type(form_class.__name__, (ReadableValidation, form_class), {'__module__': form_class.__module__})


def _facility_named(name: str) -> Any:
    from tom_observations.facility import get_service_class

    return get_service_class(name)()


def many_in_one_call(parameters: Mapping[str, Any]) -> bool:
    """Whether these parameters became several requests of one request group (the form's own static cadence)."""
    return bool(parameters.get('period')) and parameters.get('jitter') not in (None, '')


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the portal's list: {request id: state}, whether there are more, and how far its clock is ahead of ours."""

    states: dict[str, str]
    more: bool
    ahead: timedelta


def page(facility: Any, number: int, since: Mapping[str, datetime]) -> Page:
    """States from one page of the portal's list of request groups, newest first.

    ``since`` is ``modified_after`` or ``created_after``. A portal that does not know ``modified_after`` lists everything.
    """
    query = {key: iso(instant) for key, instant in since.items()}
    response = ask_groups(facility, query, number)
    reply = response.json()
    found = {str(request['id']): str(request['state']) for group in reply['results'] for request in group['requests']}
    return Page(states=found, more=bool(reply.get('next')), ahead=ahead(response))


def ahead(response: Any) -> timedelta:
    """By the portal's own Date; nothing where it does not say."""
    try:
        there = parsedate_to_datetime(response.headers['Date'])
    except (KeyError, TypeError, ValueError):
        return timedelta(0)
    there = there if there.tzinfo else there.replace(tzinfo=UTC)
    return there - datetime.now(UTC)


def semester_end(facility: Any, window: Window) -> datetime | None:
    """The end of the semester in which the window starts, where the portal says so and it lies inside the window."""
    from tom_observations.facilities.ocs import make_request

    address = urljoin(facility.facility_settings.get_setting('portal_url'), '/api/semesters/')
    try:
        reply = make_request(
            'GET', address, params={'semester_contains': iso(window.start)}, headers=facility._portal_headers()
        ).json()
        ends = [read_instant(each['end']) for each in reply['results']]
    except Exception as error:  # a portal that does not say: it is asked again in a while
        logger.info('No semesters: %s', short_line(error), extra={'event': 'no_semesters'})
        return None
    return next((end for end in ends if window.start < end <= window.end), None)


def account(facility: Any) -> Hashable:
    """Whose list the portal shows: those who ask with one key see one list."""
    return (facility.facility_settings.get_setting('portal_url'), *sorted(facility._portal_headers().items()))


def asks_as_the_toolkit(facility: Any) -> bool:
    """Whether the class leaves asking for a state to the toolkit, so that it may be asked with fewer requests."""
    from tom_observations.facilities.ocs import OCSFacility

    return type(facility).get_observation_status is OCSFacility.get_observation_status


def state_alone(facility: Any, observation_id: str) -> str:
    """The state of one request, without its schedule."""
    from tom_observations.facilities.ocs import make_request

    address = urljoin(facility.facility_settings.get_setting('portal_url'), f'/api/requests/{quote(observation_id, safe="")}/')
    return str(make_request('GET', address, headers=facility._portal_headers()).json()['state'])


def state(facility: Any, observation_id: str, known: str = '') -> dict[str, Any]:
    """The state of one request, and its schedule, in two requests where the toolkit's class takes three; one where it is known.

    COMPLETED of which the portal shows observations but no completed one is NOT_ATTEMPTED: nothing was observed.
    """
    from tom_observations.facilities.ocs import make_request

    found = known or state_alone(facility, observation_id)
    path = f'/api/requests/{quote(observation_id, safe="")}/observations/'
    address = urljoin(facility.facility_settings.get_setting('portal_url'), path)
    blocks = make_request('GET', address, headers=facility._portal_headers()).json()
    if found == 'COMPLETED' and blocks and not {'COMPLETED', *UNDER_WAY} & {str(block['state']) for block in blocks}:
        found = 'NOT_ATTEMPTED'
    completed = next((block for block in blocks if block['state'] == 'COMPLETED'), None)
    block: Mapping[str, Any] = completed or next((block for block in reversed(blocks) if block['state'] in UNDER_WAY), {})
    return {'state': found, 'scheduled_start': block.get('start'), 'scheduled_end': block.get('end')}


@dataclass(frozen=True, kw_only=True)
class Block:
    """A place in a telescope's schedule: its state and its times (aware UTC)."""

    state: str
    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class SchedulePage:
    """One page of the portal's schedule: {request id: blocks, the newest first}, whether there are more, and its clock."""

    blocks: dict[str, list[Block]]
    more: bool
    ahead: timedelta


def schedule_page(facility: Any, number: int, query: Mapping[str, str]) -> SchedulePage:
    """One page of what the telescopes' schedules hold of the requests that this account may see, newest first.

    The list of request groups says nothing of the schedule; this one takes ``state``, ``end_after`` and ``modified_after``
    (observations/filters.py of the portal). A block names its request, or holds it.
    """
    from tom_observations.facilities.ocs import make_request

    url = urljoin(facility.facility_settings.get_setting('portal_url'), '/api/observations/')
    params = {**query, 'limit': str(PAGE), 'offset': str(number * PAGE)}
    response = make_request('GET', url, params=params, headers=facility._portal_headers())
    reply, found = response.json(), defaultdict(list)
    for block in reply['results']:
        request = block['request']
        key = str(request['id'] if isinstance(request, Mapping) else request)
        times = {'start': read_instant(block['start']), 'end': read_instant(block['end'])}
        found[key].append(Block(state=str(block['state']), **times))
    return SchedulePage(blocks=dict(found), more=bool(reply.get('next')), ahead=ahead(response))


def times_in(blocks: Sequence[Block], finished: bool, known: datetime | None) -> tuple[datetime | None, datetime | None] | None:
    """When a request is, or was, observed by its newest blocks; None where they do not say.

    ``known`` is the start that is recorded: where that block is gone, nothing is scheduled any more.
    """
    live = ('COMPLETED',) if finished else UNDER_WAY
    block = next((block for block in blocks if block.state in live), None)
    if block is not None:
        return block.start, block.end
    gone = not finished and known is not None and any(block.start == known for block in blocks)
    return (None, None) if gone else None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Observations that a facility lists: id, name, state, created, target; ``complete`` where there are no more."""

    items: list[dict[str, Any]]
    complete: bool


def listing(facility: Any, created_after: datetime, number: int) -> Listing:
    """One page of the requests the portal lists."""
    reply = ask_groups(facility, {'created_after': iso(created_after)}, number).json()
    items = [
        {
            'id': str(request['id']),
            'name': group.get('name', ''),
            'note': str(request.get('observation_note') or ''),
            'state': request['state'],
            'created': read_instant(group['created']),
            'target': _target_of(request),
        }
        for group in reply['results']
        for request in group['requests']
    ]
    return Listing(items=items, complete=not reply.get('next'))


def _target_of(request: Mapping[str, Any]) -> str:
    configurations = request.get('configurations') or [{}]
    return str((configurations[0].get('target') or {}).get('name') or '')


def ask_groups(facility: Any, query: dict[str, str], number: int) -> Any:
    """Pages are asked for by offset: nothing is fetched from an address that a reply names."""
    from tom_observations.facilities.ocs import make_request

    url = urljoin(facility.facility_settings.get_setting('portal_url'), '/api/requestgroups/')
    params = {**query, 'limit': str(PAGE), 'offset': str(number * PAGE)}
    return make_request('GET', url, params=params, headers=facility._portal_headers())


def iso(instant: datetime) -> str:
    """An instant as the portal's filters take it."""
    return instant.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S')
