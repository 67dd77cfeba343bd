"""In a TOM where every request is one transaction (ATOMIC_REQUESTS), nothing that was booked is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
from django.db import connection
from tom_observations.models import ObservationRecord

from tests.conftest import NIGHT, at
from tests.support.cadences import SIMULATED, bookings, parameters, records, settle
from tests.support.matrix import FIELDS, urls
from tests.support.matrix_rules import RULES, SENDING
from tests.support.webform import without_sky_plots
from tom_cadence.models import ManagedCadence, Submission

#: URLs that may ask a photometry service at once, where there is no worker; what they asked must be kept as well.
ASKING = {'photometry:ask', 'photometry:again', 'photometry:cancel', 'photometry:look'}
#: URLs that have a facility check what would be sent, which may take seconds, and send nothing.
CHECKING = {'change', 'proposal'}
#: URLs that may look at a facility for states, or write down what a person says of one, and send nothing.
LOOKING = {'say-outcome', 'observations/list/', 'targets/<int:pk>/', 'targets/<int:pk>/observation-list/'}
STRATEGY = 'ResumeCadenceAfterFailureStrategy'
CLOCK = {'now': NIGHT}


def clock() -> Any:
    return CLOCK['now']


@pytest.fixture
def every_request_is_a_transaction(settings: Any, transactional_db: Any, observatory: Any) -> Iterator[None]:
    CLOCK['now'] = NIGHT
    settings.TOM_CADENCE = {'CLOCK': f'{__name__}.clock', 'FACILITY_TIMEOUT': 2}
    connection.settings_dict['ATOMIC_REQUESTS'] = True
    with without_sky_plots():
        yield
    connection.settings_dict['ATOMIC_REQUESTS'] = False


def test_the_urls_that_send_run_outside_of_a_transaction_and_no_others() -> None:
    """A new URL that sends belongs into SENDING; the permission matrix fails where one sends and is not in it."""
    sending = {key for key, url in urls().items() if url.sends}
    assert {key for key in sending if not key.startswith('photometry:')} == SENDING | CHECKING | LOOKING
    assert set(RULES) >= SENDING
    assert {key for key in sending if key.startswith('photometry:')} == ASKING


@pytest.mark.usefixtures('every_request_is_a_transaction')
def test_a_cadence_is_started_looked_at_and_ended(client: Any, observatory: Any, astronomer: Any, target: Any) -> None:
    client.force_login(astronomer)
    query = f'target={target.pk}&what={quote(SIMULATED)}%7CIMAGING&strategy={STRATEGY}'
    typed = {**FIELDS, 'name': 'SN 2011fe r', 'cadence-cadence_frequency': '24', 'start_once': 'number-that-counts-once'}
    assert client.post(f'/cadences/start/preview/?{query}', typed).status_code == 200
    assert client.post(f'/cadences/start/?{query}', typed).status_code == 302
    managed = ManagedCadence.objects.get()
    page = f'/cadences/{managed.pk}/'
    settle(observatory, records(managed.host)[0], 'COMPLETED')
    CLOCK['now'] = at(6)
    observatory.set_clock(at(6), frozen=True)
    assert client.get(f'{page}now/').status_code == 200
    assert client.post(f'{page}run-now/').status_code == 302
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 2
    assert client.post(f'{page}end/', {'booked': 'cancel'}).status_code == 302
    managed.refresh_from_db()
    assert managed.state == 'finished'
    assert [each['state'] for each in bookings(observatory)] == ['COMPLETED', 'CANCELED']


@pytest.mark.usefixtures('every_request_is_a_transaction')
def test_a_lost_reply_leaves_its_intent_although_the_page_says_that_something_went_wrong(
    client: Any, observatory: Any, make_cadence: Any, astronomer: Any
) -> None:
    client.force_login(astronomer)
    host = make_cadence(book=observatory)
    settle(observatory, records(host)[0], 'WINDOW_EXPIRED')
    CLOCK['now'] = at(5)
    observatory.set_clock(at(5), frozen=True)
    observatory.fault('submit', '500-after')
    client.post(f'/cadences/{ManagedCadence.objects.get().pk}/run-now/')
    assert Submission.objects.exists()
    client.post(f'/cadences/{ManagedCadence.objects.get().pk}/run-now/')
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 2


@pytest.mark.usefixtures('every_request_is_a_transaction')
@pytest.mark.parametrize('way', ['form', 'REST'])
def test_what_the_host_booked_stays_recorded_when_a_later_step_of_it_fails(
    client: Any, observatory: Any, astronomer: Any, target: Any, way: str
) -> None:
    client.force_login(astronomer)
    client.raise_request_exception = False
    cadence = {'cadence_strategy': STRATEGY, 'cadence_frequency': 24}
    asked = parameters(target, NIGHT)
    later = 'reverse' if way == 'form' else 'CheckedObservationViewSet.get_serializer'
    with patch(f'tom_cadence.host.{later}', side_effect=RuntimeError('a step that fails')):
        if way == 'form':
            address = f'/observations/{quote(SIMULATED)}/create/?target_id={target.pk}&cadence_strategy={STRATEGY}'
            response = client.post(address, {**asked, **cadence})
        else:
            body = {**asked, 'observing_parameters': asked, 'cadence': cadence}
            response = client.post('/api/observations/', body, content_type='application/json')
    assert response.status_code == 500
    assert len(bookings(observatory)) == ObservationRecord.objects.count() == 1
