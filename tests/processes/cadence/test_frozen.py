"""Real processes that are frozen in the middle of their work, and facilities that never answer."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.conftest import at
from tests.support.cadences import PLAIN
from tests.support.processes import Tom, check_booked_once, expire_claims, seed
from tests.support.proofs import some
from tom_followup.failpoints import CadencePoint

pytestmark = [pytest.mark.faults, pytest.mark.slow]

FROZEN_AT = [CadencePoint.PREPARED, CadencePoint.INTENT_COMMITTED, CadencePoint.SENDING, CadencePoint.REPLIED]
LATER = pytest.mark.prove(why='other processes run, started as cron starts them, until the frozen one has lost its patience')
TIMEOUT = 2  # TOM_CADENCE['FACILITY_TIMEOUT'] of a TOM in a rehearsal


@pytest.mark.parametrize('point', some(FROZEN_AT, {CadencePoint.INTENT_COMMITTED}, LATER))
def test_a_process_frozen_before_sending_sends_nothing_after_others_judged_its_request(
    tom_on_sqlite: Tom, point: CadencePoint
) -> None:
    from tom_cadence.models import ManagedCadence

    tom = tom_on_sqlite
    [cadence] = seed(tom.observatory, 1)
    tom.set_now(at(3))
    frozen = tom.start(freeze_at=point.value)
    frozen.wait_until_frozen()
    expire_claims()
    tom.run_here(at(3) + timedelta(minutes=5))
    tom.set_now(at(3) + timedelta(minutes=16))
    begun = time.monotonic()
    others = tom.run()
    assert others.status == 0, others.output
    assert len(tom.observatory.log()) == 2
    while time.monotonic() < begun + TIMEOUT:  # until the frozen one's patience is over
        assert tom.run(cold=True).status == 0

    frozen.thaw()
    thawed = frozen.wait()
    assert 'Traceback' not in thawed.output, thawed.output
    tom.run_until_quiet(at(3) + timedelta(minutes=30))
    assert check_booked_once(tom.observatory, [cadence], 1) == 1
    assert tom.observatory.counts()['requests']['submit'] == 1
    managed = ManagedCadence.objects.get(cadence=cadence)
    assert (managed.state, managed.reason) == ('active', '')


def test_a_facility_whose_calls_never_return_delays_neither_the_other_facility_nor_the_end(tom_on_sqlite: Tom) -> None:
    from tom_cadence.models import ManagedCadence

    tom = tom_on_sqlite
    tom.more_facilities = 'tests.processes.cadence.facilities.DeafObservatoryFacility'
    deaf = seed(tom.observatory, 3, facility='Deaf observatory')
    good = seed(tom.observatory, 3)
    tom.set_now(at(3))
    finished = tom.start().wait(45)
    end = tom.observatory.clock.now().timestamp()
    assert finished.status == 1, finished.output
    assert check_booked_once(tom.observatory, good, 6) == 3
    assert all(end - entry['timestamp'] > TIMEOUT for entry in tom.observatory.log(6)), 'booked while the other one was waited for'
    for managed in ManagedCadence.objects.filter(cadence__in=deaf):
        assert managed.state == 'attention'
        assert 'It is not known whether Deaf observatory booked' in managed.reason


@pytest.mark.parametrize('verb', ['submit', 'status'])
def test_a_portal_that_never_answers_delays_neither_the_other_facility_nor_the_end(tom_on_sqlite: Tom, verb: str) -> None:
    from tom_cadence.models import ManagedCadence

    tom = tom_on_sqlite
    hanging = seed(tom.observatory, 3, facility=PLAIN, name='Hanging')
    good = seed(tom.observatory, 3)
    if verb == 'submit':
        tom.observatory.fault('submit', 'hang', match='Hanging', count=99)
    else:
        for key in (1, 2, 3):
            tom.observatory.fault('status', 'hang', match=f'observations/{key}/', count=99)
    tom.set_now(at(3))
    finished = tom.start().wait(45)
    end = tom.observatory.clock.now().timestamp()
    assert check_booked_once(tom.observatory, good, 6) == 3
    if verb == 'submit':
        assert all(end - entry['timestamp'] > TIMEOUT / 2 for entry in tom.observatory.log(6))
    assert finished.status == 1, finished.output
    states = set(ManagedCadence.objects.filter(cadence__in=hanging).values_list('state', flat=True))
    assert states == {'attention' if verb == 'submit' else 'active'}
    if verb == 'status':
        tom.observatory.faults.clear()
        tom.set_now(at(4))
        assert tom.run().status == 0
        assert check_booked_once(tom.observatory, [*good, *hanging], 6) == 6
