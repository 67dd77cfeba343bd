"""Templates of the toolkit's own big forms: from a record through our pages to the portal, no field is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bs4 import BeautifulSoup
from tom_observations.models import ObservationRecord, ObservationTemplate
from tom_targets.models import Target

from simulators.portal import Portal
from simulators.server import serve
from tests.support.webform import FIELDS, WebForm, connect, open_form, serialise

pytestmark = pytest.mark.django_db(transaction=True)
KINDS = [
    ('LCO', 'IMAGING'),
    ('LCO', 'SPECTRA'),
    ('LCO', 'PHOTOMETRIC_SEQUENCE'),
    ('LCO', 'SPECTROSCOPIC_SEQUENCE'),
    ('OCS', 'ALL'),
]
CHANGING = ('name', 'start', 'end', 'target', 'created', 'id', 'windows', 'state', 'modified', 'submitter')


@pytest.fixture
def portal(settings: Any) -> Iterator[Portal]:
    settings.FACILITIES = {}
    settings.TOM_FACILITY_CLASSES = []
    with serve(Portal()) as server:
        yield server.service


def page_form(client: Any, url: str) -> WebForm:
    """The form of one of our pages as a browser holds it."""
    response = client.get(url, follow=True)
    assert response.status_code == 200, url
    found = [form for form in BeautifulSoup(response.content, 'html.parser').find_all('form') if form.get('method') == 'post']
    tag = next(form for form in found if form.find(attrs={'name': ['card-name', 'for-key']}))
    return WebForm(response.redirect_chain[-1][0] if response.redirect_chain else url, tag, serialise(tag))


def without(payload: Any) -> Any:
    """A payload without what belongs to one target and one night."""
    if isinstance(payload, dict):
        return {key: without(value) for key, value in payload.items() if key not in CHANGING}
    return [without(each) for each in payload] if isinstance(payload, list) else payload


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: '-'.join(kind))
def test_what_was_observed_once_is_observed_again_for_another_target(
    client: Any, settings: Any, portal: Portal, astronomer: Any, target: Any, kind: tuple[str, str]
) -> None:
    facility, observation_type = kind
    connect(settings, portal, facility)
    client.force_login(astronomer)
    now = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    form = open_form(client, target, facility, observation_type)
    form.fill({'name': f'{target.name} follow-up', **FIELDS[observation_type]})
    sequence = 'SEQUENCE' in observation_type
    form.fill({'cadence_frequency': '24'}) if sequence else form.fill_window(now + timedelta(hours=1), now + timedelta(hours=9))
    assert form.submit(client).status_code == 302
    record = ObservationRecord.objects.get()

    made = page_form(client, f'/observations/{record.pk}/template/')
    response = client.post(made.url, {**made.values, 'card-name': 'As before'})
    assert response.status_code == 302, BeautifulSoup(response.content, 'html.parser').get_text()[:2000]
    template = ObservationTemplate.objects.get()
    assert target.name not in str(template.parameters)

    other = Target.objects.create(name='SN 2026z', type='SIDEREAL', ra=200.0, dec=30.0, permissions='OPEN')
    apply = page_form(client, f'/observation-templates/{template.pk}/apply/?target={other.pk}')
    if not sequence:
        apply.fill_window(now + timedelta(hours=30), now + timedelta(hours=38))
    response = client.post(apply.url, apply.values)
    assert response.status_code == 302, BeautifulSoup(response.content, 'html.parser').get_text()[:3000]
    for verb in ('check', 'confirm', 'send'):
        page = client.post(f'{response.url}{verb}/', headers={'HX-Request': 'true'}).content.decode()
    assert '1 of 1 booked' in page, page
    first, second = ObservationRecord.objects.order_by('pk')
    assert second.target_id == other.pk
    own = ('target_id', 'start', 'end', 'name', 'start_0', 'start_1', 'end_0', 'end_1', 'cadence_strategy')
    kept = [
        {key: value for key, value in each.parameters.items() if key not in own and not key.endswith('target_override')}
        for each in (first, second)
    ]
    assert kept[0] == kept[1]
    sent = [without(each.payload) for each in portal.submissions]
    assert sent[0] == sent[1]
