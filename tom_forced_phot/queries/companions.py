"""Positions that are measured with a target's own, in the same request: control light curves.

A query stays one row, and each of its positions is a task of the service: in the request, in what may wait there, in whose turn it
is, and in what is looked after and removed. ``remote`` of such a query holds what finds its own position, as of every query, and
under EACH the state of all of them, its own first. It has its result when none of them is waited for any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tom_forced_phot.core.states import ENDS, QueryState
from tom_forced_phot.exceptions import BadFile
from tom_forced_phot.models import PhotometryQuery, RemoteJob
from tom_forced_phot.queries import rows as writes
from tom_forced_phot.services.base import ForcedPhotometryService
from tom_forced_phot.services.protocol import Answer, Part, Position, Progress

EACH = 'each'
#: What is not waited for any more.
SETTLED = (*ENDS, QueryState.RESULT)
#: Index, number of positions, and ``remote`` of a query.
Row = tuple[int, int, Mapping[str, Any]]


def with_companions(service: ForcedPhotometryService, position: Position, parameters: Mapping[str, Any]) -> list[Position]:
    """A target's position, and those that are measured with it."""
    return [position] if service.does_all_itself() else [position, *service.companions(position, parameters)]


def parts_of(query: PhotometryQuery, job: RemoteJob) -> list[Part]:
    """A query's positions as the service sees them, its own first."""
    remotes = [each['remote'] for each in query.remote.get(EACH, ())] or [query.remote]
    places = enumerate(remotes, query.index)
    return [Part(index, Position(**job.positions[index]), job.parameters, remote) for index, remote in places]


def states_of(query: PhotometryQuery) -> list[QueryState]:
    """How each of them is."""
    return [QueryState(each['state']) for each in query.remote.get(EACH, ())] or [QueryState(query.state)]


def open_parts(query: PhotometryQuery, job: RemoteJob) -> list[Part]:
    """Those that are still waited for."""
    return [part for part, state in zip(parts_of(query, job), states_of(query), strict=True) if state not in SETTLED]


def take_own(queries: Iterable[PhotometryQuery], now: datetime) -> int:
    """Wait no longer for what is measured with a position whose own result is there: it is fetched without; of how many."""
    text = 'Its own result is there; what was measured with it is not waited for any longer.'
    alone = [query.pk for query in queries if len(states := states_of(query)) > 1 and states[0] is QueryState.RESULT]
    waiting = PhotometryQuery.objects.filter(pk__in=alone, state__in=[QueryState.SUBMITTED, QueryState.RUNNING])
    return writes.move_query(waiting, QueryState.RESULT, next_step=now, message=text, attempts=0)


def owners(rows: Iterable[Row]) -> dict[int, int]:
    """Index of each position of a job -> that of the query that it belongs to."""
    return {index + number: index for index, places, _ in rows for number in range(places)}


def of_queries(answer: Answer, rows: Iterable[Row]) -> Answer:
    """One progress a query, of all of its positions; of queries with one position the answer stays as it is.

    A query of whose own position nothing is known is left out: it is not at the service.
    """
    wide = [row for row in rows if row[1] > 1]
    if not wide:
        return answer
    inside = owners(wide)
    parts = {index: progress for index, progress in answer.parts.items() if index not in inside}
    for index, places, remote in wide:
        known = [Progress(QueryState(each['state']), remote=each['remote']) for each in remote.get(EACH, ())]
        said = [answer.parts.get(index + number) or (known[number] if known else None) for number in range(places)]
        if said[0] is not None:
            parts[index] = whole(said[0], [each or Progress(QueryState.EXPIRED) for each in said[1:]])
    return Answer(parts, answer.remote, answer.more)


def whole(own: Progress, companions: Sequence[Progress]) -> Progress:
    """How a query is, whose own position and companions are so."""
    every = [own, *companions]
    remote = {**own.remote, EACH: [{'state': str(each.state), 'remote': dict(each.remote)} for each in every]}
    waited = [each for each in every if each.state not in SETTLED]
    if own.state in ENDS or not waited:
        return Progress(own.state, own.message, remote)
    done = len(every) - len(waited)
    state = QueryState.RUNNING if done or any(each.state is QueryState.RUNNING for each in waited) else own.state
    message = f'{done} of {len(every)} positions are measured.' if done else own.message
    waits = [each.look_again for each in waited if each.look_again is not None]
    return Progress(state, message, remote, max(waits, default=None))


def packed(
    service: ForcedPhotometryService, content: bytes, companions: Sequence[tuple[Part, bytes]], asked: int
) -> tuple[bytes, str]:
    """The file with those of its companions that can be read, and what is to be said of the others."""
    good = [file for part, file in companions if _is_good(service, file, part)]
    words = f'{len(good)} of {asked} {service.companion_words}'
    made = service.with_companions(content, good)
    return made, f'{words}, too few to be used' if good and made == content else words


def _is_good(service: ForcedPhotometryService, file: bytes, part: Part) -> bool:
    try:
        return not service.belongs(file, part) and bool(len(service.read(file)))
    except BadFile:
        return False


def next_to_clean(query: PhotometryQuery, job: RemoteJob) -> Part | None:
    """The next of its positions that is still to be removed at the service."""
    gone = [bool(each.get('gone')) for each in query.remote.get(EACH, ())] or [False]
    return next((part for part, done in zip(parts_of(query, job), gone, strict=True) if part.remote and not done), None)


def cleaned(query: PhotometryQuery, part: Part) -> dict[str, Any]:
    """``remote`` of a query once this position is removed there."""
    each = [dict(entry) for entry in query.remote.get(EACH, ())]
    if each:
        each[part.index - query.index]['gone'] = True
    return {**query.remote, **({EACH: each} if each else {})}
