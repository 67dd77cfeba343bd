"""Every state that a page shows has a button that leads out of it: each is brought about, its page opened, a button pressed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from tom_observations.models import DynamicCadence, ObservationRecord

from tests.conftest import NIGHT, at
from tests.support import rows
from tests.support.cadences import PLAIN
from tests.support.matrix import Case, People
from tests.support.matrix_rules import CREDENTIALS, _lose, _miss_first
from tests.support.proofs import some
from tests.support.rows import Stage
from tests.support.webform import without_sky_plots
from tom_cadence.engine.run import run_cadences
from tom_cadence.models import ManagedCadence, Notice, Submission, TemplateTask
from tom_forced_phot.core.states import QueryState
from tom_forced_phot.models import PhotometryNotice, PhotometryQuery, PhotometrySubscription

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[[Stage], object]
#: Buttons that begin something else, or have nothing to do with the state.
ASIDE = re.compile(r'logout|notices/preference|/edit/$|/owner/$|setlang|/history|/ask/choose|comments/')


class Clock:
    """The TOM's."""

    now = at(10)


def present() -> datetime:
    return Clock.now


@pytest.fixture(autouse=True)
def tonight(settings: Any, observatory: Any, tmp_path: Any) -> Iterator[None]:
    """Ten hours after NIGHT; the photometry service is away."""
    here, Clock.now = f'{__name__}.present', at(10)
    settings.TOM_CADENCE = {'CLOCK': here, 'FACILITY_TIMEOUT': 20, 'NOTIFY_BY_MAIL': False}
    settings.TOM_FORCED_PHOT = {'CLOCK': here, 'CONNECT_TIMEOUT': 1, 'READ_TIMEOUT': 1, 'SYNCHRONOUS_TIME': 0}
    services = settings.FORCED_PHOTOMETRY_SERVICES
    settings.FORCED_PHOTOMETRY_SERVICES = {**services, 'ATLAS': {**services['ATLAS'], 'url': 'http://127.0.0.1:9', 'api_key': 'k'}}
    settings.MEDIA_ROOT = tmp_path
    settings.TARGET_PERMISSIONS_ONLY = True
    with without_sky_plots():
        yield


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a state is shown, how it reads in the database, and where it leads to if it is the end of something."""

    address: Callable[[Stage], str]
    reads: Callable[[Stage], Any]
    anew: str = ''


CADENCE = Place(
    address=lambda stage: f'/cadences/{stage.case.managed.pk}/',
    reads=lambda stage: ManagedCadence.objects.values_list('state', 'reason', 'owner').get(pk=stage.case.managed.pk),
    anew='/cadences/start/',
)
REQUESTS = Place(
    address=lambda stage: '/cadences/requests/',
    reads=lambda stage: Submission.objects.values_list('state', flat=True).get(pk=stage.rows['request without a reply'].pk),
)
USE = Place(
    address=lambda stage: f'/observation-templates/applications/{stage.case.application.pk}/',
    reads=lambda stage: TemplateTask.objects.values_list('state', 'request__state', 'request', 'application__confirmed').get(
        pk=stage.case.task.pk
    ),
    anew=r'/cadences/start/|/apply/|/observations/\d+/|/targets/',
)
QUERY = Place(
    address=lambda stage: f'/forced-photometry/queries/{stage.case.phot.open.pk}/',
    reads=lambda stage: PhotometryQuery.objects.values_list('state', 'next_step').get(pk=stage.case.phot.open.pk),
    anew='/forced-photometry/ask/',
)
SUBSCRIPTIONS = Place(
    address=lambda stage: '/forced-photometry/subscriptions/',
    anew=r'/forced-photometry/subscriptions/\d+/"',
    reads=lambda stage: (
        PhotometrySubscription.objects.values_list('active', 'owner').filter(pk=stage.case.phot.subscription.pk).first()
    ),
)


def _is(state: str, **more: Any) -> Make:
    return lambda stage: stage.case.become(state, **more)


def _use(state: str, confirmed: bool = False) -> Make:
    return lambda stage: stage.case.task_is(state, confirmed=confirmed)


def _query(state: str) -> Make:
    def make(stage: Stage) -> None:
        row = PhotometryQuery.objects.filter(pk=stage.case.phot.open.pk)
        is_open = state in QueryState.open_values()
        row.update(state=state, next_step=at(100) if is_open else None, closed=None if is_open else NIGHT, message='As it is.')

    return make


def _delete_newest(stage: Stage) -> None:
    """A user deletes the record of what was asked for last."""
    ObservationRecord.objects.filter(observationgroup=stage.case.group).latest('pk').delete()
    run_cadences(now=Clock.now)
    assert ManagedCadence.objects.get(pk=stage.case.managed.pk).state == 'attention'


def _delete_all(stage: Stage) -> None:
    """A user deletes all records of the group."""
    stage.case.group.observation_records.all().delete()
    run_cadences(now=Clock.now)


def _delete_owner(stage: Stage) -> None:
    ManagedCadence.objects.filter(pk=stage.case.managed.pk).update(owner=None)
    stage.case.become('attention', reason='Its owner was deleted.')


def _delete_group(stage: Stage) -> None:
    stage.case.group.delete()


def _remove_facility(stage: Stage) -> None:
    stage.settings.TOM_FACILITY_CLASSES = rows.FACILITIES
    run_cadences(now=Clock.now)
    assert ManagedCadence.objects.get(pk=stage.case.managed.pk).state == 'attention'


def _lose_follow_up(stage: Stage) -> None:
    """What was booked as the follow-up is not in the group any more."""
    stage.rows['request that was booked'].delete()
    _lose(stage.case)


def _lose_plain(stage: Stage) -> None:
    """A reply was lost, and the facility cannot be asked."""
    stage.case.doubt()
    Submission.objects.filter(managed=stage.case.managed, state='uncertain').update(facility=PLAIN)


def _subscription(**fields: Any) -> Make:
    return lambda stage: PhotometrySubscription.objects.filter(pk=stage.case.phot.subscription.pk).update(**fields)


def _on_case(do: Callable[[Case], object]) -> Make:
    return lambda stage: do(stage.case)


#: name -> place, how it comes about, who is responsible
STATES: dict[str, tuple[Place, Make, str]] = {
    'a cadence is active': (CADENCE, _is('active'), 'owner'),
    'a cadence is paused': (CADENCE, _is('paused', reason='owner paused it.'), 'owner'),
    'a cadence has finished': (CADENCE, _is('finished', reason='Observation 2 succeeded.'), 'owner'),
    'a cadence needs attention': (CADENCE, _is('attention', reason='Too many failures in a row.'), 'owner'),
    'credentials were refused': (CADENCE, _is('attention', reason='Refused.', reason_class=CREDENTIALS[:32]), 'owner'),
    'a reply was lost': (CADENCE, _on_case(lambda case: case.doubt()), 'owner'),
    'a reply was lost where nobody can ask': (CADENCE, _lose_plain, 'owner'),
    'the follow-up of an observation is missing': (CADENCE, _lose_follow_up, 'owner'),
    'the first observation never arrived': (CADENCE, _on_case(_miss_first), 'owner'),
    'the newest record was deleted': (CADENCE, _delete_newest, 'owner'),
    'all records were deleted': (CADENCE, _delete_all, 'owner'),
    'the owner was deleted': (CADENCE, _delete_owner, 'superuser'),
    'the facility was removed': (CADENCE, _remove_facility, 'owner'),
    'the group was deleted': (CADENCE, _delete_group, 'owner'),
    'a request of no cadence has no reply': (REQUESTS, lambda stage: None, 'owner'),
    'a request whose owner was deleted has no reply': (
        REQUESTS, lambda stage: Submission.objects.filter(state='uncertain').update(owner=None), 'superuser',
    ),
    **{f'a target of a template is {state}': (USE, _use(state), 'owner') for state in TemplateTask.State.values},
    'a target of a template waits to be sent': (USE, _use('ready', confirmed=True), 'owner'),
    **{f'the request of a template is {state}': (USE, _use(state), 'owner') for state in ('uncertain', 'refused', 'accepted')},
    **{f'a query is {state}': (QUERY, _query(str(state)), 'owner') for state in QueryState},
    'a subscription is active': (SUBSCRIPTIONS, _subscription(active=True), 'owner'),
    'a subscription is paused': (SUBSCRIPTIONS, _subscription(active=False, reason='Paused by owner.'), 'owner'),
    'a subscription is over': (SUBSCRIPTIONS, _subscription(active=False, until=NIGHT, reason='It ended.'), 'owner'),
    'a subscription lost its owner': (SUBSCRIPTIONS, _subscription(active=False, orphaned=True, owner=None), 'superuser'),
}  # fmt: skip


def buttons(page: str) -> list[Tag]:
    """The forms that a POST is sent with, but for those beside the matter."""
    found = BeautifulSoup(page, 'html.parser').find_all('form')
    return [
        form for form in found if str(form.get('method', '')).lower() == 'post' and not ASIDE.search(str(form.get('action', '')))
    ]


def filled(form: Tag, button: Tag | None) -> dict[str, str]:
    """As it was rendered; what is empty and needed gets something."""
    data = {}
    for each in form.find_all(['input', 'select', 'textarea']):
        name, kind = each.get('name'), each.get('type')
        if not name or (kind in ('radio', 'checkbox') and not each.has_attr('checked')):
            continue
        options = [option.get('value') for option in each.find_all('option') if option.get('value')]
        data[str(name)] = str(each.get('value') or (options[0] if options else '') or ('4711' if each.name == 'input' else ''))
    if button is not None and button.get('name'):
        data[str(button['name'])] = str(button.get('value', ''))
    return data


def ways_out(stage: Stage, place: Place, browser: Any) -> tuple[list[str], str]:
    """Press one button after the other until the state has changed: what was there to press, and which one led out."""
    page, before = browser.get(place.address(stage)), place.reads(stage)
    assert page.status_code == 200
    there, text = [], page.content.decode()
    for form in buttons(text):
        action = str(form.get('action') or place.address(stage))
        there.append(action)
        answer = browser.post(action, filled(form, form.find('button')), follow=True)
        assert answer.status_code < 500, action
        if place.reads(stage) != before:
            return there, action
    anew = place.anew and re.search(f'href="[^"]*({place.anew})', text)
    return there, anew[0] if anew else ''


FEW = ('the newest record was deleted', 'the group was deleted', 'a target of a template is invalid', 'a query is failed')
LATER = pytest.mark.prove(why='brings about forty states and presses the buttons of their pages')


@pytest.mark.parametrize('name', some(STATES, FEW, LATER))
def test_it_has_a_button_that_leads_out(name: str, observatory: Any, settings: Any) -> None:
    place, make, role = STATES[name]
    people = People(True)
    stage = rows.build(people, observatory, settings)
    make(stage)
    there, out = ways_out(stage, place, people.browser(role))
    assert out, f'nothing leads out of it, of {there}'


@pytest.mark.parametrize('how', ['resume', 'resume many', 'a new cadence on the group'])
def test_a_deleted_newest_record_is_no_trap(how: str, observatory: Any, settings: Any) -> None:
    people = People(True)
    stage = rows.build(people, observatory, settings)
    _delete_newest(stage)
    managed, browser = stage.case.managed, people.browser('owner')
    if how == 'resume':
        browser.post(f'/cadences/{managed.pk}/resume/')
    elif how == 'resume many':
        browser.post('/cadences/bulk/', {'action': 'resume', 'selected-row': managed.pk})
    else:
        browser.post(f'/cadences/{managed.pk}/end/')
        made = DynamicCadence.objects.create(
            observation_group=stage.case.group,
            cadence_strategy='ResumeCadenceAfterFailureStrategy',
            cadence_parameters={'cadence_frequency': 24},
            active=True,
        )
        managed = ManagedCadence.objects.get(cadence=made)
        run_cadences(now=Clock.now)
        managed.refresh_from_db()
        if managed.state == 'attention':  # it says so, and the same button leads out
            browser.post(f'/cadences/{managed.pk}/resume/')
    run_cadences(now=Clock.now + timedelta(minutes=5))
    managed.refresh_from_db()
    assert managed.state == 'active', managed.reason
    assert len(observatory.log()) == 3, 'and asks for the next one'


def test_notices_are_left_by_reading_them(observatory: Any, settings: Any) -> None:
    people = People(True)
    rows.build(people, observatory, settings)
    browser = people.browser('owner')
    for address, model in (('/cadences/notices/', Notice), ('/forced-photometry/notices/', PhotometryNotice)):
        assert model.objects.filter(user=people.users['owner'], read=None).exists()
        forms = [form for form in buttons(browser.get(address).content.decode()) if 'notices' in str(form.get('action'))]
        for form in forms:
            browser.post(str(form['action']), filled(form, form.find('button')))
        assert not model.objects.filter(user=people.users['owner'], read=None).exists()


def test_a_sentence_names_the_observatorys_number_of_what_really_did_it(observatory: Any, settings: Any) -> None:
    """Not the record's, and not that of an observation that did something else."""
    people = People(True)
    stage = rows.build(people, observatory, settings)
    newest = ObservationRecord.objects.filter(observationgroup=stage.case.group).latest('pk')
    observatory.set_state(newest.observation_id, 'WINDOW_EXPIRED')
    run_cadences(now=Clock.now)
    reasons = ' '.join(stage.case.managed.runs.exclude(reason='Hush.').values_list('reason', flat=True))
    assert re.search(rf'\b{newest.observation_id}\b', reasons), reasons
    assert not re.search(rf'[Oo]bservation {stage.case.record.observation_id}\b', reasons)
