"""Many targets go out in the service's batches, from Python and from the command."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from tom_targets.models import Target, TargetList

from tests.photometry.conftest import Hands
from tests.support.asking import until
from tom_forced_phot import queries
from tom_forced_phot.models import PhotometryQuery
from tom_forced_phot.services.atlas import AtlasForcedPhotometryService

pytestmark = pytest.mark.django_db(transaction=True)


def many(number: int) -> list[Any]:
    rows = [
        Target(name=f'SN {each}', type='SIDEREAL', ra=0.3 * each % 360, dec=each % 100 / 2 - 20, permissions='OPEN')
        for each in range(number)
    ]
    return Target.objects.bulk_create(rows)


@pytest.mark.slow
def test_a_thousand_targets_cost_ten_requests(atlas: Any, clock: Hands, monkeypatch: Any) -> None:
    monkeypatch.setattr(AtlasForcedPhotometryService, 'open_jobs', 1000)
    atlas.service.configure(held=True, most_queued=1000)
    asked, declined = queries.ask_many('ATLAS', many(1000), {'min_date': 61300.0}, None, clock())
    assert (len(asked), declined) == (1000, [])
    queries.run(clock)
    assert atlas.service.requests['submit'] == 10
    assert len(atlas.service.log()) == 1000
    assert set(PhotometryQuery.objects.values_list('state', flat=True)) == {'submitted'}


def test_no_more_is_sent_than_the_service_lets_a_user_queue(atlas: Any, clock: Hands) -> None:
    atlas.service.configure(held=True)
    queries.ask_many('ATLAS', many(620), {'min_date': 61300.0}, None, clock())
    queries.run(clock)
    sent = len(atlas.service.log())
    assert 400 <= sent <= 500
    assert PhotometryQuery.objects.filter(state='queued').count() == 620 - sent
    assert atlas.service.replies['submit 400'] == 0


def test_the_command_asks_for_a_list_of_targets(atlas: Any, clock: Hands, make_target: Any, capsys: Any) -> None:
    group = TargetList.objects.create(name='Supernovae')
    nowhere = make_target(name='Nowhere', ra=None, dec=None)
    group.targets.add(*[make_target() for _ in range(3)], nowhere)
    make_target(name='Not in the list')
    with pytest.raises(SystemExit) as ended:
        call_command('runforcedphotometry', '--ask', 'ATLAS', '--targets', 'Supernovae', '--from', '61300', '--until', '61340')
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert '4 targets: 3 new queries, 0 already open, 1 cannot be asked about.' in said.out
    assert 'Nowhere has no coordinates.' in said.err
    assert atlas.service.requests['submit'] == 1
    until(clock, 'done')
    assert PhotometryQuery.objects.count() == 3
