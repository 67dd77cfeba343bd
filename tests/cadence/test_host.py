"""What this app answers in the host's place: only what the host checks too late; everything else is still the host's."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import tom_observations.api_views
import tom_observations.views
import tom_targets.views
from django.urls import get_resolver, resolve, reverse
from tom_observations.facility import BaseRedirectObservationFacility
from tom_observations.models import DynamicCadence, ObservationRecord
from tom_targets.models import Target

from tests.conftest import NIGHT
from tests.support.cadences import SIMULATED, bookings, parameters
from tom_cadence import host as tom_cadence_host

pytestmark = pytest.mark.django_db(transaction=True)
CHECKED = {
    ObservationRecord.save: '3bd138cbb286f829',
    tom_observations.views.ObservationCreateView.form_valid: 'bb6af1cb3489010b',
    tom_observations.views.ObservationCreateView.post: '6dc87f7c1d2508fe',
    tom_observations.api_views.ObservationRecordViewSet.create: '1bc0b7131b3e8a69',
    tom_observations.api_views.ObservationRecordViewSet.cancel: 'd8a7e473b781fcc2',
    tom_observations.views.ObservationRecordCancelView: 'c00eade6a04a74e8',
    tom_observations.views.ObservationRecordUpdateView: '40fd340b57279b78',
    tom_observations.views.AddExistingObservationView: 'b0bcf683b53f6b0b',
    tom_observations.views.ObservationCallbackView: 'b8e930b1cca7b9ce',
    tom_observations.views.ObservationRedirectView: '79c9e29f64d4e85b',
    tom_targets.views.render_observation_table: 'bc625e202ae99b6a',
    tom_targets.views.TargetDetailView.get: 'e3e4dadb174971cc',
    tom_observations.views.ObservationListView.get: '2fe95abfb989e98c',
}


TEMPLATES = {
    'tom_observations/observationgroup_list.html': 'dd1cb60232a486d2',
    'tom_observations/observationrecord_detail.html': '390642437f9b453d',
    'tom_observations/partials/observationtemplate_from_record.html': '13c722037a52cb69',
}


def fingerprint(function: Any) -> str:
    return fingerprint_of(inspect.getsource(function))


def fingerprint_of(text: str) -> str:
    return hashlib.sha256(re.sub(r'\s+', ' ', text).encode()).hexdigest()[:16]


@pytest.mark.parametrize('function', CHECKED, ids=lambda function: function.__qualname__)
def test_the_hosts_code_is_still_what_was_checked(function: Any) -> None:
    """If this fails, read the host's change, adapt tom_cadence/host.py and what it names, then note the new fingerprint."""
    assert fingerprint(function) == CHECKED[function]


@pytest.mark.parametrize('name', tom_cadence_host.SHADOWED)
def test_the_hosts_template_is_still_what_was_checked(name: str) -> None:
    """If this fails, read the host's change, adapt our template of the same name, then note the new fingerprint."""
    host = Path(tom_observations.views.__file__).parent / 'templates' / name
    assert fingerprint_of(host.read_text()) == TEMPLATES[name]


def test_every_template_of_the_hosts_names_is_listed() -> None:
    ours = Path(tom_cadence_host.__file__).parent / 'templates'
    names = {str(path.relative_to(ours)) for path in ours.rglob('*.html')} - {
        str(path.relative_to(ours)) for path in (ours / 'tom_cadence').rglob('*.html')
    }
    assert names == set(tom_cadence_host.SHADOWED) == set(TEMPLATES)


@pytest.mark.parametrize('name', [name for name, words in tom_cadence_host.SHADOWED.items() if words.startswith('extended')])
def test_a_page_of_the_host_is_extended_and_not_copied(name: str) -> None:
    ours = Path(tom_cadence_host.__file__).parent / 'templates' / name
    assert f"{{% extends '{name}' %}}" in ours.read_text()
    assert '{{ block.super }}' in ours.read_text()


def test_the_hosts_names_lead_to_the_checked_views() -> None:
    create = resolve(reverse('tom_observations:create', kwargs={'facility': SIMULATED}))
    assert create.func.view_class.__module__ == 'tom_cadence.host'
    for suffix in ('/', '.json'):
        for path in ('/api/observations', '/api/observations/7', '/api/observations/7/cancel'):
            assert resolve(f'{path}{suffix}').func.cls.__module__ == 'tom_cadence.host'
    assert tom_cadence_host.HOST_VERSION == '3.1.0'


FILLED_IN = {'facility': SIMULATED, 'pk': '7', 'format': 'json', 'format_suffix': 'json'}


def hosts_addresses() -> list[tuple[str, Any]]:
    """Every address that the host's URLconf gives to a view whose code books, cancels, or writes observations."""
    found = []

    def walk(resolver: Any, namespace: str) -> None:
        for pattern in resolver.url_patterns:
            if hasattr(pattern, 'url_patterns'):
                walk(pattern, pattern.app_name or namespace)
            elif _made_of(pattern.callback).__module__.startswith(('tom_observations.', 'tom_targets.')):
                found.append((f'{namespace}:{pattern.name}' if namespace else pattern.name, pattern))

    walk(get_resolver(), '')
    return [(name, pattern) for name, pattern in found if _acts(pattern.callback)]


def _made_of(view: Any) -> Any:
    return getattr(view, 'view_class', None) or getattr(view, 'cls', None) or inspect.unwrap(view)


def _acts(view: Any) -> bool:
    made_of = _made_of(view)
    code = inspect.getsource(made_of)
    acts = re.search(r'submit_observation|cancel_observation|ObservationRecord\.objects\.create', code)
    changes = getattr(made_of, 'model', None) is ObservationRecord and hasattr(made_of, 'form_valid')
    return bool(acts) or changes


def test_no_address_of_the_host_books_cancels_or_writes_an_observation_by_the_hosts_own_code() -> None:
    """A new one belongs into tom_cadence/host.py: who may, and by which door it goes."""
    there = hosts_addresses()
    names = {name for name, _ in there}
    assert {f'tom_observations:{name}' for name in ('create', 'cancel', 'update', 'add-existing', 'callback')} <= names
    assert any('observations' in name for name in names - {f'tom_observations:{each}' for each in ('create', 'cancel')})
    for name, pattern in there:
        given = {key: FILLED_IN[key] for key in pattern.pattern.regex.groupindex}
        path = reverse(name, kwargs=given)
        module = _made_of(resolve(path).func).__module__
        assert module.startswith('tom_cadence.'), f'{name} ({path}) is still answered by {module}'


def asked(target: Any, **more: Any) -> dict[str, Any]:
    fields = parameters(target, NIGHT)
    return {
        'facility': SIMULATED,
        'observation_type': 'IMAGING',
        'target_id': target.pk,
        'name': 'by REST',
        'observing_parameters': {key: fields[key] for key in ('start', 'end', 'filter', 'exposure_time', 'exposure_count')},
        **more,
    }


@pytest.mark.parametrize(
    'cadence',
    [
        {'cadence_strategy': 'ResumeCadenceAfterFailureStrategy'},
        {'cadence_strategy': 'ResumeCadenceAfterFailureStrategy', 'cadence_frequency': -4},
        {'cadence_strategy': 'ResumeCadenceAfterFailureStrategy', 'cadence_frequency': 'often'},
        {'cadence_strategy': 'NoSuchStrategy', 'cadence_frequency': 24},
        {'cadence_frequency': 24},
        'daily',
    ],
)
def test_rest_refuses_a_bad_cadence_before_anything_is_booked(
    client: Any, observatory: Any, astronomer: Any, target: Any, cadence: Any
) -> None:
    client.force_login(astronomer)
    response = client.post('/api/observations/', asked(target, cadence=cadence), content_type='application/json')
    assert response.status_code == 400
    assert 'cadence' in response.json()
    assert bookings(observatory) == []
    assert not ObservationRecord.objects.exists()


def test_rest_starts_a_cadence_that_the_engine_adopts(client: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    cadence = {'cadence_strategy': 'ResumeCadenceAfterFailureStrategy', 'cadence_frequency': '24'}
    response = client.post('/api/observations/', asked(target, cadence=cadence), content_type='application/json')
    assert response.status_code == 201, response.content
    assert len(bookings(observatory)) == 1
    made = DynamicCadence.objects.get()
    assert made.managed.state == 'active'


def test_rest_books_nothing_for_strangers_or_for_targets_they_may_not_see(
    client: Any, observatory: Any, astronomer: Any, target: Any
) -> None:
    target.permissions = 'PRIVATE'
    target.save()
    assert client.post('/api/observations/', asked(target), content_type='application/json').status_code in (401, 403)
    client.force_login(astronomer)
    assert client.post('/api/observations/', asked(target), content_type='application/json').status_code == 400
    assert bookings(observatory) == []


def test_a_form_without_a_name_starts_no_cadence_and_books_nothing(
    client: Any, observatory: Any, astronomer: Any, target: Any, settings: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = ['tests.support.nameless.NamelessObservatory']
    settings.FACILITIES['Nameless observatory'] = settings.FACILITIES[SIMULATED]
    client.force_login(astronomer)
    fields = {**parameters(target, NIGHT, facility='Nameless observatory'), 'cadence_frequency': 24}
    fields['cadence_strategy'] = 'ResumeCadenceAfterFailureStrategy'
    url = f'/observations/Nameless observatory/create/?target_id={target.pk}&cadence_strategy=ResumeCadenceAfterFailureStrategy'
    response = client.post(url, fields)
    assert response.status_code == 200
    assert b'Nothing was sent' in response.content
    assert bookings(observatory) == []


@pytest.mark.parametrize(
    ('name', 'wrong', 'said'),
    [
        ('start', 'soon', 'is not a date and time'),
        ('end', '', 'This field is required'),
        ('filter', 'Q', 'Q is not one of the available choices'),
        ('exposure_time', '-1', 'greater than or equal to 0.1'),
        ('name', 'n' * 60, 'at most 50 characters'),
    ],
)
def test_the_hosts_form_says_beside_each_field_what_is_wrong_with_it(
    client: Any, observatory: Any, astronomer: Any, target: Any, name: str, wrong: str, said: str
) -> None:
    client.force_login(astronomer)
    fields = {**parameters(target, NIGHT), 'observation_type': 'IMAGING', 'exposure_count': '7', name: wrong}
    page = client.post(f'/observations/{SIMULATED}/create/?target_id={target.pk}', fields).content.decode()
    beside = re.search(rf'<div id="div_id_{name}".*?(?=<div id="div_id_|</form>)', page, re.DOTALL)
    assert beside is not None
    assert said in beside[0]
    assert wrong in beside[0]
    assert 'name="exposure_count" value="7"' in page
    assert bookings(observatory) == []


def test_the_hosts_form_says_what_is_wrong_with_a_field_that_it_does_not_show(
    client: Any, observatory: Any, astronomer: Any, target: Any
) -> None:
    client.force_login(astronomer)
    fields = {**parameters(target, NIGHT), 'observation_type': 'k' * 60, 'facility': ''}
    page = client.post(f'/observations/{SIMULATED}/create/?target_id={target.pk}', fields).content.decode()
    assert 'Observation type: Ensure this value has at most 50 characters' in page
    assert 'id="id_exposure_time"' in page
    assert bookings(observatory) == []


@pytest.mark.parametrize('rest', ['&cadence_strategy=NoSuchStrategy', '&observation_type=a%00b'])
def test_what_the_hosts_form_cannot_show_is_not_found_in_place_of_an_error(
    client: Any, observatory: Any, astronomer: Any, target: Any, rest: str
) -> None:
    client.force_login(astronomer)
    assert client.get(f'/observations/{SIMULATED}/create/?target_id={target.pk}{rest}').status_code == 404


def test_a_target_that_is_no_number_and_a_question_for_the_head_are_no_errors(client: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    assert client.get(f'/observations/add/?target_id=%20{target.pk}').status_code == 404
    assert client.head(f'/observations/add/?target_id={target.pk}').status_code == 405


class FacilityElsewhere(BaseRedirectObservationFacility):
    """A facility whose own page takes observations."""

    name = 'Elsewhere'
    get_terminal_observing_states = get_observing_sites = get_observation_url = (  # type: ignore[assignment]
        get_observation_status
    ) = data_products = lambda self, *_: None

    def redirect_url(self, target_id: str, callback_url: str) -> str:
        """It names the target."""
        return f'https://elsewhere.example/?target={quote(Target.objects.get(pk=target_id).name)}'


def test_the_way_to_a_facilitys_own_page_names_no_target_that_one_may_not_see(
    client: Any, observatory: Any, astronomer: Any, target: Any, settings: Any
) -> None:
    settings.TOM_FACILITY_CLASSES = [*settings.TOM_FACILITY_CLASSES, f'{__name__}.FacilityElsewhere']
    client.force_login(astronomer)
    url = f'/observations/Elsewhere/redirect/?target_id={target.pk}'
    assert client.get(url)['Location'] == f'https://elsewhere.example/?target={quote(target.name)}'
    target.permissions = 'PRIVATE'
    target.save()
    assert client.get(url).status_code == 404
    assert client.get(f'/observations/{SIMULATED}/redirect/?target_id={target.pk}').status_code == 404


def test_cancelling_by_rest_holds_no_transaction_while_the_facility_is_asked() -> None:
    assert resolve('/api/observations/7/cancel/').func._non_atomic_requests == {'default'}


def test_the_page_for_an_observation_made_elsewhere_says_what_is_wrong(client: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    given = {'target_id': target.pk, 'facility': 'Nowhere', 'observation_id': ''}
    page = client.post('/observations/add/', given).content.decode()
    assert 'Facility: Select a valid choice. Nowhere is not one of the available choices.' in page
    assert 'Observation ID: This field is required.' in page
    assert not ObservationRecord.objects.exists()
