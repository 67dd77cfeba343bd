"""What a person reads of a cadence is made with that person's eyes: points and observations that one may not see tell nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from guardian.shortcuts import assign_perm, remove_perm
from tom_dataproducts.models import PhotometryReducedDatum
from tom_observations.models import ObservationRecord

from tests.conftest import NIGHT, at
from tests.support.cadences import records, settle
from tom_cadence.engine.run import run_cadences
from tom_cadence.exceptions import NeedsAttention
from tom_cadence.flows import ask_instead
from tom_cadence.models import ManagedCadence

pytestmark = pytest.mark.django_db(transaction=True)
NOT_SHOWN = 'Why is not shown: it may tell of measurements that you may not see.'


@pytest.fixture
def looking(
    observatory: Any, make_cadence: Any, target: Any, astronomer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> ManagedCadence:
    """A cadence by brightness, in a TOM where each point and each observation has permissions of its own; it has decided once."""
    settings.TARGET_PERMISSIONS_ONLY = False
    monkeypatch.setattr('tom_cadence.conf.utc_now', lambda: at(8.1))
    type(target).objects.filter(pk=target.pk).update(permissions='PRIVATE')
    host = make_cadence(
        book=observatory, strategy='BrightnessStrategy', bright_magnitude=18, bright_table='up to 18: every 6 h, 30 s'
    )
    point = PhotometryReducedDatum.objects.create(
        target=target, timestamp=at(1), brightness=16.37, brightness_error=0.05, bandpass='hushband', unit='AB mag'
    )
    [record] = records(host)
    for permission, thing in (
        ('tom_targets.view_target', target),
        ('tom_dataproducts.view_photometryreduceddatum', point),
        ('tom_observations.view_observationrecord', record),
    ):
        assign_perm(permission, astronomer, thing)
    settle(observatory, record, 'COMPLETED')
    run_cadences(now=at(8))
    return ManagedCadence.objects.get()


def viewer(looking: ManagedCadence, *, points: bool) -> Any:
    user = User.objects.create_user('edwin')
    group, target = looking.host.observation_group, ObservationRecord.objects.order_by('pk')[0].target
    things = [('tom_targets.view_target', target), ('tom_observations.view_observationgroup', group)]
    things += [('tom_observations.view_observationrecord', each) for each in ObservationRecord.objects.all()]
    if points:
        things += [('tom_dataproducts.view_photometryreduceddatum', each) for each in PhotometryReducedDatum.objects.all()]
    for permission, thing in things:
        assign_perm(permission, user, thing)
    return user


def pages(managed: ManagedCadence) -> list[str]:
    address = f'/cadences/{managed.pk}/'
    history = f'{address}history.csv'
    compared = f'{address}simulation/?b_strategy=BrightnessStrategy'
    return [address, history, f'{address}simulation/', compared, '/cadences/']


@pytest.mark.parametrize('points', [True, False], ids=['may see the points', 'may not'])
def test_points_that_one_may_not_see_stand_on_no_page_and_in_no_file(client: Any, looking: ManagedCadence, points: bool) -> None:
    client.force_login(viewer(looking, points=points))
    found = {address: client.get(address) for address in pages(looking)}
    assert {answer.status_code for answer in found.values()} == {200}
    told = {
        address: '16.37' in answer.content.decode() or 'hushband' in answer.content.decode() for address, answer in found.items()
    }
    page, history, simulation = (found[address].content.decode() for address in pages(looking)[:3])
    if points:
        assert told[pages(looking)[0]]
        assert told[pages(looking)[2]]
        assert NOT_SHOWN not in page + history
        return
    assert not any(told.values()), told
    assert NOT_SHOWN in page
    assert NOT_SHOWN in history
    assert 'Magnitude now' in simulation


def test_the_owner_reads_what_was_decided_with_the_owners_eyes(client: Any, looking: ManagedCadence, astronomer: Any) -> None:
    client.force_login(astronomer)
    page = client.get(pages(looking)[0]).content.decode()
    assert NOT_SHOWN not in page
    assert '16.37' in client.get(pages(looking)[2]).content.decode()


@pytest.mark.parametrize('per_target', [True, False], ids=['targets', 'rows'])
def test_an_owner_who_lost_the_target_reads_nothing_of_it_and_moves_nothing(
    client: Any, looking: ManagedCadence, astronomer: Any, settings: Any, per_target: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = per_target
    target = ObservationRecord.objects.order_by('pk')[0].target
    remove_perm('tom_targets.view_target', astronomer, target)
    client.force_login(astronomer)
    for address in pages(looking)[:1] + pages(looking)[2:]:
        page = client.get(address).content.decode()
        assert '16.37' not in page, address
        assert 'r 60 s' not in page, address
        assert target.name not in page, address
    with pytest.raises(NeedsAttention, match='may not see the target'):
        ask_instead.asked_now(looking, astronomer, NIGHT)
    rows = ManagedCadence.objects.all()
    choices, troubles = ask_instead.proposals(rows, astronomer, NIGHT)
    assert (choices, len(troubles)) == ([], 1)
    [moved] = ask_instead.move(rows, 'P2', 'New semester.', astronomer, NIGHT)
    assert (moved.moved, 'may not see the target' in moved.text) == (False, True)
    looking.refresh_from_db()
    assert looking.asked_instead == {}


def test_the_list_says_with_what_only_of_observations_that_one_may_see(client: Any, looking: ManagedCadence) -> None:
    user = viewer(looking, points=True)
    client.force_login(user)
    assert '30 s' in client.get('/cadences/').content.decode()
    for record in ObservationRecord.objects.all():
        remove_perm('tom_observations.view_observationrecord', user, record)
    page = client.get('/cadences/').content.decode()
    assert '30 s' not in page
    assert 'asked for' not in page
