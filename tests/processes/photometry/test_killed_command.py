"""``runforcedphotometry`` killed with -9 at every named point from the question to the points, and what later runs make of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.processes.photometry.checks import check_ended
from tests.support.phot_processes import ASK, CLAIM, PhotTom, ask, make_targets
from tests.support.processes import Finished
from tom_followup.failpoints import PhotometryPoint

pytestmark = [pytest.mark.faults, pytest.mark.slow]

#: Passed by the process that asks and sends; the others by one that comes a minute later.
WHILE_SENDING = {
    PhotometryPoint.ASKED,
    PhotometryPoint.JOB_OPEN,
    PhotometryPoint.JOB_COMMITTED,
    PhotometryPoint.SENDING,
    PhotometryPoint.REPLIED,
    PhotometryPoint.ACCEPTED,
    PhotometryPoint.UNCERTAIN,
}
AFTER_A_LOST_REPLY = {PhotometryPoint.UNCERTAIN, PhotometryPoint.LOOKED_UP}
#: Passed once for each target: there the process dies the second time, in the middle of its work.
FOR_EACH_TARGET = {
    PhotometryPoint.ASKED,
    PhotometryPoint.FETCHING,
    PhotometryPoint.FETCHED,
    PhotometryPoint.FILE_WRITTEN,
    PhotometryPoint.POINTS_WRITTEN,
    PhotometryPoint.INGESTED,
    PhotometryPoint.CLEANED,
}


@pytest.mark.parametrize('point', [PhotometryPoint.SENDING, PhotometryPoint.POINTS_WRITTEN])
def test_a_process_killed_while_it_sends_or_writes_asks_nothing_twice_and_loses_nothing(
    open_tom: Callable[..., PhotTom], sqlite_url: str, point: PhotometryPoint
) -> None:
    killed_at(point, open_tom(sqlite_url))


@pytest.mark.prove(why='at each point a process of its own dies, on both databases')
@pytest.mark.parametrize('point', PhotometryPoint)
def test_a_process_killed_at_any_point_asks_nothing_twice_and_loses_nothing(
    open_tom: Callable[..., PhotTom], database_url: str, point: PhotometryPoint
) -> None:
    killed_at(point, open_tom(database_url))


def killed_at(point: PhotometryPoint, tom: PhotTom) -> None:
    """Six targets, of which four have data, and what must hold in the end."""
    targets = make_targets(6)
    nothing, wrong = targets[4:]
    tom.atlas.configure(no_data=[[nothing.ra, nothing.dec]])
    tom.atlas.set_outcome(wrong.ra, wrong.dec, 'The images are unreadable.')
    killed = _killed_at(tom, point, targets)
    assert killed.killed, f'it never came to {point.value}: status {killed.status}, {killed.output}'

    tom.move(CLAIM)
    if point is PhotometryPoint.ASKED:  # it had asked about some only: the command is given again
        after = tom.run(*ASK)
        assert '4 new queries, 2 already open' in after.output
    tom.run_until_ended()
    check_ended(tom, targets, no_data=[nothing], failed=[wrong])


def _killed_at(tom: PhotTom, point: PhotometryPoint, targets: list[object]) -> Finished:
    """Bring it there in a real process."""
    if point in AFTER_A_LOST_REPLY:
        tom.atlas.fault('submit', '500-after')
    passed = int(point in FOR_EACH_TARGET)
    if point in WHILE_SENDING:
        return tom.run(*ASK, crash_at=point, passed=passed)
    ask(targets)
    tom.run_here()
    tom.move(timedelta(minutes=1))
    return tom.run(crash_at=point, passed=passed)
