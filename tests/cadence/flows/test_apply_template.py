"""A template applied to many targets: checked first, sent once each, whatever breaks; counted in the observatory's log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from guardian.shortcuts import assign_perm, get_perms
from tom_observations.models import DynamicCadence, ObservationGroup, ObservationRecord, ObservationTemplate
from tom_targets.models import Target, TargetList

from tests.conftest import NIGHT
from tests.support.cadences import PLAIN, SIMULATED, bookings, parameters
from tom_cadence.engine.send import settle_without_cadence
from tom_cadence.exceptions import CadenceError
from tom_cadence.facilities import Facilities
from tom_cadence.flows import apply_template as core
from tom_cadence.journal import Intent, confirm_booked
from tom_cadence.journal import templates as journal
from tom_cadence.models import Submission, TemplateApplication, TemplateOwnership
from tom_followup import failpoints
from tom_followup.failpoints import CadencePoint

pytestmark = pytest.mark.django_db(transaction=True)
HERE = '/observation-templates/'
CLOCK = {'now': NIGHT}
FORM = {
    'for-key': 'a1',
    'name': '{target} r',
    'start': '2026-11-21T09:00',
    'end': '2026-11-21T13:00',
    'filter': 'r',
    'exposure_time': '60',
    'exposure_count': '1',
}


def clock() -> Any:
    return CLOCK['now']


@pytest.fixture(autouse=True)
def _virtual_time(settings: Any) -> Any:
    CLOCK['now'] = NIGHT
    settings.TOM_CADENCE = {
        'CLOCK': 'tests.cadence.flows.test_apply_template.clock',
        'FACILITY_TIMEOUT': 2,
        'SETTLE_TIME': 60,
    }
    yield
    failpoints.on_reach = None


@pytest.fixture
def targets(target: Any) -> list[Any]:
    more = [Target.objects.create(name=f'SN 2026{a}', type='SIDEREAL', ra=10, dec=20, permissions='OPEN') for a in 'abcd']
    return [target, *more]


@pytest.fixture
def template(astronomer: Any) -> Any:
    return make_template(astronomer)


def make_template(owner: Any, facility: str = SIMULATED) -> Any:
    kept = {'facility': facility, 'observation_type': 'IMAGING', 'filter': 'r', 'exposure_time': 60.0}
    made = ObservationTemplate.objects.create(name='Deep r', facility=facility, parameters=kept)
    TemplateOwnership.objects.create(template=made, owner=owner, observation_type='IMAGING')
    return made


def fill_in(client: Any, template: Any, chosen: Any, **more: Any) -> Any:
    """Post the form as a browser does; the application that was made, or the page with its errors."""
    data = {**FORM, 'for-targets': [target.pk for target in chosen], **more}
    response = client.post(f'{HERE}{template.pk}/apply/', data)
    return TemplateApplication.objects.get(key=data['for-key']) if response.status_code == 302 else response


def press(client: Any, application: Any, *verbs: str) -> str:
    page = ''
    for verb in verbs:
        page = client.post(f'{HERE}applications/{application.pk}/{verb}/', headers={'HX-Request': 'true'}).content.decode()
    return page


def run(client: Any, application: Any) -> str:
    """What the page does by itself: check all, then (after the button) send all."""
    while 'new' in states(application):
        press(client, application, 'check')
    press(client, application, 'confirm')
    page = press(client, application, 'send')
    for _ in range(10):
        if 'ready' not in states(application) or 'Held.' in page:
            break
        page = press(client, application, 'send')
    return page


def states(application: Any) -> list[str]:
    return list(application.tasks.standing().order_by('pk').values_list('stands', flat=True))


def test_the_form_is_filled_in_from_the_template(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    page = client.get(f'{HERE}{template.pk}/apply/?target={targets[0].pk}&target={targets[1].pk}').content.decode()
    assert 'value="60.0"' in page
    assert '<option value="r" selected>' in page
    assert targets[0].name in page
    assert targets[1].name in page
    assert f'name="for-targets" value="{targets[0].pk}"' in page


def test_five_targets_are_checked_then_booked_once_each(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets)
    page = press(client, application, 'check', 'check')
    assert bookings(observatory) == []
    assert 'Send 5 observations' in page
    page = run(client, application)
    assert '5 of 5 booked' in page
    assert sorted(each['name'].split(' ~')[0] for each in bookings(observatory)) == sorted(f'{each.name} r' for each in targets)
    records = ObservationRecord.objects.all()
    assert {record.user for record in records} == {astronomer}
    assert {record.parameters['target_id'] for record in records} == {target.pk for target in targets}
    assert ObservationGroup.objects.get().observation_records.count() == 5
    assert not DynamicCadence.objects.exists()
    assert TemplateOwnership.objects.get().used == 1


def test_pressing_again_books_nothing_more(client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets)
    run(client, application)
    press(client, application, 'confirm', 'send', 'check', 'recheck', 'send')
    assert fill_in(client, template, targets) == application
    assert len(bookings(observatory)) == 5
    assert TemplateApplication.objects.count() == 1


def test_a_target_that_the_facility_would_refuse_is_said_before_anything_is_sent(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets)
    observatory.fault('validate', 'refuse', match=targets[2].name)
    page = press(client, application, 'check', 'check')
    assert 'Not visible in this window' in page
    assert bookings(observatory) == []
    run(client, application)
    assert states(application) == ['accepted', 'accepted', 'invalid', 'accepted', 'accepted']
    press(client, application, 'recheck')
    run(client, application)
    assert states(application) == ['accepted'] * 5
    assert len(bookings(observatory)) == 5


def test_a_refusal_concerns_its_target_alone_and_can_be_repeated(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets)
    observatory.fault('submit', 'refuse', match=targets[1].name)
    page = run(client, application)
    assert states(application) == ['accepted', 'refused', 'accepted', 'accepted', 'accepted']
    assert 'Simulated observatory refused the observation' in page
    press(client, application, 'recheck')
    page = press(client, application, 'check', 'send', 'send')
    assert len(bookings(observatory)) == 4, 'checking again must not book'
    assert 'Send the remaining 1' in page
    run(client, application)
    assert len(bookings(observatory)) == 5
    group = ObservationGroup.objects.get()
    assert group.observation_records.count() == 5
    assert f'/cadences/start/?group={group.pk}' in press(client, application, 'send')


def test_taking_a_target_in_again_books_nothing_by_itself(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:2])
    press(client, application, 'check')
    left = application.tasks.order_by('pk').last()
    decide(client, application, left, 'leave-out')
    run(client, application)
    decide(client, application, left, 'include')
    press(client, application, 'check', 'send')
    assert states(application) == ['accepted', 'ready']
    assert len(bookings(observatory)) == 1


def test_a_cadence_needs_more_than_an_observation(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    mine, other = targets[:2]
    Target.objects.filter(pk=other.pk).update(permissions='PRIVATE')
    assign_perm('tom_targets.view_target', astronomer, other)
    client.force_login(astronomer)
    strategy = {'for-strategy': 'ResumeCadenceAfterFailureStrategy', 'cadence-cadence_frequency': '24'}
    page = fill_in(client, template, [mine, other], **strategy).content.decode()
    assert f'not start a cadence of them: {other.name}.' in page
    assert 'Repeat every' in page, 'what was filled in stays'
    once = fill_in(client, template, [other])
    run(client, once)
    assert states(once) == ['accepted']


def test_a_permission_that_was_taken_away_meanwhile_counts(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    strategy = {'for-strategy': 'ResumeCadenceAfterFailureStrategy', 'cadence-cadence_frequency': '24'}
    application = fill_in(client, template, targets[:1], **strategy)
    press(client, application, 'check')
    Target.objects.filter(pk=targets[0].pk).update(permissions='PRIVATE')
    assign_perm('tom_targets.view_target', astronomer, targets[0])
    run(client, application)
    assert states(application) == ['invalid']
    assert bookings(observatory) == []


@pytest.mark.parametrize('kind', ['500-after', 'reset-after', 'malformed-after', 'hang-after'])
def test_a_lost_reply_is_looked_up_and_never_sent_twice(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any, kind: str
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:3])
    observatory.fault('submit', kind, count=2)
    page = run(client, application)
    assert states(application) == ['accepted'] * 3
    assert 'The reply was lost; found at Simulated observatory' in page
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 3


def test_one_that_never_arrived_is_sent_again_after_the_time_to_settle(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:2])
    observatory.fault('submit', '500-before')
    run(client, application)
    assert sorted(states(application)) == ['accepted', 'uncertain']
    press(client, application, 'send')
    assert len(bookings(observatory)) == 1
    CLOCK['now'] += timedelta(seconds=70)
    press(client, application, 'send')
    assert states(application) == ['accepted'] * 2
    assert len(bookings(observatory)) == 2


def test_where_the_facility_cannot_be_asked_a_person_decides(client: Any, observatory: Any, astronomer: Any, targets: Any) -> None:
    client.force_login(astronomer)
    template = make_template(astronomer, PLAIN)
    application = fill_in(client, template, targets[:2])
    observatory.fault('submit', '500-after')
    observatory.fault('submit', '500-before')
    page = run(client, application)
    assert states(application) == ['uncertain'] * 2
    assert 'cannot be asked: look there' in page
    CLOCK['now'] += timedelta(days=2)
    press(client, application, 'send')
    assert len(bookings(observatory)) == 1
    there = bookings(observatory)[0]
    found = next(task for task in application.tasks.all() if there['name'].startswith(task.target.name))
    other = application.tasks.exclude(pk=found.pk).get()
    decide(client, application, found, 'booked', ids='')
    assert states(application) == ['uncertain'] * 2
    decide(client, application, found, 'booked', ids=str(there['id']))
    decide(client, application, found, 'again')
    decide(client, application, other, 'booked', ids=str(there['id']))
    assert application.tasks.standing().get(pk=other.pk).stands == 'uncertain'
    CLOCK['now'] -= timedelta(days=2)
    decide(client, application, other, 'again')
    press(client, application, 'send')
    assert states(application) == ['accepted'] * 2
    assert len(bookings(observatory)) == 2


def decide(client: Any, application: Any, task: Any, verb: str, **data: Any) -> Any:
    url = f'{HERE}applications/{application.pk}/targets/{task.pk}/{verb}/'
    sent = application.tasks.get(pk=task.pk).request
    data = {'request': sent.shown if sent else '', **data}
    return client.post(url, data, headers={'HX-Request': 'true'})


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize(
    'point',
    [CadencePoint.PREPARED, CadencePoint.INTENT_COMMITTED, CadencePoint.SENDING, CadencePoint.REPLIED, CadencePoint.ACCEPTED],
)
def test_a_break_at_any_point_books_nobody_twice_and_leaves_nobody_out(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any, point: CadencePoint
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:3])
    press(client, application, 'check', 'confirm')
    died: list[CadencePoint] = []

    def die(reached: CadencePoint) -> None:
        if reached is point and not died:
            died.append(reached)
            raise Killed

    failpoints.on_reach = die
    with pytest.raises(Killed):
        core.send_some(TemplateApplication.objects.get(), NIGHT)
    failpoints.on_reach = None
    for _ in range(4):
        CLOCK['now'] += timedelta(seconds=70)
        press(client, application, 'send')
    assert states(application) == ['accepted'] * 3
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 3


def test_two_browsers_at_once_book_nobody_twice(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets)
    press(client, application, 'check', 'check', 'confirm')
    other: list[Any] = []

    def second(reached: CadencePoint) -> None:
        if reached is CadencePoint.PREPARED and not other:
            other.append(True)
            core.send_some(TemplateApplication.objects.get(), NIGHT)

    failpoints.on_reach = second
    core.send_some(TemplateApplication.objects.get(), NIGHT)
    failpoints.on_reach = None
    press(client, application, 'send', 'send')
    assert states(application) == ['accepted'] * 5
    assert len(bookings(observatory)) == 5


def test_a_facility_that_is_down_holds_the_rest_and_nothing_is_lost(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any, settings: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets)
    press(client, application, 'check', 'check', 'confirm')
    portal = settings.FACILITIES[SIMULATED]
    settings.FACILITIES = {**settings.FACILITIES, SIMULATED: {**portal, 'portal_url': 'http://127.0.0.1:9'}}
    page = press(client, application, 'send')
    assert 'Held.' in page
    assert states(application) == ['ready'] * 5
    settings.FACILITIES = {**settings.FACILITIES, SIMULATED: portal}
    assert 'Send 5 observations' in client.get(f'{HERE}applications/{application.pk}/').content.decode()
    assert bookings(observatory) == []
    run(client, application)
    assert len(bookings(observatory)) == 5


def test_nothing_is_sent_before_it_is_confirmed_or_after_it_was_stopped(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets)
    press(client, application, 'check', 'check', 'send')
    assert bookings(observatory) == []
    press(client, application, 'confirm', 'send', 'hold', 'send')
    assert len(bookings(observatory)) == 3
    task = application.tasks.filter(state='ready', request=None).first()
    decide(client, application, task, 'leave-out')
    page = run(client, application)
    assert len(bookings(observatory)) == 4
    assert '1 left out' in ' '.join(page.split())


def test_a_target_that_has_an_observation_in_this_window_is_said(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    ObservationRecord.objects.create(
        target=targets[0],
        user=astronomer,
        facility=SIMULATED,
        parameters=parameters(targets[0], NIGHT),
        observation_id='77',
        status='PENDING',
    )
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:2])
    page = press(client, application, 'check')
    assert 'It already has an observation in this window (77)' in page
    assert '1 of them has a warning' in page


def test_errors_stand_beside_their_fields_and_nothing_is_written(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    page = fill_in(client, template, targets, exposure_time='-1', start='').content.decode()
    assert 'Ensure this value is greater than or equal to 0.1' in page
    assert 'This field is required' in page
    assert targets[3].name in page
    assert b'Choose at least one target' in fill_in(client, template, []).content
    assert not TemplateApplication.objects.exists()


def test_targets_come_from_a_list_and_by_name_but_only_those_that_may_be_seen(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    hidden = Target.objects.create(name='Secret nova', type='SIDEREAL', ra=1, dec=2, permissions='PRIVATE')
    chosen, others = TargetList.objects.create(name='Supernovae'), TargetList.objects.create(name='Private list')
    chosen.targets.add(targets[0], targets[1], hidden)
    others.targets.add(targets[2])
    assign_perm('tom_targets.view_targetlist', astronomer, chosen)
    client.force_login(astronomer)
    page = client.get(f'{HERE}{template.pk}/apply/?target={hidden.pk}').content.decode()
    assert 'Private list' not in page
    assert 'Secret nova' not in page
    assert b'Secret' not in client.get(f'{HERE}targets/?for-query=secret').content.replace(b'value="secret"', b'')
    assert targets[0].name.encode() in client.get(f'{HERE}targets/?for-query=2011').content
    page = fill_in(client, template, [], **{'for-names': 'Secret nova\nSN 2026b'}).content.decode()
    assert 'No target of this name that you may see: Secret nova.' in page
    more = {'for-target_list': chosen.pk, 'for-names': 'SN 2026b\nsn 2026b\n\n'}
    application = fill_in(client, template, [targets[1], hidden], **more)
    assert set(application.tasks.values_list('target__name', flat=True)) == {'SN 2011fe', 'SN 2026a', 'SN 2026b'}


def test_a_target_that_was_made_private_meanwhile_is_neither_sent_nor_named(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:2])
    press(client, application, 'check')
    Target.objects.filter(pk=targets[1].pk).update(permissions='PRIVATE')
    page = run(client, application)
    assert targets[1].name not in page
    assert states(application) == ['accepted', 'invalid']
    assert len(bookings(observatory)) == 1


def test_each_target_gets_a_cadence_of_its_own(client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any) -> None:
    client.force_login(astronomer)
    strategy = {'for-strategy': 'ResumeCadenceAfterFailureStrategy'}
    assert b'Hours between observations' in client.get(f'{HERE}cadence/', strategy).content
    page = fill_in(client, template, targets[:2], **strategy)
    assert b'This field is required' in page.content
    application = fill_in(client, template, targets[:2], **strategy, **{'cadence-cadence_frequency': '24'})
    page = press(client, application, 'check')
    assert 'each' in page
    run(client, application)
    made = list(DynamicCadence.objects.order_by('pk'))
    assert [cadence.cadence_parameters['cadence_frequency'] for cadence in made] == [24.0, 24.0]
    assert {cadence.managed.owner for cadence in made} == {astronomer}
    assert [cadence.observation_group.observation_records.count() for cadence in made] == [1, 1]
    assert len(bookings(observatory)) == 2


@pytest.mark.parametrize('only', [True, False])
def test_records_belong_to_who_applied_it_and_to_the_groups_chosen(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any, settings: Any, only: bool
) -> None:
    settings.TARGET_PERMISSIONS_ONLY = only
    group, other = Group.objects.create(name='Supernova group'), Group.objects.create(name='Others')
    astronomer.groups.add(group)
    client.force_login(astronomer)
    if not only:
        assert b'Select a valid choice' in fill_in(client, template, targets[:2], **{'for-groups': [other.pk]}).content
    application = fill_in(client, template, targets[:2], **{'for-groups': [group.pk]})
    run(client, application)
    for record in ObservationRecord.objects.all():
        assert record.user == astronomer
        wanted = set() if only else {'view_observationrecord', 'change_observationrecord', 'delete_observationrecord'}
        assert set(get_perms(group, record)) == wanted
        assert only or wanted <= set(get_perms(astronomer, record))
    assert 'view_observationgroup' in get_perms(astronomer, ObservationGroup.objects.get())


def test_nobody_else_sees_or_moves_an_application(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:1])
    url = f'{HERE}applications/{application.pk}/'
    client.logout()
    assert client.get(url).url.startswith('/accounts/login/')
    assert client.post(f'{url}check/').url.startswith('/accounts/login/')
    client.force_login(User.objects.create_user('edwin'))
    task = application.tasks.get()
    for path in ('check', 'confirm', 'send', 'hold', f'targets/{task.pk}/booked', f'targets/{task.pk}/again'):
        assert client.post(f'{url}{path}/', {'ids': '1'}).status_code == 404
        assert client.get(f'{url}{path}/').status_code == 405
    assert client.get(url).status_code == 404
    client.force_login(User.objects.create_superuser('annie'))
    assert client.get(url).status_code == 200
    assert states(application) == ['new']


def test_an_id_that_is_another_observation_here_is_not_taken_over(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    first = fill_in(client, template, targets[:1])
    run(client, first)
    observatory.fault('submit', 'same-id')
    second = fill_in(client, template, targets[1:2], **{'for-key': 'b2'})
    run(client, second)
    assert states(second) == ['uncertain']
    assert ObservationRecord.objects.count() == 1
    task = second.tasks.get()
    with pytest.raises(CadenceError):
        confirm_booked(task.request, [str(bookings(observatory)[0]['id'])], 'vera', NIGHT)


def test_a_hook_of_the_site_that_raises_loses_no_record(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any, settings: Any
) -> None:
    settings.HOOKS = {**settings.HOOKS, 'observation_change_state': 'tests.cadence.flows.test_apply_template.broken_hook'}
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:2])
    run(client, application)
    assert states(application) == ['accepted'] * 2
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 2


def broken_hook(*_: Any, **__: Any) -> None:
    raise RuntimeError('a hook of the site')


def test_it_works_where_every_request_is_one_transaction(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    from django.db import connections

    client.force_login(astronomer)
    connections.databases['default']['ATOMIC_REQUESTS'] = True
    try:
        application = fill_in(client, template, targets[:2])
        run(client, application)
    finally:
        connections.databases['default']['ATOMIC_REQUESTS'] = False
    assert states(application) == ['accepted'] * 2


def test_the_page_works_without_scripts(client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:1])
    url = f'{HERE}applications/{application.pk}/'
    for verb in ('check', 'confirm', 'send'):
        assert client.post(f'{url}{verb}/').url == url
    assert '1 of 1 booked' in client.get(url).content.decode()


def test_cron_can_settle_what_no_page_looks_at(client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any) -> None:
    client.force_login(astronomer)
    application = fill_in(client, template, targets[:1])
    press(client, application, 'check', 'confirm')
    task = application.tasks.get()
    intent = Intent(
        cause=task.cause, facility=application.facility, target=task.target_id, owner=astronomer, origin=Submission.Origin.TEMPLATE
    )
    assert journal.open_task_request(task, intent, NIGHT)
    settle_without_cadence(Facilities(), NIGHT + timedelta(seconds=2))
    assert states(application) == ['sending']
    CLOCK['now'] += timedelta(seconds=200)
    settle_without_cadence(Facilities(), CLOCK['now'])
    settle_without_cadence(Facilities(), CLOCK['now'] + timedelta(seconds=70))
    assert states(application) == ['ready']
    assert bookings(observatory) == []


def test_a_target_that_is_not_up_for_what_is_asked_of_the_sky_is_said_before_its_cadence_is_sent(
    client: Any, observatory: Any, astronomer: Any, template: Any, targets: Any
) -> None:
    client.force_login(astronomer)
    strategy = {'for-strategy': 'ResumeCadenceAfterFailureStrategy', 'cadence-cadence_frequency': '24'}
    never = fill_in(client, template, targets[:1], **strategy, **{'cadence-sky_min_altitude': '70'})
    page = press(client, never, 'check')
    assert states(never) == ['invalid']
    assert 'in the next 30 days' in page
    assert bookings(observatory) == []
