"""Looking without a claim: read and poll many cadences at once, and find out which of them have something to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from tom_cadence import journal
from tom_cadence.core.bounds import failure
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.windows import show
from tom_cadence.engine import snapshot
from tom_cadence.engine.containment import each_alone, is_lost, trouble, words
from tom_cadence.engine.context import NOTHING, grant, read_around, read_history, wishing
from tom_cadence.engine.decide import credentials_problem, decide, first_to_send, runs_itself, unreachable
from tom_cadence.engine.polling import Polling, differs, due_rows, late_check_due, late_check_of, save_states
from tom_cadence.engine.snapshot import Looked, RecordRow
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.calls import Call
from tom_cadence.models import ManagedCadence

__all__ = ['begin', 'credentials_problem', 'finish', 'in_words', 'is_idle', 'needs_attention', 'unreachable', 'validate']


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchBegun:
    """Cadences that were read, and whose questions are on their way."""

    looked: list[Looked]
    polling: Polling


def begin(
    managed: Sequence[ManagedCadence], facilities: Facilities, calls: Calls, now: datetime, *, may_write: bool, strategy: Any = None
) -> BatchBegun:
    """Read these cadences, and ask for the states they depend on; the number of statements does not grow with their number."""
    looked = [snapshot.prepare(row, strategy) for row in managed]
    glanced = _glance(looked, facilities, now)
    whole = [item for item in looked if not item.glanced]
    _read_whole(whole, facilities, now)
    if may_write:
        _know(looked)
    each_alone(glanced, snapshot.read_open_requests, 'its open requests were read')
    _decide(whole, facilities, now)
    _look_closer(whole, facilities, now)
    polling = Polling(facilities, calls, may_write=may_write, now=now)
    polling.start((item, rows) for item in looked if not item.trouble and (rows := _wanted(item, facilities, now)))
    for item in looked:
        item.late_check = late_check_of(item, facilities, now)
    return BatchBegun(looked, polling)


def finish(
    begun: BatchBegun, facilities: Facilities, clock: Callable[[], datetime], other: Callable[[Call], object], *, may_write: bool
) -> Iterator[list[Looked]]:
    """Decide about these cadences. They come in groups, as facilities answer: nobody waits for a facility that does not.

    ``other`` takes calls that end meanwhile and are no questions after states.
    """
    for ready in begun.polling.ready(begun.looked, other):
        now = clock()
        news = [item for item in ready if has_news(item)]
        _read_whole(news, facilities, now, journal=True)
        if may_write:
            _know(news)
        _decide(ready, facilities, now)
        if may_write:  # where nobody can be asked, the cadence goes on without an answer
            _decide(grant(wishing(ready), now), facilities, now)
        _look_closer(ready, facilities, now)
        if may_write:
            save_states(ready, facilities, now)
        yield ready


def _glance(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> list[Looked]:
    """Those that were only glanced at; where that raises, none: what is wrong is said where each is read whole."""
    try:
        return glance(looked, facilities, now)
    except Exception as error:
        if is_lost(error):
            raise
        logger.warning('No cadence is only glanced at: %s', failure(error), extra={'event': 'one_by_one'})
    for item in looked:
        item.glanced, item.around = False, None
    return []


def _know(looked: Sequence[Looked]) -> None:
    """Note what was not requested here, before anything is sent: no observation is taken for two."""

    def note(items: Sequence[Looked]) -> None:
        journal.know((row.pk, row.facility, row.observation_id) for item in items for row in item.rows if not row.noted)

    each_alone([item for item in looked if not item.trouble], note, 'its observations were noted')


def _read_whole(looked: Sequence[Looked], facilities: Facilities, now: datetime, *, journal: bool = False) -> None:
    """Everything these cadences did, and what they look at besides.

    Of the journal only what is open, where that is enough to see that a cadence waits and ``journal`` does not ask for all.
    """
    for item in looked:
        item.glanced = False

    def read_whole(items: Sequence[Looked]) -> None:
        snapshot.read_rows(items, full=False)
        read_around(items, facilities, now)
        lightly = [] if journal else [item for item in items if item.rows and not getattr(item.strategy, 'needs_parameters', True)]
        light = {id(item) for item in lightly}
        snapshot.read_open_requests(lightly)
        snapshot.read_requests([item for item in items if id(item) not in light])

    each_alone(looked, read_whole, 'it was read')


def _wanted(item: Looked, facilities: Facilities, now: datetime) -> list[RecordRow]:
    """What is asked for: the unfinished, and what a request would follow, because terminal is not final."""
    follows = set(item.decision.follows) if isinstance(item.decision, Submit) else set()
    try:
        rows = due_rows(item, facilities, now)
    except Exception as error:  # a facility class is the site's code: its errors belong to its cadences alone
        trouble(item, error, 'it was found out which states to ask for')
        return []
    asked = {row.pk for row in rows}
    return rows + [row for row in item.rows if row.pk in follows and row.pk not in asked]


def _decide(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> None:
    for item in looked:
        if not item.trouble:
            try:
                read_history(item, facilities)
            except Exception as error:
                trouble(item, error, 'its history was read')
        item.decision = decide(item, now)


def _look_closer(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> None:
    """What seems due is decided again with its whole history and journal, where these have not been read before."""
    closer = [item for item in looked if not item.trouble and not item.journal_read and not isinstance(item.decision, Wait)]
    if closer:
        _read_whole([item for item in closer if item.glanced], facilities, now)
        each_alone(closer, snapshot.read_requests, 'its requests were read')
        _decide(closer, facilities, now)


def is_idle(item: Looked) -> bool:
    """Whether there is nothing to do but note that it was looked at."""
    return (
        isinstance(item.decision, Wait)
        and item.open_request is None
        and not runs_itself(item.strategy)
        and first_to_send(item) is None
    )


def needs_attention(item: Looked) -> bool:
    """Whether the decision is that a person must look."""
    return isinstance(item.decision, Stop) and item.decision.kind == 'attention'


def in_words(item: Looked) -> tuple[str, str]:
    """The decision of a dry run: its word, and its reason with the window."""
    decision = item.decision
    if item.open_request is not None:
        return 'wait', f'A request to {item.open_request.facility} got no reply: it would be looked up first.'
    if isinstance(decision, Submit):
        return 'submit', f'{decision.reason} Window {show(decision.window.start)} to {show(decision.window.end)}.'
    return ('stop' if isinstance(decision, Stop) else 'wait'), decision.reason


def validate(item: Looked, facilities: Facilities) -> str:
    """What the facility's form says against the observation that would be sent, or an empty text; books nothing."""
    decision = item.decision
    try:
        snapshot.read_rows([item], full=True)
        like = next(row for row in item.rows if row.pk == decision.like)
        gateway = facilities.gateway(like.facility, item.managed.owner)
        gateway.prepare(like.parameters or {}, decision.window, decision.changes, item.strategy.update_observation_payload)
    except Exception as error:  # forms and hooks are the site's code
        if is_lost(error):
            raise
        return words(error, 'the facility was asked to check it')
    return ''


def glance(looked: Sequence[Looked], facilities: Facilities, now: datetime) -> list[Looked]:
    """Those of these cadences that wait for something unfinished, with the rows of that; the others have to be read whole."""
    gateways = {id(item): gateway for item in looked if _able(item, now) and (gateway := _gateway(item, facilities)) is not None}
    able = [item for item in looked if id(item) in gateways]
    if not able:
        return []
    finished = Q()
    for gateway in {gateway.name: gateway for gateway in gateways.values()}.values():
        finished |= Q(facility=gateway.name, status__in=gateway.terminal)
    for item in able:
        item.glanced, item.around = True, NOTHING
    snapshot.read_rows(able, full=False, without=finished)
    for item in able:
        item.glanced = _waits(item, gateways[id(item)])
    return [item for item in able if item.glanced]


def has_news(item: Looked) -> bool:
    """Whether a cadence that was only glanced at has to be read whole, because something has changed."""
    answers = ((item.polled.get(row.pk), row) for row in item.rows)
    return item.glanced and any(isinstance(answer, Status) and differs(answer, row) for answer, row in answers)


def _able(item: Looked, now: datetime) -> bool:
    """Whether what is unfinished may be enough to decide.

    It is not in the first run after anything was booked or resumed (its failures in a row are counted then), nor when
    finished observations are asked for again.
    """
    if item.trouble or item.managed.last_run is None or runs_itself(item.strategy) or item.parameters.constraints is not None:
        return False
    return getattr(item.strategy, 'waits_for_unfinished', False) and not late_check_due(item, now)


def _waits(item: Looked, gateway: Gateway) -> bool:
    """Whether anything is unfinished, at the cadence's own facility alone: another one has states of its own."""
    if any(row.facility != gateway.name for row in item.rows):
        return False
    return any(row.status not in gateway.terminal for row in item.rows)


def _gateway(item: Looked, facilities: Facilities) -> Gateway | None:
    """The cadence's facility with its states; what is wrong with it is said where the cadence is read whole."""
    try:
        gateway = facilities.gateway(item.managed.facility, item.managed.owner)
        return gateway if gateway.terminal else None
    except Exception:  # a facility class is the site's code
        return None
