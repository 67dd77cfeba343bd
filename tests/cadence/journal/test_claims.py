"""Claims: one process at a time decides about a cadence, until its claim runs out by the database's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from tests.conftest import at
from tests.support.cadences import bookings, records, settle
from tom_cadence import journal
from tom_cadence.engine.run import run_cadences
from tom_cadence.journal.claims import claim_time
from tom_cadence.models import ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)


def take(managed: ManagedCadence) -> journal.Claim | None:
    """Claim it; None where another process holds it."""
    mine = journal.Claim(managed.pk, journal.claim([managed.pk]))
    return mine if ManagedCadence.objects.filter(pk=managed.pk, claim_holder=mine.holder).exists() else None


@pytest.fixture
def managed(observatory: Any, make_cadence: Any) -> ManagedCadence:
    """A cadence whose observation has failed."""
    cadence = make_cadence(book=observatory)
    settle(observatory, records(cadence)[0], 'WINDOW_EXPIRED')
    return ManagedCadence.objects.get()


def test_what_one_process_holds_no_other_takes(managed: ManagedCadence) -> None:
    assert take(managed) is not None
    assert take(managed) is None


def test_a_claimed_cadence_is_left_alone_and_said_to_be_busy(observatory: Any, managed: ManagedCadence) -> None:
    held = take(managed)
    lines = run_cadences(now=at(5)).lines
    assert [(line.decision, line.failed) for line in lines] == [('busy', False)]
    assert len(bookings(observatory)) == 1
    journal.release(held)
    assert [line.decision for line in run_cadences(now=at(5)).lines] == ['submit']


def test_the_claim_of_a_dead_process_runs_out(observatory: Any, managed: ManagedCadence) -> None:
    take(managed)
    ManagedCadence.objects.update(claim_expires=Now() - timedelta(seconds=1))
    assert [line.decision for line in run_cadences(now=at(5)).lines] == ['submit']


def test_each_claim_has_a_higher_number_and_outdates_what_was_read(managed: ManagedCadence) -> None:
    take(managed)
    journal.expire_claims()
    take(managed)
    after = ManagedCadence.objects.get()
    assert after.claim_number == managed.claim_number + 2
    assert after.version == managed.version + 2


def test_nobody_lets_go_of_what_another_holds(managed: ManagedCadence) -> None:
    mine = take(managed)
    journal.expire_claims()
    theirs = take(managed)
    journal.release(mine)
    assert ManagedCadence.objects.get().claim_holder == theirs.holder
    journal.release(theirs)
    assert ManagedCadence.objects.get().claim_holder == ''


@pytest.mark.parametrize(('claim', 'timeout', 'seconds'), [(120, 30, 120), (10, 30, 90), (0, 100, 300)])
def test_a_claim_outlasts_preparing_and_sending(settings: Any, claim: int, timeout: int, seconds: int) -> None:
    settings.TOM_CADENCE = {'CLAIM_TIME': claim, 'FACILITY_TIMEOUT': timeout}
    assert claim_time() == timedelta(seconds=seconds)


def test_of_many_cadences_only_the_free_ones_are_taken(observatory: Any, make_cadence: Any) -> None:
    for _ in range(3):
        make_cadence(book=observatory)
    rows = list(ManagedCadence.objects.order_by('pk'))
    held = take(rows[1])
    mine = journal.claim([row.pk for row in rows])
    assert list(ManagedCadence.objects.order_by('pk').values_list('claim_holder', flat=True)) == [mine, held.holder, mine]
