"""Looking without a claim: read and poll many cadences at once, and find out which of them have something to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Q

from tom_cadence import journal
from tom_cadence.core.bounds import error_text
from tom_cadence.core.decisions import Stop, Submit, Wait
from tom_cadence.core.windows import show
from tom_cadence.engine import snapshot
from tom_cadence.engine.containment import batch_or_singly, describe_error, is_lost
from tom_cadence.engine.context import NOTHING, ask_photometry, read_context
from tom_cadence.engine.decide import decided, first_to_send, runs_itself
from tom_cadence.engine.polling import Polling, differs, late_check_due, save_states, stopped
from tom_cadence.engine.stages import Decided, Known, Snapshot
from tom_cadence.facilities import Calls, Facilities, Gateway, Status
from tom_cadence.facilities.calls import Call
from tom_cadence.facilities.forms import of_target
from tom_cadence.journal import notices
from tom_cadence.models import ManagedCadence

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BatchBegun:
    """Cadences that were read, by their primary key, and whose questions are on their way.

    ``decided``: those that were read whole; what was decided of them said which states to ask for.
    """

    known: Mapping[int, Known]
    decided: Mapping[int, Decided]
    polling: Polling


def begin(
    managed: Sequence[ManagedCadence], facilities: Facilities, calls: Calls, now: datetime, *, may_write: bool, strategy: Any = None
) -> BatchBegun:
    """Read these cadences, and ask for the states they depend on; the number of statements does not grow with their number."""
    prepared = [snapshot.prepare(row, strategy) for row in managed]
    known = _read_quickly(prepared, facilities, now)
    whole = _read_whole([each for each in prepared if each.pk not in known], facilities, now)
    read = {each.pk: known.get(each.pk) or whole[each.pk] for each in prepared}
    if may_write:
        read.update(_note_observations(read.values()))
    first = [decided(read[pk], facilities, now) for pk in whole]
    closer = {each.managed.pk: each for each in _look_closer(first, facilities, now)}
    read.update((pk, each.known) for pk, each in closer.items())
    polling = Polling(facilities, calls, may_write=may_write, now=now)
    troubled = {pk for pk, each in read.items() if each.trouble or (pk in closer and _trouble(closer[pk]))}
    follows = {pk: each.decision.follows for pk, each in closer.items() if isinstance(each.decision, Submit)}
    polling.start((each.snapshot for pk, each in read.items() if pk not in troubled), follows)
    return BatchBegun(known=read, decided=closer, polling=polling)


def finish(
    begun: BatchBegun, facilities: Facilities, clock: Callable[[], datetime], other: Callable[[Call], object], *, may_write: bool
) -> Iterator[list[Decided]]:
    """Decide about these cadences. They come in groups, as facilities answer: nobody waits for a facility that does not.

    ``other`` takes calls that end meanwhile and are no questions after states.
    """
    for pks in begun.polling.ready(begun.known, other):
        now = clock()
        known: dict[int, Known] = {}
        for pk in pks:
            polled = begun.polling.polled(begun.known[pk].snapshot)
            known[pk] = replace(begun.known[pk], polled=polled, caught=polled.trouble or begun.known[pk].caught)
        news = [each for each in known.values() if has_news(each)]
        known.update(_read_again(news, facilities, now))
        if may_write:
            known.update(_note_observations(known[each.managed.pk] for each in news))
        items = [_decided_again(each, begun.decided.get(pk), facilities, now) for pk, each in known.items()]
        if may_write:
            items = [_with_photometry_asked(each, facilities, now) for each in items]
        items = _look_closer(items, facilities, now)
        yield _saved(items, facilities, now) if may_write else items


def _decided_again(known: Known, before: Decided | None, facilities: Facilities, now: datetime) -> Decided:
    """With what the facility said; trouble that was found before stays, although it might not show now."""
    if before is not None and _trouble(before) and not known.trouble:
        return replace(before, known=known)
    return decided(known, facilities, now, before)


def _trouble(item: Decided) -> str:
    return item.past.trouble if item.past is not None else ''


def _with_photometry_asked(item: Decided, facilities: Facilities, now: datetime) -> Decided:
    """Ask the photometry service that it waits for; where nobody can be asked, the cadence goes on without an answer."""
    wanted = item.decision.wish if isinstance(item.decision, Wait) else None
    refused = ask_photometry(item.known, wanted, now) if wanted is not None else None
    return item if refused is None else decided(refused, facilities, now, item)


def _saved(items: Sequence[Decided], facilities: Facilities, now: datetime) -> list[Decided]:
    saved, troubles = batch_or_singly(
        items, lambda some: {each.managed.pk: each for each in save_states(some, facilities, now)}, 'its states were saved'
    )
    found = [saved.get(each.managed.pk) or stopped(each, troubles[each.managed.pk]) for each in items]
    for each in found:
        _tell_untold(each, now)
    return found


def _tell_untold(item: Decided, now: datetime) -> None:
    """Tell the owner once that a person has to say what became of an observation."""
    words = item.past.untold(now) if item.past is not None and isinstance(item.decision, Wait) else ''
    known = item.managed.last_reason if item.managed.last_run else ''
    if words and item.decision.reason == words != known:
        notices.tell_owner(item.managed, 'untold', words)


def _note_observations(read: Iterable[Known]) -> dict[int, Known]:
    """Note what was not requested here, before anything is sent: no observation is taken for two. Those where that failed."""

    def note(some: Sequence[Known]) -> None:
        journal.note_bookings(
            (row.pk, row.facility, row.observation_id) for each in some for row in each.snapshot.rows if not row.noted
        )

    known = {each.managed.pk: each for each in read if not each.trouble}
    _, troubles = batch_or_singly(list(known.values()), note, 'its observations were noted')
    return {pk: replace(known[pk], caught=trouble) for pk, trouble in troubles.items()}


def _read_whole(prepared: Sequence[Snapshot], facilities: Facilities, now: datetime, *, journal: bool = False) -> dict[int, Known]:
    """Everything these cadences did, and what they look at besides.

    Of the journal only what is open, where that is enough to see that a cadence waits and ``journal`` does not ask for all.
    """

    def read(some: Sequence[Snapshot]) -> dict[int, Known]:
        rows = snapshot.read_rows(some, full=False)
        context = read_context(rows, facilities, now)
        light = [each for each in rows if not journal and each.rows and not getattr(each.strategy, 'needs_parameters', True)]
        lightly = {each.pk for each in light}
        whole = [each for each in rows if each.pk not in lightly]
        done = [*snapshot.read_open_requests(light), *snapshot.read_requests(whole)]
        return {each.pk: Known(snapshot=each, context=context[each.pk]) for each in done}

    known, troubles = batch_or_singly(prepared, read, 'it was read')
    failed = {
        each.pk: Known(snapshot=replace(each, quick=False), caught=troubles[each.pk]) for each in prepared if each.pk in troubles
    }
    return known | failed


def _read_again(known: Sequence[Known], facilities: Facilities, now: datetime) -> dict[int, Known]:
    """The same cadences read whole; what the facility said of them stays."""
    whole = _read_whole([each.snapshot for each in known], facilities, now, journal=True)
    return {
        each.managed.pk: replace(whole[each.managed.pk], polled=each.polled, caught=whole[each.managed.pk].caught or each.caught)
        for each in known
    }


def _look_closer(items: Sequence[Decided], facilities: Facilities, now: datetime) -> list[Decided]:
    """What seems due is decided again with its whole history and journal, where these have not been read before."""
    closer = [
        each for each in items if not _trouble(each) and not each.snapshot.journal_read and not isinstance(each.decision, Wait)
    ]
    if not closer:
        return list(items)
    known = {each.managed.pk: each.known for each in closer}
    known.update(_read_again([each.known for each in closer if each.snapshot.quick], facilities, now))
    some = [each.snapshot for each in known.values() if not each.snapshot.journal_read and not each.trouble]
    found, troubles = batch_or_singly(
        some, lambda part: {each.pk: each for each in snapshot.read_requests(part)}, 'its requests were read'
    )
    for pk, read in found.items():
        known[pk] = replace(known[pk], snapshot=read)
    for pk, trouble in troubles.items():
        known[pk] = replace(known[pk], caught=trouble)
    return [decided(known[each.managed.pk], facilities, now, each) if each.managed.pk in known else each for each in items]


def is_idle(item: Decided) -> bool:
    """Whether there is nothing to do but note that it was looked at."""
    return (
        isinstance(item.decision, Wait)
        and item.snapshot.open_request is None
        and not runs_itself(item.snapshot.strategy)
        and first_to_send(item.snapshot) is None
    )


def in_words(item: Decided) -> tuple[str, str]:
    """The decision of a dry run: its word, and its reason with the window."""
    decision, request = item.decision, item.snapshot.open_request
    if request is not None:
        return 'wait', f'A request to {request.facility} got no reply: it would be looked up first.'
    if isinstance(decision, Submit):
        return 'submit', f'{decision.reason} Window {show(decision.window.start)} to {show(decision.window.end)}.'
    return ('stop' if isinstance(decision, Stop) else 'wait'), decision.reason


def validate(item: Decided, decision: Submit, facilities: Facilities) -> str:
    """What the facility's form says against the observation that would be sent, or an empty text; books nothing."""
    try:
        [full] = snapshot.read_rows([item.snapshot], full=True)
        like = next(row for row in full.rows if row.pk == decision.like)
        gateway = facilities.gateway(like.facility, item.managed.owner)
        hook = full.strategy.update_observation_payload
        gateway.prepare(of_target(like.parameters or {}, like.target), decision.window, decision.changes, hook)
    except Exception as error:  # forms and hooks are the site's code
        if is_lost(error):
            raise
        return describe_error(error, 'the facility was asked to check it')
    return ''


def _read_quickly(prepared: Sequence[Snapshot], facilities: Facilities, now: datetime) -> dict[int, Known]:
    """Those that wait for something unfinished, read only so far.

    Where that raises, none: what is wrong is said where each is read whole.
    """
    try:
        quick = quick_look(prepared, facilities, now)
    except Exception as error:
        if is_lost(error):
            raise
        logger.warning('There is no quick look: %s', error_text(error), extra={'event': 'one_by_one'})
        return {}
    read, troubles = batch_or_singly(
        quick, lambda some: {each.pk: each for each in snapshot.read_open_requests(some)}, 'its open requests were read'
    )
    return {each.pk: Known(snapshot=read.get(each.pk, each), context=NOTHING, caught=troubles.get(each.pk, '')) for each in quick}


def quick_look(prepared: Sequence[Snapshot], facilities: Facilities, now: datetime) -> list[Snapshot]:
    """Those of these cadences that wait for something unfinished, with the rows of that; the others have to be read whole."""
    gateways = {each.pk: gateway for each in prepared if _able(each, now) and (gateway := _gateway(each, facilities)) is not None}
    able = [each for each in prepared if each.pk in gateways]
    if not able:
        return []
    finished = Q()
    for gateway in {gateway.name: gateway for gateway in gateways.values()}.values():
        finished |= Q(facility=gateway.name, status__in=gateway.terminal)
    return [each for each in snapshot.read_rows(able, full=False, without=finished, quick=True) if _waits(each, gateways[each.pk])]


def has_news(known: Known) -> bool:
    """Whether a cadence that had only a quick look has to be read whole, because something has changed."""
    states = known.polled.states
    if not known.snapshot.quick or not states:
        return False
    answers = ((states.get(row.pk), row) for row in known.snapshot.rows)
    return any(isinstance(answer, Status) and differs(answer, row) for answer, row in answers)


def _able(prepared: Snapshot, now: datetime) -> bool:
    """Whether what is unfinished may be enough to decide.

    It is not in the first run after anything was booked or resumed (its failures in a row are counted then), nor when
    finished observations are asked for again.
    """
    strategy = prepared.strategy
    if (
        prepared.trouble
        or prepared.managed.last_run is None
        or runs_itself(strategy)
        or prepared.parameters.constraints is not None
    ):
        return False
    return getattr(strategy, 'waits_for_unfinished', False) and not late_check_due(prepared, now)


def _waits(read: Snapshot, gateway: Gateway) -> bool:
    """Whether anything is unfinished, at the cadence's own facility alone: another one has states of its own."""
    if any(row.facility != gateway.name for row in read.rows):
        return False
    return any(row.status not in gateway.terminal for row in read.rows)


def _gateway(prepared: Snapshot, facilities: Facilities) -> Gateway | None:
    """The cadence's facility with its states; what is wrong with it is said where the cadence is read whole."""
    try:
        gateway = facilities.gateway(prepared.managed.facility, prepared.managed.owner)
        return gateway if gateway.terminal else None
    except Exception:  # a facility class is the site's code
        return None
