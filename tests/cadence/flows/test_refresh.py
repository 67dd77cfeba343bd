"""The toolkit's buttons that ask for states: for what one may see, as oneself, and within a bounded time."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from guardian.shortcuts import assign_perm
from tom_observations.models import ObservationGroup, ObservationRecord, ObservationTemplate

from tests.support.cadences import records, settle
from tom_cadence.facilities import gateway as gateways
from tom_cadence.models import TemplateOwnership

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def booked(observatory: Any, make_cadence: Any, target: Any) -> ObservationRecord:
    """An observation of a private target, over at the observatory, of which this TOM has not heard yet."""
    [record] = records(make_cadence(book=observatory))
    type(target).objects.filter(pk=target.pk).update(permissions='PRIVATE')
    settle(observatory, record, 'COMPLETED')
    return record


@pytest.fixture
def stranger(client: Any) -> Any:
    client.force_login(User.objects.create_user('mallory'))
    return client


@pytest.fixture
def asked_as(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """With whose account facilities were asked for states."""
    found: list[Any] = []
    before = gateways.Gateway.status

    def status(self: Any, *args: Any) -> Any:
        found.append(getattr(self.owner, 'username', None))
        return before(self, *args)

    monkeypatch.setattr(gateways.Gateway, 'status', status)
    return found


def addresses(record: ObservationRecord) -> list[str]:
    target = record.target_id
    return [f'/targets/{target}/?update_status=1', f'/targets/{target}/observation-list/', '/observations/list/?update_status=True']


def test_a_stranger_asks_no_facility_about_a_private_target(
    observatory: Any, booked: ObservationRecord, stranger: Any, asked_as: list[Any]
) -> None:
    before = sum(observatory.requests.values())
    for address in addresses(booked):
        answer = stranger.get(address)
        assert answer.status_code == (302 if 'list/?' in address else 404), address
    assert stranger.get('/targets/999999/?update_status=1').status_code == 404
    assert sum(observatory.requests.values()) == before
    assert asked_as == []
    booked.refresh_from_db()
    assert booked.status == 'PENDING'


@pytest.mark.parametrize('number', range(3))
@pytest.mark.parametrize('per_target', [True, False], ids=['targets', 'rows'])
def test_who_may_see_it_asks_as_oneself_and_reads_what_came_of_it(
    client: Any, settings: Any, booked: ObservationRecord, asked_as: list[Any], number: int, per_target: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = per_target
    viewer = User.objects.create_user('edwin')
    assign_perm('tom_targets.view_target', viewer, booked.target)
    assign_perm('tom_observations.view_observationrecord', viewer, booked)
    client.force_login(viewer)
    page = client.get(addresses(booked)[number], follow=True).content.decode()
    assert '1 observation asked for, 1 changed.' in page
    assert asked_as == ['edwin']
    booked.refresh_from_db()
    assert booked.status == 'COMPLETED'
    page = client.get(addresses(booked)[number], follow=True).content.decode()
    assert 'There is no unfinished observation whose state could be asked for.' in page
    assert asked_as == ['edwin']


def test_a_visitor_is_sent_to_the_login(client: Any, booked: ObservationRecord, asked_as: list[Any]) -> None:
    for address in addresses(booked):
        answer = client.get(address)
        assert (answer.status_code, 'login' in answer['Location']) == (302, True)
    assert asked_as == []


def test_a_facility_that_does_not_answer_is_said_and_the_page_comes(
    client: Any, observatory: Any, booked: ObservationRecord, astronomer: Any
) -> None:
    observatory.fault('status', '500')
    assign_perm('tom_targets.view_target', astronomer, booked.target)
    client.force_login(astronomer)
    page = client.get(addresses(booked)[0], follow=True)
    assert page.status_code == 200
    assert '(1 observation)' in page.content.decode()


@pytest.mark.parametrize('action', ['add', 'remove'])
@pytest.mark.parametrize('who', ['visitor', 'stranger', 'owner'])
def test_only_who_may_change_a_cadence_changes_what_is_in_its_group(
    client: Any, make_cadence: Any, astronomer: Any, who: str, action: str
) -> None:
    """Of a public target: what is in the group decides what is asked for next, in its owner's name."""
    host, other = make_cadence(), make_cadence(observation_id='9')
    [mine], [another] = records(host), records(other)
    if who != 'visitor':
        client.force_login(astronomer if who == 'owner' else User.objects.create_user('mallory'))
    chosen = another if action == 'add' else mine
    address = f'/observations/list/?selected={chosen.pk}&observationgroup={host.observation_group_id}&action={action}'
    assert client.get(address).status_code == 302
    expected = {'add': {mine, another}, 'remove': set()}[action] if who == 'owner' else {mine}
    assert set(records(host)) == expected
    for unreadable in ('selected=x', f'selected={chosen.pk}&selected=', f'selected={mine.pk},{another.pk}'):
        assert client.get(address.replace(f'selected={chosen.pk}', unreadable)).status_code == 302
    assert set(records(host)) == expected


def test_a_group_without_a_cadence_is_changed_as_the_toolkit_does_it(stranger: Any, make_cadence: Any) -> None:
    [record], group = records(make_cadence()), ObservationGroup.objects.create(name='mine')
    stranger.get(f'/observations/list/?selected={record.pk}&observationgroup={group.pk}&action=add')
    assert list(group.observation_records.all()) == [record]


def test_the_page_of_a_target_tells_nobody_what_is_in_anybodys_template(stranger: Any, client: Any, target: Any) -> None:
    template = ObservationTemplate.objects.create(name='hush', facility='Simulated observatory', parameters={'secret': 'hush-1'})
    address = f'/targets/{target.pk}/?target={target.pk}&observation_template={template.pk}'
    assert 'hush-1' in stranger.get(address)['Location'], 'nobody owns it'
    owner = User.objects.create_user('vera2')
    TemplateOwnership.objects.create(template=template, owner=owner)
    assert stranger.get(address).status_code == 404
    client.force_login(owner)
    assert 'hush-1' in client.get(address)['Location']
